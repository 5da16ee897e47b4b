"""A comparison from start to end: plan, run, collect."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ravine
from ravine.lab import pool, tasks
from ravine.lab.contender import Contender
from ravine.lab.protocol import Protocol, remaining
from ravine.lab.records import Record, Settings
from ravine.lab.results import Results

OnRecord = Callable[[Record, int], None]
"""Called with each record as it comes, and the number of runs that are still to do."""


def prepare(task_name: str, contenders: Sequence[Contender], protocol: Protocol) -> Results:
    """Results without records: everything that is known before the first run."""
    task = tasks.find(task_name)
    described = {"name": task.name, "title": task.title, "about": task.about, "batch_size": task.batch_size}
    described["evaluations"] = task.evaluations
    return Results(described, protocol, [c.describe() for c in contenders], environment())


def run(results: Results, contenders: Sequence[Contender], workers: int, on_record: OnRecord) -> Results:
    """Run what is missing. The records are added to `results.records` as they come, so that an interruption
    (KeyboardInterrupt) loses none."""
    spaces = {c["name"]: c["space"] for c in results.contenders}
    records: list[Record] = results.records  # type: ignore[assignment]
    started: set[tuple[Any, ...]] = {r.settings.key for r in records}

    def todo() -> tuple[list[Settings], int]:
        return remaining(results.protocol, results.task["name"], contenders, spaces, records)

    def next_run() -> Settings | None:
        settings = next((s for s in todo()[0] if s.key not in started), None)
        if settings:
            started.add(settings.key)
        return settings

    for record in _closing(pool.run_all(next_run, workers)):
        records.append(record)
        ready, later = todo()
        on_record(record, len(ready) + later)
    return results


def _closing(records: Iterator[Record]) -> Iterator[Record]:
    """The same records; the workers end with the loop over them, whatever ends it."""
    try:
        yield from records
    finally:
        records.close()  # type: ignore[attr-defined]


def environment() -> dict[str, Any]:
    """What timings, and the last bits of losses, may depend on."""
    import torch

    return {
        "ravine": ravine.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        return platform.processor()
