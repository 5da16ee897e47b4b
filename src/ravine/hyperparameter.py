"""Which values a hyperparameter may have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real


@dataclass(frozen=True)
class Range:
    """The legal values of a hyperparameter: from `low` to `high`, either end open or closed."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return math.isfinite(value) and above and below

    def __str__(self) -> str:
        if self.low == -math.inf and self.high == math.inf:
            return "finite"
        if self.high == math.inf:
            return f"{'>' if self.low_open else '≥'} {self.low:g}"
        return f"in {'(' if self.low_open else '['}{self.low:g}, {self.high:g}{')' if self.high_open else ']'}"


NON_NEGATIVE = Range(low=0.0)
POSITIVE = Range(low=0.0, low_open=True)
DECAY = Range(low=0.0, high=1.0, high_open=True)
FRACTION = Range(low=0.0, high=1.0)
FINITE = Range()


def usual_range(name: str) -> Range:
    """The legal range that the field's standard names imply; a rule may declare another one.

    At exactly 1 a momentum never decays and an average never moves, as frameworks allow; what divides by 1 − βᵗ can't.
    """
    if name.startswith("beta"):
        return DECAY
    if name in ("mu", "rho"):
        return FRACTION
    if name in ("lr", "eps", "weight_decay", "momentum_decay"):
        return NON_NEGATIVE
    return FINITE


def is_number(value: object) -> bool:
    """Whether a value can be a hyperparameter's: a real number, also one of NumPy's; not True or False."""
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass(frozen=True)
class Hyperparameter:
    """A hyperparameter's default and legal range."""

    default: float
    range: Range
