"""How sure: intervals from few seeds. Methods are named in docs/compare.md with their sources."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 20_000
LEVEL = 0.95


class Interval(NamedTuple):
    """A value and the ends of its confidence interval."""

    value: float
    low: float
    high: float


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
        return Interval(math.nan, math.nan, math.nan)
    mean = float(data.mean())
    if n == 1 or not np.isfinite(data).all():
        return Interval(mean, -math.inf, math.inf)
    tail = float(ndtr(math.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 - level) / 2)))
    resampled = data[np.random.default_rng(0).integers(n, size=(RESAMPLES, n))].mean(axis=1)
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(mean, float(low), float(high))
