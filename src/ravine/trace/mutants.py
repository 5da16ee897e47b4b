"""Wrong versions of a rule, one small slip each, to test the tests: a suite is only as good as the slips it catches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ravine.rule import Rule
from ravine.trace.graph import Graph, Node, evaluate, node

SWAPPED = {"add": "sub", "sub": "add", "mul": "div", "div": "mul", "maximum": "minimum", "minimum": "maximum"}
SWAPPED |= {"gt": "le", "le": "gt", "ge": "lt", "lt": "ge"}


_ZERO = node("const", value=0.0)  # whose sign is no slip


@dataclass(frozen=True)
class Mutant:
    """A rule with one slip, and what the slip is."""

    description: str
    rule: Rule


def mutants(rule: Rule) -> Iterator[Mutant]:
    """Every slip at every place of a rule's graph, one at a time; none is the graph itself.

    At each node: another operation, or one operand alone (which drops a bias correction, an ε, a root, a branch), or ε
    moved across a root. At each use of a value: the opposite sign, another hyperparameter, another slot, the slot
    before its update instead of after and the other way round, a changed constant. At each output: no update.
    """
    graph = rule.graph
    seen = {graph.outputs}
    for description, outputs in _slips(rule, graph):
        if outputs not in seen:
            seen.add(outputs)
            yield Mutant(description, _rule_of(rule, outputs))


def _rule_of(rule: Rule, outputs: tuple[Node, ...]) -> Rule:
    """The rule with its function replaced by a graph's evaluation."""
    names = list(rule.slots)

    def function(x: Any, g: Any, *slots: Any, t: Any, **hyper: Any) -> tuple[Any, ...]:
        return evaluate(outputs, {"x": x, "g": g, "t": t, **dict(zip(names, slots, strict=True)), **hyper})

    return replace(rule, function=function, needs_x=True, needs_t=True)


def _slips(rule: Rule, graph: Graph) -> Iterator[tuple[str, tuple[Node, ...]]]:
    outputs = graph.outputs
    for n in graph.nodes:
        for what, new in _other_nodes(n):
            yield f"{show(n)} → {what}", _replaced(outputs, n, new)
        for index, argument in enumerate(n.args):
            for new in _other_values(rule, graph, argument):
                if n not in _below(new):
                    args = (*n.args[:index], new, *n.args[index + 1 :])
                    yield f"in {show(n)}, {show(argument)} → {show(new)}", _replaced(outputs, n, node(n.op, *args))
    for index, name in enumerate(["the step", *rule.slots]):
        for new in _other_values(rule, graph, outputs[index]):
            yield f"{name}: {show(outputs[index])} → {show(new)}", (*outputs[:index], new, *outputs[index + 1 :])


def _other_nodes(n: Node) -> Iterator[tuple[str, Node]]:
    if n.op in SWAPPED:
        other = node(SWAPPED[n.op], *n.args)
        yield show(other), other
    if n.op not in ("gt", "ge", "lt", "le"):
        for argument in n.args[1:] if n.op == "where" else n.args:
            yield show(argument), argument
    if n.op == "add" and n.args[0].op == "sqrt":
        moved = node("sqrt", node("add", n.args[0].args[0], n.args[1]))
        yield show(moved), moved
    if n.op == "add" and n.args[0].op == "div" and n.args[0].args[0].op == "sqrt":
        root, below = n.args[0].args
        moved = node("div", node("sqrt", node("add", root.args[0], n.args[1])), below)
        yield show(moved), moved
    if n.op == "sqrt" and n.args[0].op == "add":
        inside, added = n.args[0].args
        moved = node("add", node("sqrt", inside), added)
        yield show(moved), moved


def _other_values(rule: Rule, graph: Graph, value: Node) -> Iterator[Node]:
    if value.op not in ("gt", "ge", "lt", "le") and value is not _ZERO:
        yield node("neg", value)
    if value.op == "const":
        yield node("const", value=value.value * 1.125)
        yield node("const", value=value.value + 1)
    if value.op == "scalar" and value.name in rule.hyperparameters:
        yield from (node("scalar", name=n) for n in rule.hyperparameters if n != value.name)
    if value.name == "t":
        yield node("add", value, node("const", value=1.0))
    old = {n: node("scalar" if s.is_scalar else "array", name=n) for n, s in rule.slots.items()}
    for name, slot in old.items():
        if value is graph.slots[name]:
            yield slot
        if value is slot:
            yield graph.slots[name]
            yield from (other for other in old.values() if other is not slot and other.is_array == slot.is_array)


def _below(n: Node) -> set[Node]:
    return {n}.union(*(_below(a) for a in n.args))


def _replaced(outputs: tuple[Node, ...], old: Node, new: Node) -> tuple[Node, ...]:
    """The outputs with one node replaced everywhere; the replacement itself may contain the old node."""
    done: dict[Node, Node] = {old: new}

    def visit(n: Node) -> Node:
        if n not in done:
            done[n] = n if n.is_leaf else node(n.op, *(visit(a) for a in n.args))
        return done[n]

    return tuple(visit(o) for o in outputs)


def show(n: Node, depth: int = 2) -> str:
    """A node in a few words."""
    if n.is_leaf:
        return n.name or f"{n.value:g}"
    return f"{n.op}({', '.join(show(a, depth - 1) if depth else '…' for a in n.args)})"
