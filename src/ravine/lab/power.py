"""How large a difference must be to be seen, and how many repetitions a smaller one takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ravine.lab import separation

POWER, OF_EACH = 0.8, 0.9
"""How often a difference must be separated to be called visible; of more than two, how often the pair and the group."""
MOST = 10_000
FEW, TRIALS = 6, 1000
"""Up to so many repetitions the power of the exact test is found by so many made-up comparisons."""
USUAL = 0.15
"""The standard deviation of a run's log loss from seed to seed: about that of a tuned optimizer on the digits."""


@dataclass(frozen=True)
class Spread:
    """The standard deviation of the difference of two optimizers' scores, as if their runs had nothing in common and
    within repetitions."""

    apart: float
    paired: float

    def of(self, n: int) -> float:
        """The one that counts with n repetitions."""
        return self.paired if n >= separation.PAIRED_FROM else self.apart


def assumed(spread: float = USUAL) -> Spread:
    """Before anything is known: two optimizers whose runs vary by so much and have nothing in common."""
    return Spread(spread * math.sqrt(2), spread * math.sqrt(2))


def spread(scores: Mapping[str, Sequence[float]], first: str) -> Spread | None:
    """The median spread of the differences from `first`; None with fewer than two others or repetitions, or where all
    are zero."""
    n = min(map(len, scores.values()), default=0)
    if n < 2 or len(scores) < 2:
        return None
    x = np.asarray(scores[first][:n], dtype=float)
    others = [np.asarray(v[:n], dtype=float) for name, v in scores.items() if name != first]
    apart = float(np.median([math.sqrt(x.var(ddof=1) + y.var(ddof=1)) for y in others]))
    paired = float(np.median([(y - x).std(ddof=1) for y in others]))
    return Spread(apart, paired) if min(apart, paired) > 0 else None


def visible(spread: Spread, k: int, n: int, alpha: float = 0.05) -> float:
    """The difference of scores that n repetitions of k optimizers separate in about four of five comparisons, for
    normal scores; infinite where these can separate nothing, or none from all others when those are alike."""
    level, power = separation.level(k, alpha), POWER if k == 2 else OF_EACH
    if n < 2 or separation.least_p(n) > level:
        return math.inf
    if n >= separation.PAIRED_FROM:
        return spread.paired / math.sqrt(n) * _noncentrality(level, n - 1, power)
    return spread.apart * max(_pair(level, n, power), _group(k, n, alpha, power) if k > 2 else 0.0)


@cache
def _pair(level: float, n: int, power: float) -> float:
    """How many standard deviations apart two must be for the exact test to see it so often, with few repetitions."""
    if n > FEW:
        return _noncentrality(level, 2 * n - 2, power) / math.sqrt(n)
    x, y = np.random.default_rng(n).normal(0, math.sqrt(0.5), (2, TRIALS, n))

    def seen(apart: float) -> float:
        sums = np.abs(np.concatenate([x, y + apart], axis=1) @ separation.exchanges(n).T)
        p = np.mean(sums >= np.abs((x - y - apart).sum(axis=1))[:, None] - 1e-9, axis=1)
        return float(np.mean(p <= level))

    return _least(seen, power)


@cache
def _group(k: int, n: int, alpha: float, power: float) -> float:
    """How many standard deviations (of a difference) one must be apart from k − 1 alike for the group of all to be
    told apart so often."""
    tables = np.random.default_rng(k).normal(0, math.sqrt(0.5), (TRIALS // 5, k, n))

    def seen(apart: float) -> float:
        moved = tables + apart * (np.arange(k) == 0)[:, None]
        return float(np.mean([separation.group_p(t) <= alpha for t in moved]))

    return _least(seen, power)


def _least(seen: Callable[[float], float], power: float) -> float:
    """The least distance that is seen so often, to a hundredth; infinite if none is."""
    low, high = 0.0, 8.0
    if seen(high) < power:
        return math.inf
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) >= power else (middle, high)
    return high


@cache
def _noncentrality(level: float, df: float, power: float) -> float:
    """How many standard errors apart two must be for a t-test at this level to see it so often."""
    from scipy.special import nctdtrinc, stdtrit

    critical = -float(stdtrit(df, level / 2))
    return float(nctdtrinc(df, 1 - power, critical))


def needed(spread: Spread, k: int, difference: float, alpha: float = 0.05) -> int:
    """How many repetitions of k optimizers separate such a difference in four of five comparisons; at most `MOST`."""
    low, high = separation.least_repetitions(k), 16
    while high < MOST and visible(spread, k, high, alpha) > difference:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if visible(spread, k, middle, alpha) <= difference else (middle + 1, high)
    return min(high, MOST)
