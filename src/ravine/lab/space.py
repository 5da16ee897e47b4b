"""What a tuning searches: for each hyperparameter a span of values, and on which scale the span is even."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ravine.hyperparameter import Range
from ravine.rule import Rule

LOG, COMPLEMENT, EVEN = "log", "log of 1 - value", "linear"
"""Even in powers of ten of the value, in powers of ten of one minus the value (for decays near one), or as it is."""


class Span(NamedTuple):
    """From `low` to `high`, both legal. As JSON the list of the three; of two where it is from before there were
    scales: `Span(*value)` reads both."""

    low: float
    high: float
    scale: str = LOG

    def at(self, share: float) -> float:
        """The value at a share, from 0 at the low end to 1 at the high end."""
        if self.scale == LOG:
            value = self.low * (self.high / self.low) ** share
        elif self.scale == COMPLEMENT:
            value = 1 - (1 - self.low) * ((1 - self.high) / (1 - self.low)) ** share
        else:
            value = self.low + (self.high - self.low) * share
        return min(max(float(value), self.low), self.high)  # rounding may leave a legal range

    def share(self, value: float) -> float:
        """Where a value lies: the inverse of `at`."""
        low, high = self.of(self.low), self.of(self.high)
        return (self.of(value) - low) / (high - low)

    def rotated(self, share: float, turn: float) -> float:
        """A share of the span, turned around it, so that the turn puts the same values into all spans of one width:
        wherever two of them overlap, equal shares and turns give them the same values."""
        low, high = self.of(self.low), self.of(self.high)
        return (share + turn - low / (high - low)) % 1.0

    def of(self, value: float) -> float:
        """The value on the scale on which the span is even."""
        return math.log(value) if self.scale == LOG else math.log1p(-value) if self.scale == COMPLEMENT else value

    def middle(self, values: Iterable[float]) -> float:
        """The median of values, on this scale."""
        median = statistics.median(map(self.of, values))
        return math.exp(median) if self.scale == LOG else -math.expm1(median) if self.scale == COMPLEMENT else median

    def __str__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g}"


Space = Mapping[str, Sequence[Any]]
"""Hyperparameter → its Span, or that as JSON."""


def search_space(
    rule: Rule, fixed: Mapping[str, float], tune: Iterable[str] = ("lr",), given: Mapping[str, Span] | None = None
) -> dict[str, Span]:
    """Which hyperparameters of a rule are searched, and where: those of `tune` that it has and that are not `fixed`,
    around the rule's own defaults, and those `given` with a span. Raises ValueError where a default implies no span.
    """
    given = given or {}
    wanted = [n for n in tune if n in rule.hyperparameters and n not in fixed and n not in given]
    found = {n: default_span(rule, n) for n in wanted} | dict(given)
    return {n: found[n] for n in rule.hyperparameters if n in found}


def default_span(rule: Rule, name: str) -> Span:
    """Where a hyperparameter is searched unless told otherwise, as the rule's default and legal range imply.

    The learning rate: over four decades around the default, equally wide for all, and placed by whoever wrote the rule,
    because a good learning rate is near 1 for Adadelta and near 0.001 for Adam. Defaults are mostly cautious, so more
    of the range lies above than below. A decay between 0 and 1: what it lacks of one, a decade to either side. What
    else is positive: two decades to either side. All as far as it is legal.
    """
    default, legal = rule.hyperparameters[name].default, rule.hyperparameters[name].range
    if name != "lr" and is_decay(legal):
        low, high = (round(1 - factor * (1 - default), 12) for factor in (10, 0.1))
        return Span(max(legal.low, low), high, COMPLEMENT)
    if legal.low < 0 or default <= 0:
        raise ValueError(
            f"{rule.name}: {name} = {default:g} is not searched by itself, as no range follows from it: "
            f"give a range, as {name}=1e-4..1e-1"
        )
    below, above = (1.5, 2.5) if name == "lr" else (2.0, 2.0)
    low, high = default * 10**-below, default * 10**above
    return Span(
        low if low in legal else math.nextafter(legal.low, high) if legal.low_open else legal.low,
        high if high in legal else math.nextafter(legal.high, low) if legal.high_open else legal.high,
    )


def given_span(rule: Rule, name: str, low: float, high: float) -> Span:
    """The span that a user gave. Raises ValueError for a name that the rule hasn't, and for ends that are not legal
    or in the wrong order."""
    rule.check({name: low})
    rule.check({name: high})
    if not low < high:
        raise ValueError(f"{rule.name}: {name} = {low:g}..{high:g} is no range: the first end must be the lower one")
    if name != "lr" and is_decay(rule.hyperparameters[name].range) and high < 1:
        return Span(low, high, COMPLEMENT)
    return Span(low, high, LOG if low > 0 else EVEN)


def is_decay(legal: Range) -> bool:
    """Whether the legal values lie between 0 and 1: then how near to one a value is matters."""
    return legal.low >= 0 and legal.high == 1
