"""How sure: intervals and comparisons from few repetitions. `SOURCES` names where each method is from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95

SOURCES = {
    "interval": "bootstrap over repetitions, expanded for few values: Hesterberg 2015, The American Statistician 69:4",
    "separation": "paired t-test of log losses, Student 1908; Fisher's exact test where runs did not finish; all pairs "
    "corrected together: Holm 1979, Scandinavian Journal of Statistics 6:2",
    "probability": "probability of improvement: Agarwal et al. 2021, arXiv:2108.13264, after Mann & Whitney 1947",
    "rank": "bootstrap over repetitions: Hall & Miller 2009, Annals of Statistics 37:6B",
    "profile": "performance profiles: Dolan & Moré 2002, Mathematical Programming 91:2",
    "protocol": "equal tuning budgets, repeated with the tuning: Dahl et al. 2023 (AlgoPerf), arXiv:2306.07179",
}


class Interval(NamedTuple):
    """A value and the ends of its confidence interval."""

    value: float
    low: float
    high: float


NOTHING = Interval(math.nan, math.nan, math.nan)


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """The mean and its bootstrap interval, expanded for few values (Hesterberg 2015, The American Statistician 69:4).

    The plain percentile interval is too short for few values, by √((n−1)/n) and by the normal's for Student's
    quantile; the expanded one takes percentiles further out, so that for normal data it equals Student's interval.
    One value, or one that is not finite, gives an interval without bounds.
    """
    from scipy.special import ndtr, stdtrit

    data = np.asarray(values, dtype=float)
    n = len(data)
    if n == 0:
        return NOTHING
    mean = float(data.mean())
    if n == 1 or not np.isfinite(data).all():
        return Interval(mean, -math.inf, math.inf)
    tail = float(ndtr(math.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 - level) / 2)))
    resampled = data[_resamples(n)].mean(axis=1)
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(mean, float(low), float(high))


@dataclass(frozen=True)
class Pair:
    """Two contenders. `ratio` is b's loss over a's, a geometric mean over repetitions with its interval (a difference
    where losses may be negative); `wins` the probability that a's run ends lower than b's; `p` is corrected for all
    pairs, and below 0.05 `separated` holds."""

    a: str
    b: str
    ratio: Interval
    is_difference: bool
    wins: Interval
    p: float

    @property
    def separated(self) -> bool:
        """Whether these seeds tell the two apart."""
        return self.p < 1 - LEVEL


def pairs(losses: Mapping[str, Sequence[float]]) -> list[Pair]:
    """Every pair of contenders, in their order, from their losses by repetition (infinite: did not finish).

    Repetitions that one of the two lacks are left out of that pair; fewer than two give no pair.
    """
    found = []
    positive = all(v > 0 for values in losses.values() for v in values)
    for a, b in itertools.combinations(losses, 2):
        n = min(len(losses[a]), len(losses[b]))
        if n < 2:
            continue
        x, y = (np.asarray(losses[name][:n], dtype=float) for name in (a, b))
        found.append((a, b, x, y, _p_value(x, y, positive)))
    corrected = _holm([p for *_, p in found])
    return [
        Pair(a, b, _ratio(x, y, positive), not positive, _wins(x, y), p)
        for (a, b, x, y, _), p in zip(found, corrected, strict=True)
    ]


def rank_intervals(*tasks: Mapping[str, Sequence[float]]) -> dict[str, Interval]:
    """Each contender's rank by mean loss, 1 the lowest, and the 95% interval of its rank over resampled repetitions.

    Of several tasks with the same contenders, the mean of its ranks; a task that lacks a contender's runs is left out.
    """
    names: list[str] = []
    ranks, resampled = [], []
    for seed, losses in enumerate(tasks):
        n = min((len(v) for v in losses.values()), default=0)
        if n == 0:
            continue
        names = list(losses)
        table = np.array([losses[name][:n] for name in names], dtype=float)
        ranks.append(_ranks(table.mean(axis=1)[:, None])[:, 0])
        resampled.append(_ranks(table[:, _resamples(n, seed)].mean(axis=2)))
    if not ranks:
        return {}
    low, high = np.quantile(np.mean(resampled, axis=0), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    rank = np.mean(ranks, axis=0)
    return {name: Interval(float(rank[i]), float(low[i]), float(high[i])) for i, name in enumerate(names)}


def _ranks(columns: Any) -> Any:
    """Ranks within each column, equals sharing the middle of their places."""
    below = (columns[None, :, :] < columns[:, None, :]).sum(axis=1)
    equal = (columns[None, :, :] == columns[:, None, :]).sum(axis=1)
    return below + (equal + 1) / 2


def _p_value(x: Any, y: Any, positive: bool) -> float:
    """Of the hypothesis that the two have the same expected (log) loss; or the same share of unfinished runs."""
    from scipy.special import stdtr

    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return _fisher(int(np.isfinite(x).sum()), int(np.isfinite(y).sum()), len(x))
    d = np.log(y) - np.log(x) if positive else y - x
    spread = d.std(ddof=1) / math.sqrt(len(d))
    if spread == 0:
        return 1.0 if d[0] == 0 else 0.0
    return float(2 * stdtr(len(d) - 1, -abs(d.mean()) / spread))


def _fisher(a: int, b: int, n: int) -> float:
    """Fisher's exact test, two-sided: a of n against b of n."""
    weights = [math.comb(n, k) * math.comb(n, a + b - k) for k in range(max(0, a + b - n), min(n, a + b) + 1)]
    observed = math.comb(n, a) * math.comb(n, b)
    return sum(w for w in weights if w <= observed) / sum(weights)


def _holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: each p-value times the number of those at least as large, made monotonic, at most 1."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for place, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[i]))
        corrected[i] = largest
    return corrected


def _ratio(x: Any, y: Any, positive: bool) -> Interval:
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return NOTHING
    if not positive:
        return mean_interval(list(y - x))
    return Interval(*(math.exp(v) for v in mean_interval(list(np.log(y) - np.log(x)))))


def _wins(x: Any, y: Any) -> Interval:
    better = (x[:, None] < y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    n = len(x)
    weights = np.apply_along_axis(np.bincount, 1, _resamples(n)[:1000], minlength=n) / n
    resampled = np.einsum("ri,ij,rj->r", weights, better, weights)
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(better.mean()), float(low), float(high))


def _resamples(n: int, seed: int = 0) -> Any:
    """Which of n values each resample holds; always the same, so that a report made again is the same."""
    return np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
