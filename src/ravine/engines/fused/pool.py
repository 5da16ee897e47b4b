"""A few Python threads that help with a kernel; ctypes lets go of the interpreter lock while they compute.

Nobody waits for a helper in Python: the caller enters the kernel itself, takes whatever the helpers have not, and the
kernel returns when all is done. A helper that comes late finds nothing left. So a step works at any time, in two
threads at once, and with no helper at all.
"""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue
from typing import Any

Job = tuple[Any, tuple[Any, ...], Any]
"""A kernel, its arguments, and what must stay alive while it runs."""


class Pool:
    """Threads made when they are first asked for; they end with the process."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._threads = 0
        self._growing = threading.Lock()

    def help(self, job: Job, helpers: int) -> None:
        """Ask `helpers` threads to call a kernel too. Returns at once."""
        if self._threads < helpers:
            self._grow(helpers)
        for _ in range(helpers):
            self._jobs.put(job)

    def _grow(self, helpers: int) -> None:
        with self._growing:
            while self._threads < helpers:
                threading.Thread(target=_work, args=(self._jobs,), name="ravine-helper", daemon=True).start()
                self._threads += 1


def _work(jobs: SimpleQueue[Job]) -> None:
    while True:
        kernel, arguments, alive = jobs.get()
        kernel(*arguments)
        del kernel, arguments, alive


_pool = Pool()


def help(kernel: Any, arguments: tuple[Any, ...], alive: Any, helpers: int) -> None:
    """Ask threads of this process's pool to call a kernel too; `alive` is what must live while it runs."""
    _pool.help((kernel, arguments, alive), helpers)


def _after_fork() -> None:
    global _pool
    _pool = Pool()  # the parent's threads are not in this process


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
