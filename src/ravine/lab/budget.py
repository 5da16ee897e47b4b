"""`--budget`: how many trials fit into a time, and when to stop so that it is kept to."""

from __future__ import annotations

import math
import re
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ravine.lab.contender import Contender
from ravine.lab.pool import Workforce
from ravine.lab.protocol import Protocol, missing
from ravine.lab.records import DEFAULTS, FINISHED, Record, Settings
from ravine.lab.results import Results

UNITS = {"s": 1, "m": 60, "h": 3600}
RESERVE = 0.75
"""The part of the time for runs that is planned: what a run takes differs from point to point, and with what else the
machine does."""
MOST_TRIALS = 64
FEWEST_REPETITIONS = 3
"""With fewer nothing is reported: there is nothing to be sure of."""
TOLERANCE = 0.1


def seconds(text: str) -> float:
    """The seconds in 90s, 10m, 1.5h. Raises ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip())
    if not match or float(match[1]) == 0:
        raise ValueError(f"a budget is a number and s, m or h, as in 10m; got {text!r}")
    return float(match[1]) * UNITS[match[2]]


@dataclass(frozen=True)
class Costs:
    """What was measured, in seconds: a run of each contender on one worker, keeping a run, and a small report."""

    runs: Mapping[str, float]
    keeping: float
    report: float

    def of_runs(self, header: Results, workers: int) -> float:
        """All runs of a comparison."""
        counts = {c["name"]: header.protocol.runs(c["space"]) for c in header.contenders}
        return sum(n * (self.runs[name] / workers + self.keeping) for name, n in counts.items())

    def of_closing(self, header: Results) -> float:
        """The report of a comparison. That of 450 runs takes three times as long as that of nine, and then every
        1500 runs add as much as the small one."""
        return self.report * (3 + header.runs / 1500)


@dataclass(frozen=True)
class Plan:
    """What was decided, in words why, and the seconds that a repetition and the report are expected to take."""

    protocol: Protocol
    text: str
    repetition: float
    closing: float


@dataclass
class Limit:
    """When to stop. No repetition is begun that would not end in time, and when the time is up what is not ready is
    given up. Only where fewer than three repetitions are complete a tenth of the budget more is waited for them.

    `deadline` is a time of time.monotonic(), `repetition` how long one takes, as planned and then as measured.
    """

    plan: Plan
    deadline: float
    budget: float
    repetition: float = math.nan

    def __post_init__(self) -> None:
        self.repetition = self.plan.repetition

    @property
    def left(self) -> float:
        """Seconds left for runs: the report, which takes as much longer than planned as they do, comes after them."""
        slower = max(1.0, self.repetition / self.plan.repetition)
        return self.deadline - slower * self.plan.closing - time.monotonic()

    @property
    def has_room(self) -> bool:
        """Whether a further repetition would end in time."""
        return self.repetition < self.left

    def is_over(self, complete: int, wanted: int) -> bool:
        """Whether to stop, with so many repetitions complete."""
        return self.left <= (0.0 if complete >= min(FEWEST_REPETITIONS, wanted) else -TOLERANCE * self.budget)


def plan(header: Results, budget: float, left: float, workers: int, costs: Costs) -> Plan:
    """The protocol with as many trials (at most 64) as fit into the `left` seconds of a budget; with fewer than 2,
    fewer repetitions, down to 3. Raises ValueError if that doesn't fit either."""
    asked, spent = header.protocol, budget - left
    fewest = min(FEWEST_REPETITIONS, asked.seeds)

    def needed(made: Results) -> float:
        return costs.of_runs(made, workers) / RESERVE + costs.of_closing(made)

    def with_(trials: int, seeds: int) -> Results:
        return replace(header, protocol=replace(asked, trials=trials, seeds=seeds))

    for seeds in range(asked.seeds, fewest - 1, -1):
        for trials in range(MOST_TRIALS, 1, -1):
            made = with_(trials, seeds)
            if needed(made) <= left:
                runs, closing = costs.of_runs(made, workers), costs.of_closing(made)
                text = (
                    f"Planned for {budget:.0f} s: {trials} trials and {seeds} repetitions for each of "
                    f"{len(header.contenders)} optimizers, about {spent + runs + closing:.0f} s in all."
                )
                return Plan(made.protocol, text, runs / seeds, closing)
    least = spent + needed(with_(2, fewest))
    raise ValueError(
        f"a budget of {budget:.0f} s is too short: 2 trials and {fewest} repetitions take about {least:.0f} s"
    )


def measure(
    header: Results, contenders: Sequence[Contender], pool: Workforce, most: int = 1
) -> tuple[Costs, list[Record]]:
    """What a run of each contender costs beside others, what keeping it and what the report; and these runs' records,
    which are part of the comparison.

    Where up to `most` runs are trained together, a batch of each contender is measured: its runs with defaults and the
    first trials of all repetitions, which every plan has.
    """
    batches = []
    for c in contenders:
        known = [s for s in missing(header.protocol, header.task["spec"], c, c.space, [])[0] if s.trial < 1]
        batches.append([s for s in known if s.stage == DEFAULTS and s.repetition == 0] if most == 1 else known[:most])
    first = [s for batch in batches for s in batch]
    with tempfile.TemporaryDirectory() as folder:
        _report(header, Path(folder))  # loads what draws, while the processes start
    _timed(pool, [[replace(s, steps=1)] for s in first[: pool.workers]])  # and each loads the data
    timed = _timed(pool, batches)
    timed.sort(key=lambda one: first.index(one[0].settings))  # as the contenders
    records = [r for r, _ in timed]
    whole = [t for r, t in timed if r.status == FINISHED]
    runs = {}
    for name in header.names:
        own = [(r, t) for r, t in timed if r.settings.contender == name]
        ended = [t for r, t in own if r.status == FINISHED]  # a run that broke off tells nothing
        runs[name] = max(ended or whole or [t for _, t in own])
    with tempfile.TemporaryDirectory() as folder:
        keeping = _keeping(header, records, Path(folder))
        report = _report(replace(header, records=records), Path(folder))
    return Costs(runs, keeping, report), records


def _timed(pool: Workforce, queue: Iterable[Sequence[Settings]]) -> list[tuple[Record, float]]:
    """Run batches; each record with its share of the seconds from its batch's start to its return."""
    waiting, found = list(queue), []
    began: dict[tuple[Any, ...], tuple[float, int]] = {}
    while waiting or pool.busy:
        while waiting and pool.has_room:
            batch = waiting.pop(0)
            began |= dict.fromkeys((s.key for s in batch), (time.monotonic(), len(batch)))
            pool.start(batch)
        for record in pool.wait(1.0):
            start, count = began[record.settings.key]
            found.append((record, (time.monotonic() - start) / count))
    return found


def _keeping(header: Results, records: Sequence[Record], folder: Path) -> float:
    """Seconds that it takes to queue, claim and keep a run, in a storage that is thrown away."""
    from ravine.lab.entry import entries
    from ravine.lab.store import Store

    store = Store(f"sqlite:///{folder / 'scratch.sqlite3'}")
    entry = entries(header)[0]
    study = store.enter(entry)
    store.claim({study: entry})
    claims, began = 0, time.monotonic()
    for record in records[1:9] or records:
        claim = store.claim({study: entry})
        if claim is None:
            break
        store.finish(claim, replace(record, settings=claim.settings))
        claims += 1
    return (time.monotonic() - began) / max(1, claims)


def _report(results: Results, folder: Path) -> float:
    """Seconds that a report of a few runs takes."""
    from ravine.lab import report

    began = time.monotonic()
    report.write_all(results, folder)
    return time.monotonic() - began
