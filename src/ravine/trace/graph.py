"""An update rule as a graph of expressions: what every engine lowers and every printer prints."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

from ravine import math as rmath
from ravine.trace import shapes
from ravine.trace.shapes import WHOLE, Shape, ShapeError

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
    "rough_inverse_cbrt": rmath.rough_inverse_cbrt,
    "abs": rmath.abs,
    "sign": rmath.sign,
    "maximum": rmath.maximum,
    "minimum": rmath.minimum,
    "where": rmath.where,
    "power": rmath.power,
    "total": rmath.total,
    "mean": rmath.mean,
    "norm": rmath.norm,
    "rms": rmath.rms,
    "matmul": rmath.matmul,
    "transpose": rmath.transpose,
    "newton_schulz": rmath.newton_schulz,
}
"""Everything a node can compute, with its meaning. An engine must lower each of these, and nothing else."""

COMPOSITES: dict[str, Callable[..., Any]] = {"cbrt": rmath.cbrt_steps}
"""What an equation calls by one name, and what that computes: engines get it spelled out in the operations above."""

REDUCTIONS = frozenset({"total", "mean", "norm", "rms"})
PRODUCTS = frozenset({"matmul", "transpose", "newton_schulz"})
CUTS = REDUCTIONS | PRODUCTS
"""The operations of which one element reads others than its neighbours in the operands."""

SIZES = {"r": "rows of x", "c": "columns of x"}
"""The inputs of an evaluation that tell a matrix's size, by the names of the sizes."""

CONDITIONS = frozenset({"gt", "ge", "lt", "le"})
"""The operations that give true or false."""


@dataclass(frozen=True, eq=False)
class Node:
    """One operation on other nodes, a named input, or a constant. Made by `node`, which returns equal nodes as one.

    `op` is a key of `OPERATIONS` or `COMPOSITES`, or "array" (an array input: x, g or a slot), "scalar" (a
    hyperparameter, t, or a scalar slot), "size" (how many rows or columns the parameter has, by its name r or c) or
    "const". `options` are what an operation is given besides: a reduction's axis. `shape` is None for a coefficient.
    """

    op: str
    args: tuple[Node, ...]
    name: str
    value: float
    options: tuple[Any, ...]
    shape: Shape | None

    @property
    def is_array(self) -> bool:
        return self.shape is not None

    @property
    def is_leaf(self) -> bool:
        return not self.args


_made: WeakValueDictionary[tuple[Any, ...], Node] = WeakValueDictionary()


def node(
    op: str,
    *args: Node,
    name: str = "",
    value: float = 0.0,
    options: tuple[Any, ...] = (),
    shape: Shape = WHOLE,
) -> Node:
    """The node of an operation on others, or a leaf; the same object for the same contents, so sharing is kept.

    `shape` is that of an array input. Raises ShapeError where the operands' shapes don't go together.
    """
    key = (op, args, name, repr(value), options, shape if op == "array" else None)
    found = _made.get(key)
    if found is None:
        made = shape if op == "array" else _shape(op, args, options)
        found = _made[key] = Node(op, args, name, value, options, made)
    return found


def like(n: Node, *args: Node) -> Node:
    """The node's operation on other arguments; the node itself where it has none."""
    return node(n.op, *args, options=n.options) if args else n


def _shape(op: str, args: tuple[Node, ...], options: tuple[Any, ...]) -> Shape | None:
    given = tuple(a.shape for a in args if a.shape is not None)
    if op in CUTS:
        if args[0].shape is None:
            raise ShapeError(f"{op} of a coefficient, which has no rows and columns")
        return shapes.of(op, given, options)
    return shapes.broadcast(op, *given) if given else None


@dataclass(frozen=True)
class Graph:
    """A rule's traced outputs: the step, and each slot's new value by the slot's name."""

    step: Node
    slots: Mapping[str, Node]

    def input(self, name: str) -> Node:
        """The array input of a name, x, g or a slot, in its shape."""
        new = self.slots.get(name)
        return node("array", name=name, shape=WHOLE if new is None or new.shape is None else new.shape)

    @cached_property
    def is_elementwise(self) -> bool:
        """Whether each element is computed from those at the same place alone, whatever shape the arrays have."""
        return not any(n.op in CUTS or n.op == "size" for n in self.nodes)

    @cached_property
    def multiplies(self) -> bool:
        """Whether matrices are multiplied, which of a vector makes little sense."""
        return any(n.op in PRODUCTS for n in self.nodes)

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
            known[n] = values[SIZES[n.name] if n.op == "size" else n.name]
        else:
            known[n] = operations[n.op](*(known[a] for a in n.args), *n.options)
    return tuple(known[o] for o in outputs)


def substitute(outputs: Iterable[Node], replacements: Mapping[Node, Node]) -> tuple[Node, ...]:
    """Copies of some nodes in which every occurrence of a key is replaced by its value."""
    outputs = tuple(outputs)
    new: dict[Node, Node] = {}
    for n in topological(outputs):
        new[n] = replacements.get(n) or like(n, *(new[a] for a in n.args))
    return tuple(new[o] for o in outputs)
