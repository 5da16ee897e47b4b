"""Wrong versions of a rule, one small slip each, to test the tests: a suite is only as good as the slips it catches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ravine.math import columns, rows
from ravine.rule import Rule
from ravine.trace.graph import COMPOSITES, OPERATIONS, REDUCTIONS, SIZES, Graph, Node, evaluate, like, node
from ravine.trace.shapes import ShapeError

SWAPPED = {"add": "sub", "sub": "add", "mul": "div", "div": "mul", "maximum": "minimum", "minimum": "maximum"}
SWAPPED |= {"gt": "le", "le": "gt", "ge": "lt", "lt": "ge"}
SWAPPED |= {"total": "mean", "mean": "total", "norm": "rms", "rms": "norm"}


EVEN = frozenset({"abs", "norm", "rms"})
"""What does not see its operand's sign."""

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
    before its update instead of after and the other way round, a changed constant. The sign of what a norm is taken of
    is no slip. At each output: no update. Of
    matrices: another axis, a transpose more or less, factors the other way round, where the shapes allow it.
    """
    graph = rule.written
    seen = {graph.outputs}
    for description, outputs in _slips(rule, graph):
        shapes = [o.shape for o in outputs[1:]]
        if outputs not in seen and shapes == [o.shape for o in graph.outputs[1:]]:
            seen.add(outputs)
            yield Mutant(description, of_outputs(rule, outputs))


def of_outputs(rule: Rule, outputs: tuple[Node, ...]) -> Rule:
    """The rule with its function replaced by a graph's evaluation."""
    names, is_elementwise = list(rule.slots), rule.graph.is_elementwise

    def function(x: Any, g: Any, *slots: Any, t: Any, **hyper: Any) -> tuple[Any, ...]:
        given = {"x": x, "g": g, "t": t, **dict(zip(names, slots, strict=True)), **hyper}
        sizes = {} if is_elementwise else {SIZES["r"]: rows(x), SIZES["c"]: columns(x)}
        return evaluate(outputs, {**given, **sizes}, OPERATIONS | COMPOSITES)

    return replace(rule, function=function, needs_x=True, needs_t=True)


def _slips(rule: Rule, graph: Graph) -> Iterator[tuple[str, tuple[Node, ...]]]:
    outputs = graph.outputs
    for n in graph.nodes:
        for make in _other_nodes(n):
            if changed := _replaced(outputs, n, make):
                yield f"{show(n)} → {show(make())}", changed
        for index, argument in enumerate(n.args):
            for new in _other_values(rule, graph, argument):
                if n.op in EVEN and new is node("neg", argument):
                    continue
                args = (*n.args[:index], new, *n.args[index + 1 :])
                if n not in _below(new) and (changed := _replaced(outputs, n, partial(like, n, *args))):
                    yield f"in {show(n)}, {show(argument)} → {show(new)}", changed
    for index, name in enumerate(["the step", *rule.slots]):
        for new in _other_values(rule, graph, outputs[index]):
            yield f"{name}: {show(outputs[index])} → {show(new)}", (*outputs[:index], new, *outputs[index + 1 :])


def _other_nodes(n: Node) -> Iterator[Callable[[], Node]]:
    """What may stand for a node by a slip; making it raises ShapeError where the shapes forbid it."""
    if n.op in SWAPPED:
        yield partial(node, SWAPPED[n.op], *n.args, options=n.options)
    if n.op not in ("gt", "ge", "lt", "le"):
        yield from (partial(_itself, argument) for argument in (n.args[1:] if n.op == "where" else n.args))
    if n.op in REDUCTIONS:
        yield from (partial(node, n.op, *n.args, options=(axis,)) for axis in (None, 0, 1))
    if n.op == "matmul":
        a, b = n.args
        yield partial(node, "matmul", b, a)
        yield lambda: node("matmul", node("transpose", a), b)
        yield lambda: node("matmul", a, node("transpose", b))
    if n.op == "add" and n.args[0].op == "sqrt":
        yield lambda: node("sqrt", node("add", n.args[0].args[0], n.args[1]))
    if n.op == "add" and n.args[0].op == "div" and n.args[0].args[0].op == "sqrt":
        root, below = n.args[0].args
        yield lambda: node("div", node("sqrt", node("add", root.args[0], n.args[1])), below)
    if n.op == "sqrt" and n.args[0].op == "add":
        inside, added = n.args[0].args
        yield lambda: node("add", node("sqrt", inside), added)


def _itself(n: Node) -> Node:
    return n


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
    old = {n: node("scalar", name=n) if s.is_scalar else graph.input(n) for n, s in rule.slots.items()}
    for name, slot in old.items():
        if value is graph.slots[name]:
            yield slot
        if value is slot:
            yield graph.slots[name]
            yield from (other for other in old.values() if other is not slot and other.shape == slot.shape)


def _below(n: Node) -> set[Node]:
    return {n}.union(*(_below(a) for a in n.args))


def _replaced(outputs: tuple[Node, ...], old: Node, make: Callable[[], Node]) -> tuple[Node, ...] | None:
    """The outputs with one node replaced everywhere; the replacement itself may contain the old node. None where the
    shapes don't go together then."""

    def visit(n: Node) -> Node:
        if n not in done:
            done[n] = like(n, *(visit(a) for a in n.args))
        return done[n]

    try:
        done: dict[Node, Node] = {old: make()}
        return tuple(visit(o) for o in outputs)
    except ShapeError:
        return None


def show(n: Node, depth: int = 2) -> str:
    """A node in a few words."""
    if n.is_leaf:
        return n.name or f"{n.value:g}"
    axis = [f"axis={a}" for a in n.options if a is not None]
    return f"{n.op}({', '.join([*(show(a, depth - 1) if depth else '…' for a in n.args), *axis])})"
