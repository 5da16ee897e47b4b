"""What can be said of a rule's values from its graph and the legal hyperparameters: where they lie, and their sign."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from ravine.rule import Rule
from ravine.trace.graph import Node


class Bounds(NamedTuple):
    """From `low` to `high`; infinite where nothing is known. In exact arithmetic, and if nothing is NaN."""

    low: float = -math.inf
    high: float = math.inf


ANY, POSITIVE, UNIT = Bounds(), Bounds(0.0), Bounds(0.0, 1.0)


def non_negative_slots(rule: Rule) -> frozenset[str]:
    """The array slots that can't come to hold a negative number if they start at none, whatever the gradients are."""
    found = {n for n, s in rule.slots.items() if not s.is_scalar and s.start >= 0}
    while True:  # each is taken to be so until the equation says otherwise, for it or for another that it reads
        known = {**{n: Bounds(h.range.low, h.range.high) for n, h in rule.hyperparameters.items()}, "t": Bounds(1.0)}
        finder = _Finder(known | dict.fromkeys(found, POSITIVE))
        kept = {n for n in found if finder.of(rule.graph.slots[n]).low >= 0}
        if kept == found:
            return frozenset(found)
        found = kept


class _Finder:
    def __init__(self, known: Mapping[str, Bounds]) -> None:
        self._known, self._found = known, dict[Node, Bounds]()

    def of(self, n: Node) -> Bounds:
        if n not in self._found:
            self._found[n] = self._look(n)
        return self._found[n]

    def _look(self, n: Node) -> Bounds:
        if n.op == "const":
            return Bounds(n.value, n.value)
        if n.is_leaf:
            return self._known.get(n.name, ANY)
        a = [self.of(arg) for arg in n.args]
        match n.op:
            case "add":
                between = self._between(n)
                return between or Bounds(a[0].low + a[1].low, a[0].high + a[1].high)
            case "sub":
                return Bounds(a[0].low - a[1].high, a[0].high - a[1].low)
            case "neg":
                return Bounds(-a[0].high, -a[0].low)
            case "mul" | "div":
                return self._product(n)
            case "sqrt" | "rough_inverse_cbrt":
                return POSITIVE
            case "abs":
                return Bounds(max(0.0, a[0].low, -a[0].high), max(-a[0].low, a[0].high))
            case "maximum":
                return Bounds(max(a[0].low, a[1].low), max(a[0].high, a[1].high))
            case "minimum":
                return Bounds(min(a[0].low, a[1].low), min(a[0].high, a[1].high))
            case "where":
                return Bounds(min(a[1].low, a[2].low), max(a[1].high, a[2].high))
            case "power":
                return UNIT if _is_in_unit(a[0]) and a[1].low >= 0 else POSITIVE if a[0].low >= 0 else ANY
            case "sign":
                return Bounds(-1.0, 1.0)
        return ANY

    def _product(self, n: Node) -> Bounds:
        """A product of many factors, in which equal ones are a square; a quotient has the sign of the product."""
        single: dict[Node, None] = {}
        for factor in _factors(n):
            if factor in single:
                del single[factor]
            else:
                single[factor] = None
        bounds = [self.of(factor) for factor in single]
        negative = sum(b.high <= 0 and b.low < 0 for b in bounds)
        if not all(b.low >= 0 or b.high <= 0 for b in bounds):
            return ANY
        if negative % 2:
            return Bounds(-math.inf, 0.0)
        is_small = n.op == "mul" and all(_is_in_unit(self.of(arg)) for arg in n.args)
        return UNIT if is_small else POSITIVE

    def _between(self, n: Node) -> Bounds | None:
        """a + w·(b − a) with w from 0 to 1 lies between a and b."""
        a, move = n.args
        if move.op == "mul":
            for w, difference in (move.args, move.args[::-1]):
                if difference.op == "sub" and difference.args[1] is a and _is_in_unit(self.of(w)):
                    ends = self.of(a), self.of(difference.args[0])
                    return Bounds(min(e.low for e in ends), max(e.high for e in ends))
        return None


def _factors(n: Node) -> list[Node]:
    if n.op in ("mul", "div"):
        return [f for arg in n.args for f in _factors(arg)]
    return [n]


def _is_in_unit(b: Bounds) -> bool:
    return b.low >= 0 and b.high <= 1
