"""A ladder: one task at several sizes of one of its options. Which sizes these are, and what becomes of the differences
between optimizers along them."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ravine.errors import unknown
from ravine.lab import separation, tasks
from ravine.lab.contender import Contender
from ravine.lab.entry import entries
from ravine.lab.records import FINAL
from ravine.lab.results import Results
from ravine.lab.statistics import LEVEL, NOTHING, Interval, mean_interval, ratio, scores

RETUNE, TRANSFER = "retune", "transfer"
"""Every optimizer tuned at each size; or at the smallest, the others using what it chose there."""

FORM = re.compile(r"\s*(\w+)\s*(:?=)([^=]*)")
HOW = "a ladder is written OPTION=1,2,4 (times the task's value) or OPTION:=16,64 (these values)"


def rungs(task: str, text: str) -> tuple[str, dict[float, str]]:
    """(the option, the task at each of its values, ascending) of a ladder as `width=1,2,4`, factors of the value that
    the task has, or `width:=16,64`, values.

    Raises ValueError for a task without options, an option that it hasn't, naming the nearest, one that is no positive
    number, and for numbers that are not at least two different positive ones.
    """
    if not (match := FORM.fullmatch(text)):
        raise ValueError(f"{HOW}; got {text!r}")
    option, known = match[1], tasks.options_of(task)
    name = task.partition("[")[0]
    if not known:
        raise ValueError(
            f"task {name!r} has no options of its own to make a ladder of: built-in tasks have, and a training loop "
            "with further arguments, as in def train(make_optimizer, seed, report, width=64)"
        )
    if option not in known:
        raise unknown(f"option of task {name} for a ladder:", option, known)
    numbers, value = _numbers(match[3], text), known[option]
    if value is not inspect.Parameter.empty and not _is_number(value):
        raise ValueError(f"a ladder needs an option that is a number: {option} of task {name} is {value!r}")
    if match[2] == "=":
        if value is inspect.Parameter.empty or value <= 0:
            has = "no value" if value is inspect.Parameter.empty else f"the value {value}"
            raise ValueError(f"{option} of task {name} has {has} to multiply: give values, as {option}:=16,64")
        numbers = [n * value for n in numbers]
    sizes = [_like(n, value, option, text) for n in numbers]
    return option, {size: tasks.with_options(task, **{option: size}) for size in sorted(sizes)}


def _numbers(text: str, whole: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(set(found)) < 2 or len(set(found)) < len(found) or not all(0 < n < math.inf for n in found):
        raise ValueError(f"{HOW}, with two or more different numbers above 0; got {whole!r}")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _like(number: float, value: Any, option: str, text: str) -> float:
    """The number as an int, if it is a whole one and the option's values are not floats."""
    if isinstance(value, float):
        return number
    if math.isclose(number, round(number), rel_tol=1e-12):
        return round(number)
    if isinstance(value, int):
        raise ValueError(f"{option} is a whole number; {text!r} makes it {number:g}")
    return number


def transferred(contenders: Sequence[Contender], source: Results) -> list[Contender]:
    """The contenders, each repetition of them with the hyperparameters of its scored run in `source`, tuned there."""
    studies = {e.contender["name"]: e.study for e in entries(source)}
    return [
        replace(c, transferred=[r.settings.hyper for r in source.of(c.name, FINAL)], tuned_at=studies[c.name])
        for c in contenders
    ]


@dataclass(frozen=True)
class Change:
    """Two optimizers along a ladder. `ratios` are b's loss over a's at each size, as in `Pair`; `ahead` whom that
    size's own comparison separates as the better, empty where it does not.

    `trend` is by what the ratio is multiplied with each doubling of the size: in each repetition the slope of a
    straight line of the log ratio over the log size; the mean of these with Student's interval. `trend_p` is corrected
    for all pairs, as in `separation.adjusted`. `beyond` is the ratio at the largest size over that which the line
    through the smaller ones gives for it; nothing with two sizes, where it would be the trend again. (Differences and
    sums take the place of ratios where some losses are not positive.) Nothing is given where one has runs that did not
    finish.
    """

    a: str
    b: str
    ratios: tuple[Interval, ...]
    ahead: tuple[str, ...]
    is_difference: bool
    trend: Interval
    trend_p: float
    beyond: Interval
    beyond_p: float

    @property
    def has_trend(self) -> bool:
        """Whether these seeds tell the trend from none."""
        return self.trend_p <= 1 - LEVEL

    @property
    def is_missed(self) -> bool:
        """Whether the line through the smaller sizes is seen to miss the largest."""
        return self.beyond_p <= 1 - LEVEL

    @property
    def is_reversed(self) -> bool:
        """Whether one is separated as the better at one size and the other at another."""
        return len({name for name in self.ahead if name}) > 1

    @property
    def holds(self) -> bool:
        """Whether the verdict of the smallest size is that of the largest."""
        return self.ahead[0] == self.ahead[-1]


def changes(many: Mapping[float, Results]) -> list[Change]:
    """What becomes of each pair along the sizes. The pairs are in the order of the largest size, its best first."""
    sizes = sorted(many)
    names = [r.name for r in many[sizes[-1]].summary.rows]
    made = scores({f"{s} {n}": [r.loss for r in many[s].of(n, FINAL)] for s in sizes for n in names})
    k, count = len(names), len(sizes)
    table = made.table.reshape(count, k, -1)
    whole = made.finished.reshape(count, k).all(axis=0)
    slope, miss = weights(sizes)
    trends, misses = (np.tensordot(w, table, axes=1) for w in (slope, miss))
    trend_p, miss_p = (_adjusted(t, whole) for t in (trends, misses))

    def pair(i: int, j: int) -> Change:
        a, b = names[i], names[j]

        def effect(values: Any) -> Interval:
            if not (whole[i] and whole[j]):
                return NOTHING
            found = mean_interval(list(values[j] - values[i]))
            return Interval(*map(_exp, found)) if made.is_log else found

        return Change(
            a,
            b,
            tuple(ratio(made, f"{s} {a}", f"{s} {b}") for s in sizes),
            tuple(_ahead(many[s], a, b) for s in sizes),
            not made.is_log,
            effect(trends),
            float(trend_p[i, j]),
            effect(misses) if count > 2 else NOTHING,
            float(miss_p[i, j]) if count > 2 else 1.0,
        )

    return [pair(i, j) for i in range(k) for j in range(i + 1, k)]


def weights(sizes: Sequence[float]) -> tuple[Any, Any]:
    """(the slope over the binary logarithm of the size, how far the last lies above the line through the others), as
    weights of what was measured at each size, by least squares. With two sizes the line is level."""
    x = np.log2(sizes)
    away = x - x.mean()
    slope = away / (away**2).sum()
    before = x[:-1] - x[:-1].mean()
    spread = (before**2).sum()
    line = np.full(len(before), 1 / len(before))
    if spread > 0:
        line = line + (x[-1] - x[:-1].mean()) * before / spread
    return slope, np.append(-line, 1.0)


def _adjusted(table: Any, whole: Any) -> Any:
    """The p-values of all pairs of those with all runs finished, corrected together; 1 for the others."""
    found = np.ones((len(table), len(table)))
    chosen = np.flatnonzero(whole)
    if len(chosen) > 1:
        found[np.ix_(chosen, chosen)] = separation.adjusted(table[chosen], whole[chosen])
    return found


def _ahead(results: Results, a: str, b: str) -> str:
    """Whom a comparison separates as the better of two, if it does."""
    pair = results.summary.pair(a, b)
    order = [r.name for r in results.summary.rows]
    return min(a, b, key=order.index) if pair is not None and pair.separated else ""


def _exp(value: float) -> float:
    return math.exp(value) if value < 709 else math.inf


def is_predicted(found: Sequence[Change]) -> bool | None:
    """Whether the largest size separates all pairs that the smallest does, the same way; None where that separates
    none and so predicts nothing."""
    told = [c for c in found if c.ahead[0]]
    return all(c.holds for c in told) if told else None
