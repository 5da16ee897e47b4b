"""Worker processes with one torch thread each, kept for the whole comparison so that start-up does not dominate.

Each worker has a pipe of its own, over which only the parent hands out runs: a worker that dies takes no lock and no
other run with it, and its run is given to a new one.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing as mp
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from ravine.lab.interrupt import raise_lost
from ravine.lab.records import FAILED, Record, Settings

FORKSERVER = "forkserver"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
KEPT, LARGEST_KEPT = 2**30, 2**25
"""How many free bytes a worker keeps, and the most that such a block has (glibc allows no more)."""
ATTEMPTS = 3
"""How many workers a run may cost before it counts as failed."""


@dataclass(frozen=True)
class Job:
    """Runs that are trained together, or a single one; and for each the records that it is judged against."""

    batch: Sequence[Settings]
    rivals: Sequence[Sequence[Record]]


class Workforce(Protocol):
    """What a comparison needs of those who train: processes here (`Pool`) or a cluster."""

    @property
    def workers(self) -> int:
        """How many runs, or batches of them, can be trained at the same time."""

    @property
    def busy(self) -> Sequence[Any]:
        """One entry for each job that is handed out."""

    @property
    def has_room(self) -> bool:
        """Whether a run can start at once."""

    def open(self) -> None:
        """Get ready while there is something else to do."""

    def close(self) -> None:
        """End what is going on."""

    def start(self, batch: Sequence[Settings], rivals: Sequence[Sequence[Record]] | None = None) -> None:
        """Hand out runs of one task and length, with the records that each is judged against."""

    def wait(self, seconds: float) -> list[Record]:
        """The records of the runs that have ended, after at most `seconds`."""


@dataclass
class Worker:
    """A process, our end of its pipe, and the job it has."""

    process: Any
    pipe: Connection
    job: Job | None = None


class Pool:
    """`workers` processes, started when first needed, ended by `close()`."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._context = _context()
        self._crew: list[Worker] = []
        self._again: list[Job] = []
        self._deaths: dict[tuple[Any, ...], int] = {}

    def open(self) -> None:
        """Have processes import what they need, which takes seconds, while this one has something else to do."""
        if self._context.get_start_method() == FORKSERVER:
            from multiprocessing import forkserver

            with _interrupts_ignored():
                forkserver.ensure_running()
            return
        while len(self._crew) < self.workers:
            self._crew.append(_start(self._context))

    def close(self) -> None:
        """End the processes, whatever they are at."""
        for worker in self._crew:
            worker.process.kill()
        for worker in self._crew:
            worker.process.join()

    @property
    def busy(self) -> list[Job]:
        """The jobs that workers have, and those that wait for another because theirs died."""
        return [w.job for w in self._crew if w.job is not None] + self._again

    @property
    def has_room(self) -> bool:
        """Whether a run can start at once."""
        return len(self.busy) < self.workers

    def start(self, batch: Sequence[Settings], rivals: Sequence[Sequence[Record]] | None = None) -> None:
        """Give runs of one task and length to a worker that has none; `rivals` are the records that each is judged
        against."""
        self._give(Job(batch, rivals or [()] * len(batch)))

    def _at_work(self) -> list[Worker]:
        return [w for w in self._crew if w.job is not None]

    def _give(self, job: Job) -> None:
        worker = next((w for w in self._crew if w.job is None), None)
        if worker is None:
            worker = _start(self._context)
            self._crew.append(worker)
        worker.job = job
        with contextlib.suppress(OSError):  # it died while it had nothing to do: wait() will see that
            worker.pipe.send((job.batch, job.rivals))

    def wait(self, seconds: float) -> list[Record]:
        """The records of the runs that have ended, after at most `seconds`."""
        raise_lost()
        while self._again and len(self._at_work()) < self.workers:
            self._give(self._again.pop(0))
        records: list[Record] = []
        busy = self._at_work()
        ready = wait([w.pipe for w in busy], timeout=seconds)
        for worker in [w for w in busy if w.pipe in ready]:
            job = worker.job
            assert job is not None
            try:
                records += worker.pipe.recv()
                worker.job = None
            except (EOFError, OSError):
                self._crew.remove(worker)
                worker.process.join()
                records += self._bury(job, worker.process.exitcode)
        return records

    def _bury(self, job: Job, exit_code: int) -> list[Record]:
        """Give the runs of a worker that died to others, one by one, so that it shows which it was; or give one up."""
        if len(job.batch) > 1:
            self._again += [Job([s], [r]) for s, r in zip(job.batch, job.rivals, strict=True)]
            return []
        (settings,) = job.batch
        count = self._deaths[settings.key] = self._deaths.get(settings.key, 0) + 1
        if count < ATTEMPTS:
            self._again.append(job)
            return []
        message = f"{ATTEMPTS} worker processes died in this run; the last with exit code {exit_code}"
        return [Record(settings, FAILED, {"step": [], "loss": []}, message)]


def _context() -> Any:
    """How processes are made: where the system can, as copies of one that has imported what they need and done nothing
    else. A copy of this one would have torch's threads in an unknown state."""
    if FORKSERVER not in mp.get_all_start_methods():
        return mp.get_context("spawn")
    context = mp.get_context(FORKSERVER)
    context.set_forkserver_preload(["ravine.lab.runner", "ravine.torch"])
    return context


def _start(context: Any) -> Worker:
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, dict(os.environ)), daemon=True)
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


def _work(pipe: Connection, environment: Mapping[str, str]) -> None:
    """A worker's life: settings in, records out, until the pipe closes. The environment is that of who asks now; the
    process may be a copy of one that was started long before."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(environment, OMP_NUM_THREADS="1")
    _keep_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    from ravine.lab import tasks
    from ravine.lab.runner import run_batch

    torch.set_num_threads(1)
    _leave_compiler_out(torch.optim.Optimizer)
    gc.freeze()  # or what is imported is looked through for garbage again and again
    while True:
        try:
            batch, rivals = pipe.recv()
        except EOFError:
            return
        pipe.send(run_batch(partial(tasks.find, batch[0].task), batch, rivals))


def _leave_compiler_out(optimizer: type) -> None:
    """Have torch's optimizers not import its compiler, which takes more than a second, only to tell it that it must not
    look into some of their methods: as long as nobody else imports it, there is none that could."""

    def directly(method: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            if (compiler := sys.modules.get("torch._dynamo")) is not None:
                return compiler.disable(method, wrapping=False)(*args, **options)
            return method(*args, **options)

        return call

    for method in [m.__wrapped__ for m in vars(optimizer).values() if hasattr(m, "__wrapped__")]:
        method.__dynamo_disable = directly(method)  # where torch._compile looks before it imports


def _keep_memory() -> None:
    """Have the C library keep what is freed. It gives blocks of some megabytes back to the system at once, and the next
    ones, new pages all of them, cost more than the arithmetic on them: activations come and go at every step."""
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)


def _end_with_parent() -> None:
    """Wait for the end of the process that started this one, and end this one, whatever it is at."""
    parent = mp.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
