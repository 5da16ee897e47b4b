"""In which order a rule remembers and rescales: momentum of rescaled steps, or rescaling of an average.

It is read off the rule's graph and from a few steps of it: a slot with momentum changes its sign with the gradient and
hands it on to the step, and an average forgets as much as it takes in.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ravine.engines.reference import step
from ravine.recipe import Recipe
from ravine.trace.graph import Node, topological
from ravine.trace.text import TextPrinter


class Order(NamedTuple):
    """What is done to a gradient: the slot that is its momentum, whether that averages, and what rescales, and when."""

    slot: str
    averages: bool
    under: str
    rescales_first: bool

    @property
    def picture(self) -> str:
        """From the gradient to the step, with arrows."""
        printer = TextPrinter()
        remember = f"{'average' if self.averages else 'add up'} ({printer.name(self.slot)})"
        rescale = f"rescale (÷ √{printer.name(self.under)})"
        return " ─► ".join(["g", *((rescale, remember) if self.rescales_first else (remember, rescale)), "step"])

    @property
    def words(self) -> str:
        """The same as a part of a sentence."""
        if self.rescales_first:
            return f"{'averages' if self.averages else 'adds up'} rescaled gradients: its momentum is of rescaled steps"
        return (
            f"rescales {'an average' if self.averages else 'a sum'} of gradients: its momentum comes before rescaling"
        )


def order(chosen: Recipe) -> Order | None:
    """The order in which a recipe's rule remembers and rescales; None for one that does not do both."""
    graph = chosen.rule.graph
    for name in graph.slots:
        if not sign_handed_on(chosen, name):
            continue
        own, later = _root(graph.slots[name]), _root(graph.step)
        under = own or later
        if under:
            return Order(name, _averages(chosen, name), under, bool(own))
    return None


def _root(n: Node) -> str:
    """The slot under a square root of arrays in an expression, or "" without one."""
    for found in topological([n]):
        if found.op == "sqrt" and found.is_array:
            slots = [m.name for m in topological([found]) if m.op == "array" and m.name not in ("x", "g")]
            if slots:
                return slots[0]
    return ""


def _after(chosen: Recipe, slot: str, value: float, g: float) -> tuple[float, float]:
    """(step, slot) after a step from a value and a gradient, other slots where they start; the first may be special."""
    x = np.zeros(1)
    slots = {n: v if chosen.rule.slots[n].is_scalar else np.full(1, v) for n, v in _starts(chosen).items()}
    slots[slot] = np.full(1, value)
    moved, new = step(chosen.rule, x, np.full(1, g), slots, 2, chosen.hyper)
    return float(moved[0]), float(new[slot][0])


def _starts(chosen: Recipe) -> dict[str, float]:
    return {n: chosen.start.get(n, s.start) for n, s in chosen.rule.slots.items()}


def sign_handed_on(chosen: Recipe, slot: str) -> int:
    """1 or −1 for a slot that takes the gradient's sign over and hands it, or its opposite, on to the step; else 0."""
    if chosen.rule.slots[slot].is_scalar:
        return 0
    up, down = (_after(chosen, slot, 0.0, g)[1] for g in (1.0, -1.0))
    ahead, back = (_after(chosen, slot, value, 0.0)[0] for value in (1.0, -1.0))
    return int(np.sign(ahead)) if up != 0 and up == -down and ahead == -back else 0


def _averages(chosen: Recipe, slot: str) -> bool:
    """Whether one is where a slot stays under a gradient of one."""
    return abs(_after(chosen, slot, 1.0, 1.0)[1] - 1.0) < 1e-12
