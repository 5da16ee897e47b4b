"""Worker processes with one torch thread each, kept for the whole comparison so that start-up does not dominate.

Each worker has a pipe of its own, over which only the parent hands out runs: a worker that dies takes no lock and no
other run with it, and its run is given to a new one.
"""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from ravine.lab.records import FAILED, Record, Settings

ATTEMPTS = 3
"""How many workers a run may cost before it counts as failed."""


@dataclass
class Worker:
    """A process, our end of its pipe, and the run it has."""

    process: Any
    pipe: Connection
    settings: Settings | None = None


def run_all(next_run: Callable[[], Settings | None], workers: int) -> Iterator[Record]:
    """Yield a record for every run that `next_run` hands out, as they end.

    `next_run` is asked whenever a worker is free, after the caller has seen all records so far; None says that there is
    nothing to start now, and when then no worker is busy all is done. Closing the generator ends the workers.
    """
    context = mp.get_context("spawn")  # a fork would copy torch's threads in an unknown state
    crew: list[Worker] = []
    again: list[Settings] = []
    deaths: dict[tuple[Any, ...], int] = {}
    try:
        while True:
            busy = [w for w in crew if w.settings is not None]
            while len(busy) < workers and (settings := again.pop() if again else next_run()):
                worker = next((w for w in crew if w.settings is None), None)
                if worker is None:
                    worker = _start(context)
                    crew.append(worker)
                worker.settings = settings
                worker.pipe.send(settings)
                busy.append(worker)
            if not busy:
                return
            ready = wait([w.pipe for w in busy])
            for worker in [w for w in busy if w.pipe in ready]:
                settings = worker.settings
                assert settings is not None
                worker.settings = None
                try:
                    record: Record = worker.pipe.recv()
                except (EOFError, OSError):
                    crew.remove(worker)
                    worker.process.join()
                    deaths[settings.key] = deaths.get(settings.key, 0) + 1
                    if deaths[settings.key] < ATTEMPTS:
                        again.append(settings)
                        continue
                    message = f"{ATTEMPTS} workers died in this run; the last with exit code {worker.process.exitcode}"
                    record = Record(settings, FAILED, {"step": [], "loss": []}, message)
                yield record
    finally:
        for worker in crew:
            worker.process.kill()
        for worker in crew:
            worker.process.join()


def _start(context: Any) -> Worker:
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), daemon=True)
    with _interrupts_ignored():
        process.start()
    theirs.close()  # so that the end of the process is the end of the pipe
    return Worker(process, ours)


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """A child started here ignores Ctrl-C, which reaches the whole group, from its first instruction on."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signals, and only it gets Ctrl-C
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _work(pipe: Connection) -> None:
    """A worker's life: settings in, records out, until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    from ravine.lab import tasks
    from ravine.lab.runner import run

    torch.set_num_threads(1)
    parent = mp.parent_process()

    def end_with_parent(step: int) -> None:
        if parent is None or not parent.is_alive():
            os._exit(1)

    loaded: dict[str, Any] = {}
    while True:
        try:
            settings = pipe.recv()
        except EOFError:
            return
        if settings.task not in loaded:
            loaded[settings.task] = tasks.find(settings.task)
        pipe.send(run(loaded[settings.task], settings, end_with_parent))
