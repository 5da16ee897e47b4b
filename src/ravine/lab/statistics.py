"""How sure: intervals and comparisons from few repetitions. `SOURCES` names where each method is from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ravine.lab import separation

RESAMPLES = 1000
LEVEL = 0.95

SOURCES = {
    "interval": "Student's, of log losses where all are positive",
    "separation": "exact permutation tests of mean log losses, Fisher 1935 and Pitman 1937; all pairs corrected "
    "together by closed testing, Marcus, Peritz & Gabriel 1976, Biometrika 63:3, at Welsch's levels, 1977, JASA 72:359",
    "probability": "probability of improvement: Agarwal et al. 2021, arXiv:2108.13264, after Mann & Whitney 1947",
    "rank": "from the pairs that are separated: Al Mohamad, Goeman & van Zwet 2022, Biometrics 78:1",
    "profile": "performance profiles: Dolan & Moré 2002, Mathematical Programming 91:2",
    "protocol": "equal tuning budgets, repeated with the tuning: Dahl et al. 2023 (AlgoPerf), arXiv:2306.07179",
}


class Interval(NamedTuple):
    """A value and the ends of its confidence interval."""

    value: float
    low: float
    high: float


NOTHING = Interval(math.nan, math.nan, math.nan)


class Look(NamedTuple):
    """The results after so many repetitions were looked at, with the right to stop: for that a share of the 5% is
    spent (Bonferroni), so that looking again and again does not find what is not there."""

    repetitions: int
    share: float


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """The mean and Student's interval of it. One value, or one that is not finite, gives an interval without bounds."""
    from scipy.special import stdtrit

    data = np.asarray(values, dtype=float)
    n = len(data)
    if n == 0:
        return NOTHING
    mean = float(data.mean())
    if n == 1 or not np.isfinite(data).all():
        return Interval(mean, -math.inf, math.inf)
    half = float(stdtrit(n - 1, (1 + level) / 2) * data.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean - half, mean + half)


def geometric_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """The geometric mean of positive values and Student's interval of their logarithms."""
    return Interval(*(_exp(v) for v in mean_interval([math.log(v) for v in values], level)))


def _exp(value: float) -> float:
    return math.exp(value) if value < 709 else math.inf


@dataclass(frozen=True)
class Scores:
    """What order, tests and words go by: a loss's logarithm, or where a comparison has losses that are not positive
    the loss itself. `table` has shape (contenders, repetitions), lower being better.

    A run that did not finish is so much worse than all that did that whoever has more of them has the higher mean.
    """

    names: tuple[str, ...]
    table: Any
    is_log: bool
    finished: Any
    """For each contender whether all its runs finished."""

    @property
    def of(self) -> dict[str, Sequence[float]]:
        """The scores by name, of those that finished all their runs."""
        return {n: list(row) for n, row, whole in zip(self.names, self.table, self.finished, strict=True) if whole}


def scores(losses: Mapping[str, Sequence[float]]) -> Scores:
    """The scores of losses by repetition (infinite: did not finish), of the repetitions that all have."""
    n = min(map(len, losses.values()), default=0)
    table = np.array([list(v[:n]) for v in losses.values()], dtype=float).reshape(len(losses), n)
    finite = np.isfinite(table)
    is_log = bool((table[finite] > 0).all())
    known = np.log(table[finite]) if is_log else table[finite]
    worst = float(known.max() + n * (known.max() - known.min()) + 1) if known.size else 0.0
    filled = np.full(table.shape, worst)
    filled[finite] = known
    return Scores(tuple(losses), filled, is_log, finite.all(axis=1))


@dataclass(frozen=True)
class Pair:
    """Two contenders. `ratio` is b's loss over a's, a geometric mean over repetitions with its interval (a difference
    where losses may be zero or negative); `wins` the probability that a's run ends lower than b's; `p` is corrected for
    all pairs, and below 0.05 `separated` holds."""

    a: str
    b: str
    ratio: Interval
    is_difference: bool
    wins: Interval
    p: float

    @property
    def separated(self) -> bool:
        """Whether these seeds tell the two apart."""
        return self.p <= 1 - LEVEL


def pairs(losses: Mapping[str, Sequence[float]], looks: Sequence[Look] = ()) -> list[Pair]:
    """Every pair of contenders, in their order, from their losses by repetition (infinite: did not finish).

    Repetitions that one of them lacks are left out of all; fewer than two give no pair. Where the results were looked
    at before, the p-values are those of the last look, over its share of the error.
    """
    made = scores(losses)
    k, n = made.table.shape
    if n < 2:
        return []
    share = looks[-1].share if looks else 1.0
    p = np.minimum(1.0, separation.adjusted(made.table, made.finished) / share)
    values = [np.asarray(v[:n], dtype=float) for v in losses.values()]
    return [
        Pair(
            made.names[i],
            made.names[j],
            _ratio(made, i, j),
            not made.is_log,
            _wins(values[i], values[j]),
            float(p[i, j]),
        )
        for i, j in itertools.combinations(range(k), 2)
    ]


def ratio(made: Scores, a: str, b: str, level: float = LEVEL) -> Interval:
    """b's loss over a's (or less a's), as in `Pair`, with an interval of another level."""
    return _ratio(made, made.names.index(a), made.names.index(b), level)


def _ratio(made: Scores, i: int, j: int, level: float = LEVEL) -> Interval:
    if not (made.finished[i] and made.finished[j]):
        return NOTHING
    found = mean_interval(list(made.table[j] - made.table[i]), level)
    return Interval(*map(_exp, found)) if made.is_log else found


def ranks(made: Scores, found: Sequence[Pair]) -> dict[str, Interval]:
    """Each contender's rank by mean score, 1 the lowest, equals sharing the middle of their places, from one more than
    there are contenders separated from it as better, to as many as are not separated from it as worse. With 95%
    confidence all true ranks together lie in these (Al Mohamad, Goeman & van Zwet 2022)."""
    means = dict(zip(made.names, made.table.mean(axis=1), strict=True))
    better = dict.fromkeys(made.names, 0)
    worse = dict.fromkeys(made.names, 0)
    for pair in found:
        if pair.separated:
            first, last = sorted((pair.a, pair.b), key=means.__getitem__)
            worse[first] += 1
            better[last] += 1
    order = np.array(list(means.values()))
    middle = {n: float((order < m).sum() + ((order == m).sum() + 1) / 2) for n, m in means.items()}
    return {n: Interval(middle[n], 1.0 + better[n], float(len(means) - worse[n])) for n in made.names}


def _wins(x: Any, y: Any) -> Interval:
    better = (x[:, None] < y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    weights = _weights(len(x))
    resampled = ((weights @ better) * weights).sum(axis=1)
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(better.mean()), float(low), float(high))


@cache
def _weights(n: int) -> Any:
    """How often each of n values is in each resample, as a share; always the same, so that a report made again is."""
    drawn = np.random.default_rng(0).integers(n, size=(RESAMPLES, n))
    return np.array([np.bincount(row, minlength=n) for row in drawn]) / n
