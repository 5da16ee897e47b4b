"""An update rule as a graph of expressions: what every engine lowers and every printer prints."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

from ravine import math as rmath

OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "neg": operator.neg,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "sqrt": rmath.sqrt,
    "abs": rmath.abs,
    "sign": rmath.sign,
    "maximum": rmath.maximum,
    "minimum": rmath.minimum,
    "where": rmath.where,
    "power": rmath.power,
}
"""Everything a node can compute, with its meaning. An engine must lower each of these, and nothing else."""

CONDITIONS = frozenset({"gt", "ge", "lt", "le"})
"""The operations that give true or false."""


@dataclass(frozen=True, eq=False)
class Node:
    """One operation on other nodes, a named input, or a constant. Made by `node`, which returns equal nodes as one.

    `op` is a key of `OPERATIONS`, or "array" (an array input: x, g or a slot), "scalar" (a hyperparameter, t, or a
    scalar slot) or "const".
    """

    op: str
    args: tuple[Node, ...]
    name: str
    value: float
    is_array: bool

    @property
    def is_leaf(self) -> bool:
        return not self.args


_made: WeakValueDictionary[tuple[Any, ...], Node] = WeakValueDictionary()


def node(op: str, *args: Node, name: str = "", value: float = 0.0) -> Node:
    """The node of an operation on others, or a leaf; the same object for the same contents, so sharing is kept."""
    key = (op, args, name, repr(value))
    found = _made.get(key)
    if found is None:
        is_array = op == "array" or any(a.is_array for a in args)
        found = _made[key] = Node(op, args, name, value, is_array)
    return found


@dataclass(frozen=True)
class Graph:
    """A rule's traced outputs: the step, and each slot's new value by the slot's name."""

    step: Node
    slots: Mapping[str, Node]

    @property
    def outputs(self) -> tuple[Node, ...]:
        """The step, then the new slots, as the rule returns them."""
        return (self.step, *self.slots.values())

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node once, arguments before their users."""
        return topological(self.outputs)

    @cached_property
    def coefficients(self) -> tuple[Node, ...]:
        """The scalar expressions that the array part reads, and the new scalar slots: for the host, in float64."""
        wanted = [a for n in self.nodes if n.is_array for a in n.args if not a.is_array]
        wanted += [n for n in self.slots.values() if not n.is_array]
        return tuple(dict.fromkeys(wanted))

    @cached_property
    def depends_on_t(self) -> bool:
        """Whether the step count is read at all."""
        return any(n.op == "scalar" and n.name == "t" for n in self.nodes)

    @cached_property
    def array_nodes(self) -> tuple[Node, ...]:
        """The array part without its inputs, in the order of evaluation."""
        return tuple(n for n in self.nodes if n.is_array and n.op != "array")

    def evaluate(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The outputs for given inputs by name, with the operations of whatever library the inputs belong to."""
        return evaluate(self.outputs, values)


def topological(outputs: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes that some outputs need, each once, arguments first."""
    order: dict[Node, None] = {}

    def visit(n: Node) -> None:
        if n not in order:
            for argument in n.args:
                visit(argument)
            order[n] = None

    for output in outputs:
        visit(output)
    return tuple(order)


def evaluate(
    outputs: Iterable[Node], values: Mapping[str, Any], operations: Mapping[str, Callable[..., Any]] = OPERATIONS
) -> tuple[Any, ...]:
    """The values of some nodes for given inputs by name; `operations` says what a node of each kind computes."""
    outputs = tuple(outputs)
    known: dict[Node, Any] = {}
    for n in topological(outputs):
        if n.op == "const":
            known[n] = n.value
        elif n.is_leaf:
            known[n] = values[n.name]
        else:
            known[n] = operations[n.op](*(known[a] for a in n.args))
    return tuple(known[o] for o in outputs)


def substitute(outputs: Iterable[Node], replacements: Mapping[Node, Node]) -> tuple[Node, ...]:
    """Copies of some nodes in which every occurrence of a key is replaced by its value."""
    outputs = tuple(outputs)
    new: dict[Node, Node] = {}
    for n in topological(outputs):
        new[n] = replacements.get(n) or (n if n.is_leaf else node(n.op, *(new[a] for a in n.args)))
    return tuple(new[o] for o in outputs)
