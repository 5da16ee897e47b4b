"""Functions of x and y as graphs: traced once, evaluated by NumPy, differentiated symbolically, lowered elsewhere.

The graph is that of `ravine.trace`. What a surface may use beyond an update rule (sin, cos, …) is in this module's own
table, so that no engine has to lower it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ravine.simulate.exponential import exponential
from ravine.trace.graph import CONDITIONS, Node, node, topological
from ravine.trace.graph import OPERATIONS as RULE_OPERATIONS
from ravine.trace.tracer import Tracer

TRANSCENDENTAL: dict[str, Callable[..., Any]] = {
    "sin": np.sin,
    "cos": np.cos,
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
}
"""The functions whose last bit differs between languages."""

OPERATIONS: dict[str, Callable[..., Any]] = {
    **{name: function for name, function in RULE_OPERATIONS.items() if name not in ("power", "rough_inverse_cbrt")},
    **TRANSCENDENTAL,
    "exponential": exponential,
}
"""Everything a surface's node can compute, with its meaning. Whole powers are multiplications; there is no other."""

_UFUNCS = {"subtract": "sub", "multiply": "mul", "divide": "div", "negative": "neg", "absolute": "abs"}
_UFUNCS |= {"greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le"}


class Expression(Tracer):
    """A tracer that also takes `**` with a whole number, and NumPy's functions of `OPERATIONS` (np.sin, np.sqrt, …)."""

    __slots__ = ()

    def __pow__(self, exponent: Any) -> Any:
        whole = isinstance(exponent, (int, float)) and float(exponent).is_integer() and 1 <= exponent <= 16
        if not whole:
            raise TypeError(f"only whole powers from 1 to 16 are multiplications, got {exponent!r}")
        result: Any = self
        for digit in bin(int(exponent))[3:]:
            result = result * result
            if digit == "1":
                result = result * self
        return result

    def __array_ufunc__(  # type: ignore[override]  # a rule takes no NumPy functions, a surface does
        self, ufunc: Any, method: str, *inputs: Any, **options: Any
    ) -> Any:
        name = ufunc.__name__
        if method == "__call__" and not options:
            if name in ("power", "float_power"):
                return inputs[0] ** inputs[1]
            if name == "square":
                return inputs[0] * inputs[0]
            if _UFUNCS.get(name, name) in OPERATIONS:
                return apply(_UFUNCS.get(name, name), *inputs)
        raise TypeError(f"np.{name} has no symbolic form; there are {', '.join(OPERATIONS)}")


def variable(name: str) -> Expression:
    """A coordinate: an array input."""
    return Expression(node("array", name=name))


def parameter(name: str) -> Expression:
    """A number that stays the same for every point."""
    return Expression(node("scalar", name=name))


def apply(op: str, *operands: Any) -> Expression:
    """An operation of `OPERATIONS` on expressions and numbers."""
    return Expression(node(op, *(as_node(o) for o in operands)))


def as_node(value: Any) -> Node:
    """The node of an expression, or a constant. Raises TypeError for what is neither."""
    if isinstance(value, Tracer):
        return value.node
    if isinstance(value, (int, float, np.integer, np.floating)):
        return node("const", value=float(value))
    raise TypeError(f"a surface can't compute with {value!r} of type {type(value).__name__}")


class Program:
    """Nodes made ready to be evaluated many times. Called with inputs by name, it gives the nodes' values in order."""

    def __init__(self, outputs: Iterable[Node]) -> None:
        self.outputs = tuple(outputs)
        self.nodes = topological(self.outputs)

    def __call__(self, inputs: Mapping[str, Any]) -> list[Any]:
        """Coordinates are arrays of one shape, parameters are numbers."""
        known: dict[Node, Any] = {}
        for n in self.nodes:
            if n.op == "const":
                known[n] = n.value
            elif n.is_leaf:
                known[n] = inputs[n.name]
            else:
                known[n] = OPERATIONS[n.op](*[known[a] for a in n.args])
        return [known[o] for o in self.outputs]


def derivative(output: Node, by: Node) -> Node:
    """The derivative of an expression by a leaf, as an expression on the same nodes.

    At a kink the derivative of the branch that is taken; of |a| at 0 it is 0.
    """
    known: dict[Node, Node] = {}
    for n in topological([output]):
        known[n] = ONE if n is by else ZERO if n.is_leaf or n.op in CONDITIONS else _rule(n, known)
    return known[output]


ZERO, ONE, TWO = (node("const", value=value) for value in (0.0, 1.0, 2.0))


def _rule(n: Node, known: Mapping[Node, Node]) -> Node:
    """The derivative of a node, given those of its arguments."""
    arguments = n.args
    d = [known[a] for a in arguments]
    if all(part is ZERO for part in d):
        return ZERO
    a, b = arguments[0], arguments[-1]
    match n.op:
        case "add":
            return _add(d[0], d[1])
        case "sub":
            return _sub(d[0], d[1])
        case "neg":
            return _neg(d[0])
        case "mul":
            if a is b:
                return _mul(TWO, _mul(d[0], a))
            return _add(_mul(d[0], b), _mul(a, d[1]))
        case "div":  # (a / b)' = (a' − (a / b)·b') / b
            return _div(_sub(d[0], _mul(n, d[1])), b)
        case "sqrt":
            return _div(d[0], _mul(TWO, n))
        case "abs":
            return _mul(d[0], node("sign", a))
        case "sign":
            return ZERO
        case "maximum":
            return _where(node("ge", a, b), d[0], d[1])
        case "minimum":
            return _where(node("le", a, b), d[0], d[1])
        case "where":
            return _where(a, d[1], d[2])
        case "sin":
            return _mul(d[0], node("cos", a))
        case "cos":
            return _neg(_mul(d[0], node("sin", a)))
        case "exp" | "exponential":
            return _mul(d[0], n)
        case "log":
            return _div(d[0], a)
        case "tanh":
            return _mul(d[0], _sub(ONE, _mul(n, n)))
    raise TypeError(f"there is no derivative for the operation {n.op!r}")


# Only what is exactly zero or one is left out, so a derivative reads as one would write it.
def _add(a: Node, b: Node) -> Node:
    if a is b:
        return _mul(TWO, a)
    return b if a is ZERO else a if b is ZERO else node("add", a, b)


def _sub(a: Node, b: Node) -> Node:
    return _neg(b) if a is ZERO else a if b is ZERO else node("sub", a, b)


def _neg(a: Node) -> Node:
    return a if a is ZERO else node("const", value=-a.value) if a.op == "const" else node("neg", a)


def _mul(a: Node, b: Node) -> Node:
    if a is ZERO or b is ZERO:
        return ZERO
    return b if a is ONE else a if b is ONE else node("mul", a, b)


def _div(a: Node, b: Node) -> Node:
    return ZERO if a is ZERO else node("div", a, b)


def _where(condition: Node, a: Node, b: Node) -> Node:
    return a if a is b else node("where", condition, a, b)
