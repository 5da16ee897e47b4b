"""The runs of a comparison on a dask.distributed cluster, in place of processes of its own (`ravine.lab.pool`).

Which machine runs what, and what becomes of the work of one that dies, is the scheduler's business. The comparison
hands out runs and keeps their records, so the workers need no storage.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import ravine
from ravine.errors import require
from ravine.lab import tasks
from ravine.lab.interrupt import raise_lost
from ravine.lab.pool import Job
from ravine.lab.records import FAILED, Record, Settings

PATIENCE = 10
"""Seconds to wait for the scheduler at the start."""
_ONE_AT_A_TIME = threading.Lock()
"""Runs of one process share torch's generator and the standard output: a worker with threads trains one at a time."""


class ClusterError(OSError):
    """The scheduler can't be reached, or a worker of its is not fit for the work."""


class Cluster:
    """What `Pool` is, on the workers of the scheduler at an address, as tcp://host:8786, whoever joins and leaves.

    A worker must have this machine's versions of Ravine and torch, and the same task file under the same path. Raises
    ClusterError if there is no scheduler, or later where it is gone or a worker is not fit.
    """

    def __init__(self, address: str) -> None:
        require("--on", "distributed")
        from distributed import Client

        try:
            self._client: Any = cast(Any, Client)(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise ClusterError(f"no dask scheduler at {address}: {error}") from None
        self.address = address
        self._futures: dict[Any, Job] = {}

    def open(self) -> None:
        """The workers are there already."""

    def close(self) -> None:
        """Call off what is not done, and leave the cluster as it is."""
        if self._client.status == "closed":
            return
        with contextlib.suppress(ClusterError):
            self._ask(self._client.cancel, list(self._futures), force=True)
        self._futures.clear()
        self._client.close()

    @property
    def workers(self) -> int:
        """How many workers there are now; 1 if none, for whoever joins first."""
        return max(1, len(self._ask(self._client.nthreads)))

    @property
    def busy(self) -> list[Job]:
        """What is handed out and not back."""
        return list(self._futures.values())

    @property
    def has_room(self) -> bool:
        """Whether a worker has nothing to do."""
        return len(self._futures) < self.workers

    def start(self, batch: Sequence[Settings], rivals: Sequence[Sequence[Record]] | None = None) -> None:
        """Hand out runs of one task and length, as `Pool.start`."""
        job = Job(list(batch), list(rivals or [()] * len(batch)))
        submit = partial(self._client.submit, pure=False)
        self._futures[self._ask(submit, _train, job, _versions(), tasks.digest(job.batch[0].task))] = job

    def wait(self, seconds: float) -> list[Record]:
        """The records of the runs that have ended, after at most `seconds`."""
        from distributed import wait
        from distributed.scheduler import KilledWorker

        raise_lost()
        if not self._futures:
            time.sleep(seconds)
            return []
        try:
            with self._client.as_current():
                ended = self._ask(wait, list(self._futures), timeout=seconds, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            return []
        records: list[Record] = []
        for future in ended:
            job = self._futures.pop(future)
            try:
                records += self._ask(future.result)
            except KilledWorker as error:
                records += self._bury(job, error.allowed_failures + 1)
        return records

    def _bury(self, job: Job, deaths: int) -> list[Record]:
        """Runs that cost more workers than the scheduler allows: try them one by one, so that it shows which it was; or
        give one up."""
        if len(job.batch) > 1:
            for settings, rivals in zip(job.batch, job.rivals, strict=True):
                self.start([settings], [rivals])
            return []
        message = f"{deaths} workers of the cluster died in this run"
        return [Record(job.batch[0], FAILED, {"step": [], "loss": []}, message)]

    def _ask(self, do: Any, *args: Any, **kwargs: Any) -> Any:
        """What the scheduler answers. Raises ClusterError where it no longer does."""
        from concurrent.futures import CancelledError

        try:
            return do(*args, **kwargs)
        except (TimeoutError, ClusterError):
            raise
        except (OSError, CancelledError) as error:
            said = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
            raise ClusterError(
                f"the dask scheduler at {self.address} is gone: {said}. Runs that have ended are kept: the same "
                "command goes on, with another address or without --on"
            ) from None


def _versions() -> str:
    import torch

    return f"Ravine {ravine.__version__} and torch {torch.__version__}"


def _train(job: Job, versions: str, digest: str) -> list[Record]:
    """On a worker: see that it has what the comparison has, and train."""
    import torch

    from ravine.lab.runner import run_batch

    spec = job.batch[0].task
    if _versions() != versions:
        raise ClusterError(f"a worker of the cluster has {_versions()}, the comparison {versions}")
    if tasks.digest(spec) != digest:
        raise ClusterError(f"a worker of the cluster has another file of task {spec}")
    torch.set_num_threads(1)
    with _ONE_AT_A_TIME:
        return run_batch(partial(tasks.find, spec), job.batch, job.rivals)
