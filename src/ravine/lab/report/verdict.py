"""What came out, in sentences. A difference is claimed only where the repetitions separate the two."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ravine.lab import power, separation, sequential
from ravine.lab.report.words import interval, listed, number
from ravine.lab.results import Results
from ravine.lab.statistics import LEVEL
from ravine.lab.summary import Row, Summary

ASKED = 0.1
"""The difference of which it is said how many repetitions would show it."""


def verdict(results: Results, made: Summary) -> list[str]:
    """The sentences. While runs are missing nobody is ranked."""
    if not results.is_complete:
        there = sum(len(results.of(n)) for n in results.names)
        return [
            f"This comparison is not complete: {there} of {results.runs} runs are there. Nobody is ranked till then."
        ]
    first, others = made.rows[0], made.rows[1:]
    if not others:
        return [_alone(results, first)]
    if not math.isfinite(first.loss.value):
        best = max(made.rows, key=lambda r: r.scored_finished)
        return [f"No optimizer finished all its scored runs; {best.name} did in {best.scored_finished}."]
    return [
        *_losses(results, made, first, others),
        *_unfinished(made.rows),
        *_steps(results, made),
        *_defaults(made.rows),
        *_most_freely(made, first, others),
        *_resolved(results, made),
        *sensitivity(results, made),
    ]


def _alone(results: Results, row: Row) -> str:
    if not math.isfinite(row.loss.value):
        return f"{row.name} finished {row.scored_finished} of its {row.scored} scored runs; there is none to compare."
    return f"{row.name} ended with a {results.measure} of {interval(row.loss)}; there is none to compare it with."


def _losses(results: Results, made: Summary, first: Row, others: Sequence[Row]) -> list[str]:
    apart = [r for r in others if _separated(made, first, r)]
    together = [r.name for r in others if r not in apart]
    seeds = f"these {results.protocol.seeds} seeds"
    said = [f"{first.name} ended lowest, with a {results.measure} of {interval(first.loss)}."]
    if not apart:
        rest = "any of the others" if len(others) > 1 else others[0].name
        return [*said, f"But {seeds} don't separate it from {rest}."]
    behind = listed([_behind(made, first, r) for r in apart])
    if not together:
        return [*said, f"{seeds.capitalize()} separate it from {behind}."]
    return [
        *said,
        f"{seeds.capitalize()} don't separate it from {listed(together)}.",
        f"They do separate it from {behind}.",
    ]


def _separated(made: Summary, first: Row, other: Row) -> bool:
    pair = made.pair(first.name, other.name)
    return pair is not None and pair.separated


def _behind(made: Summary, first: Row, other: Row) -> str:
    if other.scored_finished < other.scored:
        return f"{other.name} (finished {other.scored_finished} of {other.scored})"
    pair = made.pair(first.name, other.name)
    if pair is None or pair.is_difference or not math.isfinite(pair.ratio.value):
        return other.name
    ratio = pair.ratio.value if pair.a == first.name else 1 / pair.ratio.value
    return f"{other.name} ({higher(ratio)})"


def higher(ratio: float) -> str:
    """By how much a loss is higher, as 12% higher or 3.1 times as high."""
    return f"{100 * (ratio - 1):.0f}% higher" if ratio < 2 else f"{number(ratio)} times as high"


def _unfinished(rows: Sequence[Row]) -> list[str]:
    return [
        f"{r.name} finished {r.scored_finished or 'none'} of its {r.scored} scored runs."
        for r in rows
        if r.scored_finished < r.scored
    ]


def _steps(results: Results, made: Summary) -> list[str]:
    """Who was the first at the target, if anybody is separated by that."""
    there = [r for r in made.rows if r.reached == r.scored]
    if not there:
        return []
    first = min(there, key=lambda r: r.steps_to_target.value)
    behind = [
        r.name for r in made.rows if r is not first and (p := made.steps_pair(first.name, r.name)) and p.separated
    ]
    said = f"{first.name} needed the fewest steps to the target, {first.steps_to_target.value:.0f}"
    return [f"{said}, separated from {listed(behind)}." if behind else f"{said}, but is separated from none by that."]


def _defaults(rows: Sequence[Row]) -> list[str]:
    known = [r for r in rows if math.isfinite(r.defaults_loss.value)]
    if not known:
        return []
    best = min(known, key=lambda r: r.defaults_loss.value)
    return [f"With default hyperparameters, {best.name} ended lowest, with {interval(best.defaults_loss)}."]


def _most_freely(made: Summary, first: Row, others: Sequence[Row]) -> list[str]:
    """Only among those not separated from the first, where they can be: a flat curve of a bad one is no merit."""
    if first.scored < separation.least_repetitions(1 + len(others)):
        return []
    near = [first, *(r for r in others if not _separated(made, first, r))]
    known = [r for r in near if math.isfinite(r.robust_decades)]
    if len(known) < 2:
        return []
    widest = max(known, key=lambda r: r.robust_decades)
    return [
        f"Among those not separated from the lowest, the learning rate of {widest.name} may be chosen most freely: "
        f"its loss stays within 10% of its best over a factor of {number(10**widest.robust_decades)}."
    ]


def _resolved(results: Results, made: Summary) -> list[str]:
    """Whether every difference from the first was told, where repetitions were added for that."""
    p = results.protocol
    if not p.resolve:
        return []
    near, unresolved = sequential.resolve(made, p.looks, p.resolve)
    said = [f"Within {p.resolve:.0%} of it: {listed(near)}."] if near else []
    if unresolved:
        said.append(f"Not resolved to {p.resolve:.0%} with {p.seeds} repetitions: {listed(unresolved)}.")
    return said


def sensitivity(results: Results, made: Summary) -> list[str]:
    """Which differences so many repetitions can show, and how many a tenth would take."""
    k, n = len(made.rows), results.protocol.seeds
    spread = spread_of(made)
    share = results.protocol.looks[-1].share if results.protocol.looks else 1.0
    return [text] if (text := can_show(k, n, spread, made.scores.is_log, (1 - LEVEL) * share)) else []


def spread_of(made: Summary) -> power.Spread | None:
    """How much the differences from the first vary, if it finished all its runs."""
    first = made.rows[0].name
    return power.spread(made.scores.of, first) if first in made.scores.of else None


def before(results: Results, pilot: Results | None) -> str:
    """The same before the start: from the repetitions that are there already, if there are at least two; else from
    losses that vary as those of a tuned optimizer on the digits."""
    k, n = len(results.contenders), results.protocol.seeds
    if k < 2:
        return ""
    if pilot and (spread := spread_of(pilot.summary)):
        how = f"With losses that vary as in the {pilot.protocol.seeds} repetitions that are there"
        return can_show(k, n, spread, pilot.summary.scores.is_log, how=how)
    return can_show(k, n, power.assumed(), how=f"If losses vary by {power.USUAL:.0%} from seed to seed")


def can_show(
    k: int,
    n: int,
    spread: power.Spread | None,
    is_log: bool = True,
    alpha: float = 1 - LEVEL,
    how: str = "With losses that vary as here",
) -> str:
    """The same from a spread; without one only whether so many can show anything."""
    least = separation.least_repetitions(k)
    if n < least:
        return f"{n} repetitions can't separate {k} optimizers, however far apart: that takes at least {least}."
    if spread is None:
        return ""
    seen = power.visible(spread, k, n, alpha)
    if not math.isfinite(seen):
        return ""
    said = f"{how}, {n} repetitions separate "
    if not is_log:
        return said + f"differences of {number(seen)} and more, in four of five comparisons."
    said += f"losses that are {higher(math.exp(seen))} or more, in four of five comparisons"
    if seen <= math.log1p(ASKED):
        return said + "."
    return f"{said}; {ASKED:.0%} would take about {needed(k, spread, ASKED)}."


def needed(k: int, spread: power.Spread, difference: float) -> str:
    """How many repetitions show a difference."""
    many = power.needed(spread, k, math.log1p(difference))
    return str(many) if many < power.MOST else f"more than {many}"
