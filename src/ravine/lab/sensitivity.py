"""How the loss depends on the learning rate, from tuning runs. Reads records, runs nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from ravine.lab.records import Record
from ravine.lab.space import Span

ROBUST = 1.1
"""A learning rate is good if the loss is at most this many times the best."""


def curve(tuning: Sequence[Record], hyper: str, span: Span) -> list[tuple[float, float]]:
    """(value, loss) of a hyperparameter at every value that was tried, where nothing else was searched.

    Each repetition tried other values. Its trials are joined by straight lines, on the scale of the span, and the loss
    at a value is the median over the repetitions that tried values on both sides of it. It is infinite between two
    values of which one did not finish.
    """
    repetitions: dict[int, list[tuple[float, float]]] = {}
    for record in tuning:
        if hyper in record.settings.hyper:
            point = (span.of(record.settings.hyper[hyper]), record.validation_loss)
            repetitions.setdefault(record.settings.repetition, []).append(point)
    values = sorted({r.settings.hyper[hyper] for r in tuning if hyper in r.settings.hyper})
    at = np.array([span.of(v) for v in values])
    lines = np.array([_joined(at, *np.array(sorted(points)).T) for points in repetitions.values()])
    if not len(lines):
        return []
    known = [column[~np.isnan(column)] for column in lines.T]
    # The median of an even number of losses, some of them infinite, is infinite if one of the middle two is.
    return [(v, float(np.median(column))) for v, column in zip(values, known, strict=True)]


def _joined(at: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Straight lines through points, at other places: NaN outside of them, infinite beside an infinite one."""
    finite = np.interp(at, x, np.where(np.isfinite(y), y, 0.0), left=math.nan, right=math.nan)
    broken = np.interp(at, x, np.where(np.isfinite(y), 0.0, 1.0)) > 0
    return np.where(broken & ~np.isnan(finite), math.inf, finite)


def robust_decades(tuning: Sequence[Record], span: Span) -> float:
    """The width in powers of ten of the learning rates whose loss is within 10% of the best: along `curve`, and no
    further than it goes. NaN where no rate has a finite loss."""
    points = [(math.log10(rate), loss) for rate, loss in curve(tuning, "lr", span)]
    if len(points) < 2 or not math.isfinite(best := min(loss for _, loss in points)):
        return math.nan
    limit = best + (ROBUST - 1) * abs(best)
    width = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        low, high = min(y0, y1), max(y0, y1)
        if high <= limit:
            width += x1 - x0
        elif low <= limit and math.isfinite(high):
            width += (x1 - x0) * (limit - low) / (high - low)
    return width
