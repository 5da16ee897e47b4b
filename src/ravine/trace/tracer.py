"""Operator overloading that records what a rule computes (compare karpathy/micrograd's `Value`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from ravine.trace.graph import COMPOSITES, CONDITIONS, Graph, Node, like, node, topological
from ravine.trace.shapes import WHOLE, Shape


class _TracingLibrary:
    """What `ravine.math` calls when an operand is a tracer."""

    def sqrt(self, a: Any) -> Tracer:
        return _record("sqrt", a)

    def rough_inverse_cbrt(self, a: Any) -> Tracer:
        return _record("rough_inverse_cbrt", a)

    def abs(self, a: Any) -> Tracer:
        return _record("abs", a)

    def sign(self, a: Any) -> Tracer:
        return _record("sign", a)

    def maximum(self, a: Any, b: Any) -> Tracer:
        return _record("maximum", a, b)

    def minimum(self, a: Any, b: Any) -> Tracer:
        return _record("minimum", a, b)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        if isinstance(condition, bool):
            return a if condition else b
        return _record("where", condition, a, b)

    def power(self, base: Any, exponent: Any) -> Tracer:
        result = _record("power", base, exponent)
        if result.node.is_array:
            raise TypeError("power() is for coefficients such as βᵗ; of an array write g * g or sqrt(g)")
        return result

    def reduce(self, kind: str, a: Any, axis: int | None) -> Tracer:
        return _record(kind, a, options=(axis,))

    def matmul(self, a: Any, b: Any) -> Tracer:
        return _record("matmul", a, b)

    def transpose(self, a: Any) -> Tracer:
        return _record("transpose", a)

    def composite(self, name: str, *operands: Any) -> Tracer:
        return _record(name, *operands)

    def size(self, a: Tracer, axis: int) -> Any:
        if a.node.shape is None:
            raise TypeError("rows() and columns() are for arrays: a coefficient has none")
        dim = a.node.shape[axis]
        return 1.0 if dim == "1" else type(a)(node("size", name=dim))


class Tracer:
    """Stands for a value while a rule is traced; arithmetic on it makes nodes."""

    __ravine_math__ = _TracingLibrary()
    __array_ufunc__ = None  # so that a NumPy number on the left defers to us instead of making an object array
    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node

    def __add__(self, other: Any) -> Tracer:
        return _record("add", self, other)

    def __radd__(self, other: Any) -> Tracer:
        return _record("add", other, self)

    def __sub__(self, other: Any) -> Tracer:
        return _record("sub", self, other)

    def __rsub__(self, other: Any) -> Tracer:
        return _record("sub", other, self)

    def __mul__(self, other: Any) -> Tracer:
        return _record("mul", self, other)

    def __rmul__(self, other: Any) -> Tracer:
        return _record("mul", other, self)

    def __truediv__(self, other: Any) -> Tracer:
        return _record("div", self, other)

    def __rtruediv__(self, other: Any) -> Tracer:
        return _record("div", other, self)

    def __matmul__(self, other: Any) -> Tracer:
        return _record("matmul", self, other)

    def __neg__(self) -> Tracer:
        return _record("neg", self)

    def __gt__(self, other: Any) -> Tracer:
        return _record("gt", self, other)

    def __ge__(self, other: Any) -> Tracer:
        return _record("ge", self, other)

    def __lt__(self, other: Any) -> Tracer:
        return _record("lt", self, other)

    def __le__(self, other: Any) -> Tracer:
        return _record("le", self, other)

    def __abs__(self) -> Tracer:
        return _record("abs", self)

    def __pow__(self, other: Any) -> NoReturn:
        raise TypeError("a rule can't use **: write power(beta, t) for a coefficient, g * g for a square (ravine.math)")

    __rpow__ = __pow__

    def __iadd__(self, other: Any) -> Tracer:
        return self._in_place("+", other, self + other)

    def __isub__(self, other: Any) -> Tracer:
        return self._in_place("-", other, self - other)

    def __imul__(self, other: Any) -> Tracer:
        return self._in_place("*", other, self * other)

    def __itruediv__(self, other: Any) -> Tracer:
        return self._in_place("/", other, self / other)

    def _in_place(self, sign: str, other: Any, result: Tracer) -> Tracer:
        if self.node.op == "array":
            name = self.node.name
            raise TypeError(f"a rule can't change {name} in place: write {name} = {name} {sign} …")
        return result

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("a rule can't use == or !=: write where(t > 1, …, …) with >, >=, < or <=")

    __ne__ = __eq__
    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a rule can't branch on a value with if, and, or, min or max: use where() or maximum() of ravine.math"
        )

    def __float__(self) -> NoReturn:
        raise TypeError(
            "a rule can't turn a value into a number: use the functions of ravine.math, not those of math or numpy"
        )

    def __repr__(self) -> str:
        return f"Tracer({self.node.op} {self.node.name})"


def array(name: str, shape: Shape = WHOLE) -> Tracer:
    """A tracer for an array input."""
    return Tracer(node("array", name=name, shape=shape))


def scalar(name: str) -> Tracer:
    """A tracer for a scalar input."""
    return Tracer(node("scalar", name=name))


def as_node(value: Any) -> Node:
    """The node of a tracer, or a constant."""
    if isinstance(value, Tracer):
        return value.node
    if isinstance(value, (int, float)):
        return node("const", value=float(value))
    raise TypeError(
        f"a rule can't compute with {value!r} of type {type(value).__name__}: only its arguments and numbers"
    )


def graph(step: Any, slots: dict[str, Any]) -> Graph:
    """The graph of a rule's returned tracers."""
    nodes = {name: as_node(value) for name, value in slots.items()}
    _refuse_conditions(as_node(step), *nodes.values())
    return Graph(as_node(step), nodes)


def spelled_out(outputs: Iterable[Node]) -> tuple[Node, ...]:
    """Some nodes with what composites compute in place of their names."""
    outputs = tuple(outputs)
    new: dict[Node, Node] = {}
    for n in topological(outputs):
        args = [new[a] for a in n.args]
        new[n] = as_node(COMPOSITES[n.op](*map(Tracer, args))) if n.op in COMPOSITES else like(n, *args)
    return tuple(new[o] for o in outputs)


def _record(op: str, *operands: Any, options: tuple[Any, ...] = ()) -> Tracer:
    kind = next(type(o) for o in operands if isinstance(o, Tracer))  # a subclass of Tracer stays itself
    nodes = [as_node(o) for o in operands]
    if op == "where" and nodes[0].op not in CONDITIONS:
        raise TypeError("where() needs a comparison first, such as where(g > 0, …, …)")
    _refuse_conditions(*nodes[op == "where" :])
    return kind(node(op, *nodes, options=options))


def _refuse_conditions(*nodes: Node) -> None:
    for n in nodes:
        if n.op in CONDITIONS:
            raise TypeError("a condition is no number: write where(g > 0, …, …) instead of computing with g > 0")
