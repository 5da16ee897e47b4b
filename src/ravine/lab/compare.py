"""A comparison from start to end: plan, run, collect."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import ravine
from ravine.lab import tasks
from ravine.lab.contender import Contender
from ravine.lab.pool import Pool
from ravine.lab.protocol import Protocol
from ravine.lab.records import Record
from ravine.lab.results import Results
from ravine.lab.store import Claim, Entry, Store, entries

OnRecord = Callable[[Record | None, int], None]
"""Called with each record as it comes, or None at the start, and the number of runs that are done."""

PATIENCE = 1.0
"""Seconds between looks at the storage while others have all that is left."""


def prepare(spec: str, contenders: Sequence[Contender], protocol: Protocol) -> Results:
    """Results without records: everything that is known before the first run."""
    task: Any = tasks.find(spec)
    described = {"spec": spec, "digest": tasks.digest(spec)}
    described |= {n: getattr(task, n) for n in ("name", "title", "about", "batch_size", "evaluations")}
    return Results(described, protocol, [c.describe() for c in contenders], environment())


def run(header: Results, store: Store, workers: int, on_record: OnRecord = lambda record, done: None) -> None:
    """Run what is missing; whatever ends this, the runs that have ended are in the store."""
    todo = {store.enter(e): e for e in entries(header)}
    done = {study: _count(store, study, header) for study in todo}
    on_record(None, sum(done.values()))

    def left() -> dict[int, Entry]:
        return {s: e for s, e in todo.items() if done[s] < e.protocol.runs(e.contender["space"])}

    with Crew(store, workers) as crew:
        while open_studies := left():
            for study, record in crew.work(open_studies):
                done[study] += record.settings.repetition < header.protocol.seeds
                on_record(record, sum(done.values()))
            if not crew.is_busy:  # others may have done the rest
                done |= {study: _count(store, study, header) for study in open_studies}


def serve(store: Store, workers: int, on_record: Callable[[Record], None], go_on: Callable[[], bool]) -> None:
    """Run what any comparison has in the store, for as long as `go_on()` holds or runs are busy.

    Only what this machine would run alike is taken: the same versions of Ravine and torch, the same task file.
    """
    with Crew(store, workers) as crew:
        studies: dict[int, Entry] = {}
        while crew.is_busy or go_on():
            if not crew.is_busy:
                studies = {s: e for s, e in store.entered().items() if _is_ours(e)}
            for _, record in crew.work(studies):
                on_record(record)


class Crew:
    """A pool of processes at work on a store: claims runs, keeps their records, gives signs of life."""

    def __init__(self, store: Store, workers: int) -> None:
        self.store, self.pool = store, Pool(workers)
        self.claims: list[Claim] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.pool.close()
        self.store.give_back(self.claims)

    @property
    def is_busy(self) -> bool:
        """Whether it has runs."""
        return bool(self.claims)

    def work(self, studies: Mapping[int, Entry]) -> list[tuple[int, Record]]:
        """Start what can be started of these studies and wait a little; return (study, record) for what has ended."""
        if not self.is_busy:
            for study in studies:
                self.store.reclaim(study)
        while self.pool.has_room and (claim := self.store.claim(studies)):
            self.claims.append(claim)
            self.pool.start(claim.settings, self.store.rivals(claim))
        ended = []
        for record in self.pool.wait(PATIENCE):
            claim = next(c for c in self.claims if c.settings == record.settings)
            self.store.finish(claim, record)
            self.claims.remove(claim)
            ended.append((claim.study_id, record))
        self.store.beat(self.claims)
        return ended


def _is_ours(entry: Entry) -> bool:
    here = environment()
    if any(entry.environment[n] != here[n] for n in ("ravine", "torch")):
        return False
    try:
        return bool(tasks.digest(entry.task["spec"]) == entry.task["digest"])
    except (ValueError, OSError):
        return False


def collect(header: Results, store: Store) -> Results:
    """The results as far as the store has them."""
    studies = {e.study: i for i, e in store.entered().items()}
    found = [r for e in entries(header) if e.study in studies for r in store.records(studies[e.study])]
    return replace(header, records=[r for r in found if r.settings.repetition < header.protocol.seeds])


def _count(store: Store, study: int, header: Results) -> int:
    """The runs of this comparison that a study has: it may hold further repetitions of another."""
    return sum(r.settings.repetition < header.protocol.seeds for r in store.records(study))


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
