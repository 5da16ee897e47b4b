"""What a rule multiplies a direction by, coordinate by coordinate: its effective rate, as lr/(√v̂ + ε) for Adam."""

from __future__ import annotations

from ravine.rule import Rule
from ravine.trace.graph import Node, node, topological

_G = node("array", name="g")
_ONE, _ZERO = node("const", value=1.0), node("const", value=0.0)


def rate(rule: Rule) -> Node | None:
    """The product of the step's factors that have no direction: divisors, and what the gradient's sign leaves alone.

    Of a sum, such as a momentum and a rescaled gradient, the one term that takes in the gradient counts. A sign divides
    by the size of what it is of, and clipping by how much it shortens. None where a step is chosen by cases, as
    Rprop's, and is no multiple of a direction.
    """
    result = _ONE
    for factor, divides in _factors(rule.graph.step):
        if divides:
            result = node("div", result, factor)
        elif not _has_direction(factor):
            result = node("mul", result, factor)
        elif factor.op == "where" and factor.args[0].is_array:
            return None
    return node("abs", result)


def _factors(n: Node) -> list[tuple[Node, bool]]:
    """An expression as (factor, whether it divides)."""
    if n.op == "neg":
        return _factors(n.args[0])
    if n.op == "mul":
        return [f for a in n.args for f in _factors(a)]
    if n.op == "div" and n.args[1].is_array:
        return [*_factors(n.args[0]), (n.args[1], True)]
    if n.op == "div" and _average(n.args[0]) is not None:  # corrected for its start
        return _factors(n.args[0])
    if (averaged := _average(n)) is not None:
        return _factors(averaged)
    if n.op == "sign" and _has_direction(n.args[0]):
        return [*_factors(n.args[0]), (node("abs", n.args[0]), True)]
    if n.op in ("maximum", "minimum") and not n.args[1].is_array:
        return [*_factors(n.args[0]), (_shortening(n), False)]
    if n.op in ("add", "sub"):
        taking = [a for a in n.args if _G in topological([a])]
        if len(taking) == 1 and _is_scaled(taking[0]):
            return _factors(taking[0])
    return [(n, False)]


def _shortening(clipped: Node) -> Node:
    """How much of its length clipping leaves."""
    whole = node("abs", clipped.args[0])
    return node("where", node("gt", whole, _ZERO), node("div", node("abs", clipped), whole), _ONE)


def _average(n: Node) -> Node | None:
    """What an average β·old + (1−β)·new is of, where that is a rescaled gradient: at rest it is that itself."""
    if n.op != "add" or any(a.op != "mul" for a in n.args):
        return None
    (beta, _), (rest, new) = n.args[0].args, n.args[1].args
    return new if rest is node("sub", _ONE, beta) and _is_scaled(new) else None


def _is_scaled(n: Node) -> bool:
    """Whether a term is a rescaled gradient, and not a share of the gradient itself, as in an average."""
    inside = topological([n])
    return node("scalar", name="lr") in inside or any(a.op == "div" and a.args[1].is_array for a in inside)


def _has_direction(n: Node) -> bool:
    """Whether the gradient is in a factor otherwise than under a root."""
    if n is _G:
        return True
    if n.op in ("sqrt", "abs") or n.is_leaf:
        return n.op == "array" and n.name != "g"
    return any(_has_direction(a) for a in n.args)
