"""What every form of `ravine compare` runs with: a task, workers, a folder to write to, and a bar."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from ravine.lab.budget import Limit
    from ravine.lab.pool import Workforce
    from ravine.lab.results import Results
    from ravine.lab.store import Store


def workforce(given: dict[str, Any], workers: int) -> Workforce:
    """Who runs: processes of this machine, or the workers of a dask scheduler."""
    from ravine.lab.pool import Pool

    return cluster(given) if given["on"] else Pool(workers)


def cluster(given: dict[str, Any]) -> Workforce:
    """The workers of a dask scheduler."""
    from ravine.lab.cluster import Cluster

    if given["workers"] is not None:
        raise ValueError("--workers is for processes of this machine: with --on the cluster has its own")
    return Cluster(given["on"])


def run_with_progress(
    header: Results,
    store: Store,
    pool: Workforce,
    console: Console,
    limit: Limit | None,
    *,
    is_batched: bool = True,
    measured: int = 0,
) -> bool:
    """Run what is missing under a bar with the time left; `measured` runs were made by this command before. Returns
    whether Ctrl-C ended it."""
    from ravine.cli.progress import Bar
    from ravine.lab import compare as lab

    try:
        name = str(header.task["name"]) + (", bad runs stopped early" if header.protocol.prune else "")
        with Bar(console, header.runs, name, measured) as bar:
            store.storage.say = bar.note
            lab.run(header, store, pool, bar.show, limit, is_batched=is_batched)
    except KeyboardInterrupt:
        return True
    return False


def tasks_find(task: str) -> Any:
    """The task, found in this process, so that a mistake shows before anything runs."""
    from ravine.lab import tasks

    return tasks.find(task)


def writable(out: Path) -> None:
    """Make the folder and see that it can be written to, before anything runs. Raises OSError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".ravine-write-test"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise OSError(f"can't write to --out {str(out)!r}: {error.strerror}") from None


def worker_count(workers: int | None) -> int:
    """The number asked for, or the cores that this process may use. Raises ValueError below 1."""
    if workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    return workers
