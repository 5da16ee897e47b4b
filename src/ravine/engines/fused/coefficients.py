"""The scalar part of a graph as one Python function, evaluated once per step on the host in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ravine.engines.fused import lower
from ravine.trace.graph import OPERATIONS, Graph, Node, topological

INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}

SIZE = {"r": "rows", "c": "columns"}
"""What a matrix's sizes are called."""


class Coefficients:
    """What the loop over elements needs to know about t, the hyperparameters and the scalar slots.

    Called with (t, scalar slots, hyperparameters in order, and the matrix's rows and columns where the equation reads
    them), gives (coefficients, new scalar slots), tuples of floats.
    """

    def __init__(self, graph: Graph, hyperparameters: Iterable[str]) -> None:
        self.count = len(lower.coefficients(graph))
        self.scalar_slots = lower.scalar_slots(graph)
        self.source = _source(graph, list(hyperparameters))
        namespace: dict[str, Any] = dict(OPERATIONS)
        self._code = compile(self.source, "<coefficients>", "exec")  # kept: torch.profiler reads its name at the end
        exec(self._code, namespace)
        self.evaluate: Callable[..., tuple[tuple[float, ...], tuple[float, ...]]] = namespace["coefficients"]


def _source(graph: Graph, hyperparameters: list[str]) -> str:
    """`coefficients(t, scalars, *hyperparameters)` as Python text."""
    wanted = lower.coefficients(graph)
    kept = [graph.slots[name] for name in lower.scalar_slots(graph)]
    arguments = ["t", "scalars", *map(_argument, hyperparameters), *(f"{name}=1.0" for name in SIZE.values())]
    lines = [f"def coefficients({', '.join(arguments)}):"]
    if kept:
        lines.append(f"    ({', '.join(_argument(n) for n in lower.scalar_slots(graph))},) = scalars")
    names: dict[Node, str] = {}
    for number, n in enumerate(topological([*wanted, *kept])):
        if n.op == "const":
            names[n] = f"({n.value!r})"
        elif n.op == "size":
            names[n] = SIZE[n.name]
        elif n.is_leaf:
            names[n] = n.name if n.name == "t" else _argument(n.name)
        else:
            names[n] = f"v{number}"
            lines.append(f"    v{number} = {_expression(n.op, [names[a] for a in n.args])}")
    lines.append(f"    return ({_tuple(names[n] for n in wanted)}), ({_tuple(names[n] for n in kept)})")
    return "\n".join(lines) + "\n"


def _argument(name: str) -> str:
    return f"_{name}"  # so that no hyperparameter hides an operation


def _expression(op: str, arguments: list[str]) -> str:
    if op in INFIX:
        return f"{arguments[0]} {INFIX[op]} {arguments[1]}"
    return f"-{arguments[0]}" if op == "neg" else f"{op}({', '.join(arguments)})"


def _tuple(items: Iterable[str]) -> str:
    return "".join(f"{item}, " for item in items)
