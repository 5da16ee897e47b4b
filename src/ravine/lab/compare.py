"""A comparison from start to end: plan, run, collect."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import ravine
from ravine.lab import batched, tasks
from ravine.lab.budget import FEWEST_REPETITIONS, Limit
from ravine.lab.contender import Contender
from ravine.lab.entry import Entry, entries
from ravine.lab.pool import Pool, Workforce
from ravine.lab.protocol import Protocol
from ravine.lab.records import FAILED, Record, Settings
from ravine.lab.results import Results
from ravine.lab.store import Claim, Store
from ravine.lab.task import Task

if TYPE_CHECKING:
    from torch import nn

OnRecord = Callable[[Record | None, int], None]
"""Called with each record as it comes, or None at the start, and the number of runs that are done."""

PATIENCE = 1.0
"""Seconds between looks at the storage while others have all that is left."""


def prepare(spec: str, contenders: Sequence[Contender], protocol: Protocol) -> Results:
    """Results without records: everything that is known before the first run. Raises ValueError where a rule can't step
    a parameter of the task's model, or a set has no rule for it."""
    task: Any = tasks.find(spec)
    model = _model(task) if isinstance(task, Task) else None
    if model is not None:
        _check(task, model, contenders)
    described = {"spec": spec, "digest": tasks.digest(spec), "files": [_relative(f) for f in tasks.covered(spec)]}
    described |= {n: getattr(task, n) for n in ("name", "title", "about", "batch_size", "evaluations")}
    return Results(described, protocol, [c.describe(model) for c in contenders], environment())


def _model(task: Task) -> nn.Module | None:
    """The model of a task; None where it can't be made: a run will tell why."""
    with suppress(Exception):
        model = task.model()
        next(model.parameters()).shape  # noqa: B018 - a lazy module's have none yet
        return model
    return None


def _check(task: Task, model: nn.Module, contenders: Sequence[Contender]) -> None:
    """Raise ValueError where a contender can't step the task's model."""
    from ravine.lab.making import build

    choosy = [c for c in contenders if c.method.is_choosy]
    for contender in choosy:
        try:
            build(contender.method, contender.fixed, model)
        except ValueError as error:
            here = "" if contender.method.parts else f"; in a comparison that is {contender.rule}-set"
            raise ValueError(f"{contender.name} can't step the model of {task.name}: {error}{here}") from error


def _relative(file: Path) -> str:
    return os.path.relpath(file) if file.is_relative_to(Path.cwd()) else str(file)


def run(
    header: Results,
    store: Store,
    pool: Workforce,
    on_record: OnRecord = lambda record, done: None,
    limit: Limit | None = None,
    *,
    is_batched: bool = True,
) -> None:
    """Run what is missing; whatever ends this, the runs that have ended are in the store.

    If nothing was there and the first runs of all contenders fail, nothing more is tried.
    With `is_batched` runs are trained together where the task allows it.
    With a limit the first three repetitions are begun at once, then one after the other while there is time.
    """
    wanted = header.protocol.seeds
    seeds = wanted if limit is None else min(FEWEST_REPETITIONS, wanted)
    todo = _enter(header, store, seeds)
    done = {study: _count(store, study, seeds) for study in todo}
    on_record(None, sum(done.values()))
    began, made = time.monotonic(), 0
    untried = None if sum(done.values()) else {e.contender["name"] for e in todo.values()}
    each = header.runs // wanted

    def left() -> dict[int, Entry]:
        return {s: e for s, e in todo.items() if done[s] < e.protocol.runs(e.contender["space"])}

    with Crew(store, pool, is_batched=is_batched) as crew:
        while limit is None or limit.left > 0 or not limit.is_over(complete(header, store), wanted):
            crew.start(left())
            while limit is not None and crew.has_room and seeds < wanted and limit.has_room:
                seeds += 1
                todo = _enter(header, store, seeds)
                done = {study: _count(store, study, seeds) for study in todo}
                crew.start(left())
            open_studies = left()
            if not open_studies and not crew.is_busy:
                return
            for study, record in crew.collect():
                done[study] += record.settings.repetition < seeds
                on_record(record, sum(done.values()))
                made += 1
                if untried is not None:
                    untried = untried - {record.settings.contender} if record.status == FAILED else None
            if untried == set():
                return
            if limit is not None and made >= each:
                limit.repetition = (time.monotonic() - began) / made * each
            if not crew.is_busy:  # others may have done the rest
                done |= {study: _count(store, study, seeds) for study in open_studies}


def _enter(header: Results, store: Store, seeds: int) -> dict[int, Entry]:
    """The studies of a comparison with so many repetitions."""
    shorter = replace(header, protocol=replace(header.protocol, seeds=seeds))
    return {store.enter(e): e for e in entries(shorter)}


def complete(header: Results, store: Store) -> int:
    """How many of the first repetitions have all their runs, of all contenders."""
    runs = Counter(r.settings.repetition for r in collect(header, store).records)
    each = header.runs // header.protocol.seeds
    return next((i for i in range(header.protocol.seeds) if runs[i] < each), header.protocol.seeds)


def serve(
    store: Store,
    workers: int,
    on_record: Callable[[Record], None],
    go_on: Callable[[], bool],
    on_idle: Callable[[str], None] = lambda why: None,
) -> None:
    """Run what any comparison has in the store, for as long as `go_on()` holds or runs are busy; `on_idle` is told why
    there is nothing to run.

    Only what this machine would run alike is taken: the same versions of Ravine and torch, the same task file.
    """
    with Crew(store, Pool(workers)) as crew:
        studies: dict[int, Entry] = {}
        while crew.is_busy or go_on():
            if not crew.is_busy:
                entered = store.entered()
                others = {s: why for s, e in entered.items() if (why := why_not_here(e))}
                studies = {s: e for s, e in entered.items() if s not in others}
            crew.start(studies)
            if not crew.is_busy:
                on_idle(_idleness(len(studies), others))
            for _, record in crew.collect():
                on_record(record)


class Crew:
    """A pool of processes at work on a store: claims runs, keeps their records, gives signs of life. It ends with
    the pool, whatever that is at."""

    def __init__(self, store: Store, pool: Workforce, *, is_batched: bool = True) -> None:
        self.store, self.pool, self.is_batched = store, pool, is_batched
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

    @property
    def has_room(self) -> bool:
        """Whether a worker has nothing to do."""
        return self.pool.has_room

    def start(self, studies: Mapping[int, Entry]) -> None:
        """Start what can be started of these studies."""
        if not self.is_busy:
            for study in studies:
                self.store.reclaim(study)
        while self.pool.has_room and (batch := self.store.claim_some(studies, self._most)):
            self.claims += batch
            self.pool.start([c.settings for c in batch], [self.store.rivals(c) for c in batch])

    def _most(self, settings: Settings) -> int:
        return most_together(settings.task) if self.is_batched else 1

    def collect(self) -> list[tuple[int, Record]]:
        """Wait a little; return (study, record) for what has ended."""
        ended = []
        for record in self.pool.wait(PATIENCE):
            claim = next(c for c in self.claims if c.settings == record.settings)
            ended.append((claim, record))
        self.store.finish_all(ended)
        for claim, _ in ended:
            self.claims.remove(claim)
        self.store.beat(self.claims)
        return [(claim.study_id, record) for claim, record in ended]


def most_together(task: str) -> int:
    """How many runs of a task to train together."""
    with suppress(Exception):  # what is wrong with a task shows in its runs
        return batched.most(tasks.find(task))
    return 1


def why_not_here(entry: Entry) -> str:
    """Why this machine would not run an entry as the one that entered it, or ""."""
    here = environment()
    for name in ("ravine", "torch"):
        if entry.environment[name] != here[name]:
            return f"for {name} {entry.environment[name]}, here is {here[name]}"
    spec = entry.task["spec"]
    try:
        is_same = tasks.digest(spec) == entry.task["digest"]
    except (ValueError, OSError):
        return f"of task {spec}, which is not here"
    return "" if is_same else f"of task {spec}, which is another file here"


def _idleness(ours: int, others: Mapping[int, str]) -> str:
    """Why there is nothing to run, in a line."""
    parts = [f"{ours} optimizers have all their runs, done or taken"] if ours else []
    parts += [f"{count} are {why}" for why, count in Counter(others.values()).items()]
    return "; ".join(parts) or "no comparison is in the storage"


def collect(header: Results, store: Store) -> Results:
    """The results as far as the store has them."""
    studies = {e.study: i for i, e in store.entered().items()}
    found = [r for e in entries(header) if e.study in studies for r in store.records(studies[e.study])]
    whole = replace(header, records=[r for r in found if r.settings.repetition < header.protocol.seeds])
    return replace(whole, records=[r for name in whole.names for r in whole.of(name)])  # in the order of the file


def _count(store: Store, study: int, seeds: int) -> int:
    """The runs of the first repetitions that a study has: it may hold further ones, of another comparison."""
    return sum(r.settings.repetition < seeds for r in store.records(study))


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
