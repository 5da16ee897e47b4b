"""From records to the numbers of the report. Reads records, runs nothing."""

from __future__ import annotations

import math
import statistics as stdlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ravine.lab.protocol import SOBOL, Protocol, best_of
from ravine.lab.records import DEFAULTS, DIVERGED, FAILED, FINAL, FINISHED, PRUNED, TUNING, Record
from ravine.lab.sensitivity import robust_decades
from ravine.lab.space import Space, Span
from ravine.lab.statistics import (
    NOTHING,
    Interval,
    Pair,
    Scores,
    geometric_interval,
    mean_interval,
    pairs,
    ranks,
    scores,
)

if TYPE_CHECKING:
    from ravine.lab.results import Results


@dataclass(frozen=True)
class Row:
    """One contender. A mean over repetitions is given only where all scored runs finished: a diverged run has no final
    loss, and leaving it out would flatter. `median_loss` counts it as infinite. Means of losses are geometric where the
    comparison's scored losses are all positive."""

    name: str
    best: Mapping[str, float]
    """Each tuned hyperparameter: the median of the repetitions' best, on the scale that was searched."""
    best_range: Mapping[str, tuple[float, float]]
    at_edge: tuple[str, ...]
    """Hyperparameters whose best was at the end of its range in at least half of the repetitions."""
    loss: Interval
    accuracy: Interval
    gap: Interval
    """Validation loss less training loss at the end."""
    defaults_loss: Interval
    """The final loss with the rule's default hyperparameters."""
    median_loss: float
    rank: Interval
    steps_to_target: Interval
    """The geometric mean where all scored runs got there, else the median, without bounds (infinite: half did not)."""
    seconds_to_target: float
    reached: int
    scored: int
    scored_finished: int
    runs: int
    diverged: int
    failed: int
    pruned: int
    """Trials that were stopped early."""
    seconds_per_step: float
    robust_decades: float
    """Over how many powers of ten of the learning rate the tuning loss is within 10% of its best; NaN if not only the
    learning rate was tuned (what it may be then depends on the others), if a search chose the rates, or if a trial was
    stopped early: where it would have ended is not known."""
    tuning_curve: tuple[float, ...]
    """The best tuning loss after 1, 2, … trials, mean over repetitions."""

    @property
    def diverged_share(self) -> float:
        """The share of this contender's runs, tuning and all, that diverged."""
        return self.diverged / self.runs if self.runs else math.nan


@dataclass(frozen=True)
class Summary:
    """The rows, best first by mean score (see `Scores`), or as entered while runs are missing: then nobody is ranked,
    and there are no pairs. `target` is the protocol's, or the median of the contenders' median final losses; `steps`
    holds the pairs by their steps to it, `scores` what the order is by."""

    target: float
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    steps: tuple[Pair, ...]
    scores: Scores

    def pair(self, a: str, b: str) -> Pair | None:
        """The pair of these two, in either order."""
        return _of_two(self.pairs, a, b)

    def steps_pair(self, a: str, b: str) -> Pair | None:
        """The same by the steps to the target."""
        return _of_two(self.steps, a, b)


def _of_two(found: Sequence[Pair], a: str, b: str) -> Pair | None:
    return next((p for p in found if {p.a, p.b} == {a, b}), None)


def summarise(results: Results) -> dict[str, Any]:
    """The summary as it stands in results.json."""
    made = results.summary
    return {
        "target": made.target,
        "rows": [{**vars(r), "diverged_share": r.diverged_share} for r in made.rows],
        "pairs": [{**vars(p), "separated": p.separated} for p in made.pairs],
        "steps_pairs": [{**vars(p), "separated": p.separated} for p in made.steps],
    }


def summary(results: Results) -> Summary:
    """The numbers of the report."""
    finals = {n: results.of(n, FINAL) for n in results.names}
    target = results.protocol.target
    if target is None:
        medians = [m for runs in finals.values() if math.isfinite(m := median_loss(runs))]
        target = stdlib.median(medians) if medians else math.nan
    losses = {n: [r.loss for r in runs] for n, runs in finals.items()}
    made = scores(losses)
    if not results.is_complete:
        rows = [_row(results, c["name"], c["space"], target, NOTHING, made.is_log) for c in results.contenders]
        return Summary(target, tuple(rows), (), (), made)
    means = dict(zip(made.names, made.table.mean(axis=1), strict=True))
    names = sorted(means, key=means.__getitem__)
    found = pairs({n: losses[n] for n in names}, results.protocol.looks)
    places, spaces = ranks(made, found), {c["name"]: c["space"] for c in results.contenders}
    rows = [_row(results, n, spaces[n], target, places[n], made.is_log) for n in names]
    steps = {n: [max(1.0, r.first_at(target)[0]) for r in finals[n]] for n in names}
    return Summary(target, tuple(rows), tuple(found), tuple(pairs(steps)), made)


def median_loss(records: Sequence[Record]) -> float:
    """The median final validation loss; runs that did not finish count as infinite."""
    return stdlib.median(r.validation_loss for r in records) if records else math.inf


def _gap(record: Record) -> float:
    """Validation loss less training loss at the end; NaN where there is no training loss."""
    return record.validation_loss - record.curve["train_loss"][-1] if "train_loss" in record.curve else math.nan


def _row(results: Results, name: str, space: Space, target: float, rank: Interval, is_log: bool) -> Row:
    tuning, finals, runs = results.of(name, TUNING), results.of(name, FINAL), results.of(name)
    finished = [r for r in finals if r.status == FINISHED]
    chosen = [best for r in finals if (best := best_of(_of_repetition(tuning, r))) is not None]
    tuned = {n: [r.settings.hyper[n] for r in chosen] for n in space if chosen}
    edges = {n: sum(_ends(results, Span(*space[n]), n, tuning, r) for r in chosen) for n in tuned}
    reached = [r.first_at(target) for r in finals]
    steps = [r.seconds_per_step for r in runs if math.isfinite(r.seconds_per_step)]
    return Row(
        name=name,
        best={n: Span(*space[n]).middle(values) for n, values in tuned.items()},
        best_range={n: (min(values), max(values)) for n, values in tuned.items()},
        at_edge=tuple(n for n, count in edges.items() if 2 * count >= len(chosen)),
        loss=_mean_loss([r.loss for r in finals], is_log),
        accuracy=_share(_mean(finals, lambda r: r.accuracy)),
        gap=_mean(finals, _gap),
        defaults_loss=_mean_loss([r.loss for r in results.of(name, DEFAULTS)], is_log),
        median_loss=median_loss(finals),
        rank=rank,
        steps_to_target=_steps([s for s, _ in reached]),
        seconds_to_target=stdlib.median(s for _, s in reached) if reached else math.inf,
        reached=sum(math.isfinite(s) for s, _ in reached),
        scored=len(finals),
        scored_finished=len(finished),
        runs=len(runs),
        diverged=sum(r.status == DIVERGED for r in runs),
        failed=sum(r.status == FAILED for r in runs),
        pruned=sum(r.status == PRUNED for r in runs),
        seconds_per_step=stdlib.median(steps) if steps else math.nan,
        robust_decades=robust_decades(tuning, Span(*space["lr"])) if is_one_line(results, space, tuning) else math.nan,
        tuning_curve=_tuning_curve(tuning),
    )


def is_one_line(results: Results, space: Space, tuning: Sequence[Record]) -> bool:
    """Whether every repetition tried learning rates spread evenly, nothing else, and each to the end."""
    return list(space) == ["lr"] and is_joined(results.protocol, space, tuning)


def is_joined(protocol: Protocol, space: Space, tuning: Sequence[Record]) -> bool:
    """Whether a line may join the trials: only one hyperparameter was searched, evenly, and no trial stopped early."""
    return len(space) == 1 and protocol.search == SOBOL and not any(r.status == PRUNED for r in tuning)


def _ends(results: Results, span: Span, name: str, tuning: Sequence[Record], best: Record) -> bool:
    """Whether the best value is the lowest or highest of at least three that its repetition tried; where the later
    trials are chosen by what came out, whether it is as close to the end of the span as these are when spread evenly.
    """
    value, tried = best.settings.hyper[name], {r.settings.hyper[name] for r in _of_repetition(tuning, best)}
    if results.protocol.search == SOBOL:
        return len(tried) > 2 and value in (min(tried), max(tried))
    share = span.share(value)
    return min(share, 1 - share) <= 0.5 / results.protocol.trials


def _mean_loss(losses: Sequence[float], is_log: bool) -> Interval:
    """The mean of final losses, geometric where that can be, if all runs finished."""
    if not losses or not all(map(math.isfinite, losses)):
        return NOTHING
    return geometric_interval(losses) if is_log and min(losses) > 0 else mean_interval(losses)


def _steps(reached: Sequence[float]) -> Interval:
    if not reached:
        return Interval(math.inf, -math.inf, math.inf)
    if all(map(math.isfinite, reached)):
        return geometric_interval([max(1.0, s) for s in reached])
    return Interval(stdlib.median(reached), -math.inf, math.inf)


def _mean(records: Sequence[Record], value: Any) -> Interval:
    """The mean and its interval, where there are runs and all have the value: one that did not finish has none."""
    values = [value(r) for r in records]
    return mean_interval(values) if values and all(map(math.isfinite, values)) else NOTHING


def _share(value: Interval) -> Interval:
    """An interval of a share: no share lies outside of 0 to 1."""
    return Interval(value.value, max(0.0, value.low), min(1.0, value.high)) if math.isfinite(value.low) else value


def _of_repetition(tuning: Sequence[Record], scored: Record) -> list[Record]:
    return [r for r in tuning if r.settings.repetition == scored.settings.repetition]


def _tuning_curve(tuning: Sequence[Record]) -> tuple[float, ...]:
    """Of each repetition, the lowest loss among the first k trials; the mean over repetitions, infinite if one has no
    finished trial yet. Only repetitions with all their trials count."""
    repetitions: dict[int, list[float]] = {}
    for record in sorted(tuning, key=lambda r: r.settings.trial):
        repetitions.setdefault(record.settings.repetition, []).append(record.loss)
    trials = max(map(len, repetitions.values()), default=0)
    whole = [v for v in repetitions.values() if len(v) == trials]
    return tuple(sum(min(v[: k + 1]) for v in whole) / len(whole) for k in range(trials))
