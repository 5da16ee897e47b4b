"""What a surface is: a function to descend on, with its gradient and what is known about it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ravine.errors import unknown
from ravine.simulate.examples import WANTED, Examples, mean
from ravine.simulate.expression import TRANSCENDENTAL, Program, as_node, derivative, parameter, variable
from ravine.trace.graph import Node, node, topological

COORDINATES = ("x", "y")
Interval = tuple[float, float]
Point = tuple[float, ...]
Evaluate = Callable[[Any], tuple[Any, Any]]
BLOCK = 1 << 16
"""How many pairs of point and example are computed at a time: their arrays stay in the processor's cache."""


class SurfaceGraph(NamedTuple):
    """A surface as expressions: its value, and the derivative by each coordinate, sharing what they can.

    Leaves are array nodes named by `COORDINATES`, scalar nodes named by parameters, and constants; where the surface is
    a mean over examples, the value is one example's, and array nodes are named by the columns of the data, too.
    """

    value: Node
    gradient: tuple[Node, ...]

    @property
    def outputs(self) -> tuple[Node, ...]:
        """The value, then the gradient."""
        return (self.value, *self.gradient)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Every node once, arguments before their users."""
        return topological(self.outputs)


@dataclass(frozen=True, eq=False)
class Surface:
    """A function of one or two coordinates, with its gradient and what is known about it.

    `view` is the box worth looking at and `domain` the box where the function is usually studied, as (low, high) for
    each coordinate; `start` a point to start from; `minima` the points where the value is `minimum` (none, and None,
    where there is no least value); `traits` what it is known for; `parameters` its numbers by name, with the values
    in use; `log_contours` whether level lines are best spaced evenly in the logarithm. `gradient_by` says where the
    gradient comes from: "symbolic", "jax", "torch", "differences" or "given"; `graph` is None for all but the first.
    `examples` is the data that the value is a mean over, if it is one.
    """

    name: str
    title: str
    summary: str
    dimension: int
    domain: tuple[Interval, ...]
    view: tuple[Interval, ...]
    start: Point
    minima: tuple[Point, ...]
    minimum: float | None
    traits: tuple[str, ...]
    parameters: Mapping[str, float]
    log_contours: bool
    gradient_by: str
    graph: SurfaceGraph | None
    evaluate: Evaluate | None = None
    examples: Examples | None = None

    def __repr__(self) -> str:
        return f"<Surface {self.name}: {self.title}>"

    @property
    def is_exact(self) -> bool:
        """Whether its gradient uses only + − × ÷ √ and comparisons, so that every language gets the same bits."""
        return self.graph is not None and not any(n.op in TRANSCENDENTAL for n in topological(self.graph.gradient))

    def with_parameters(self, **parameters: float) -> Surface:
        """The surface with some parameters changed. Raises ValueError for an unknown name or a value not finite."""
        for name, value in parameters.items():
            if name not in self.parameters:
                raise unknown(f"parameter of surface {self.name}", name, self.parameters)
            if not np.isfinite(value):
                raise ValueError(f"surface {self.name}: {name} must be a finite number, got {value!r}")
        values = {**self.parameters, **{n: float(v) for n, v in parameters.items()}}
        return replace(self, parameters=MappingProxyType(values))

    def value(self, points: Any) -> Any:
        """The values at points of shape (…, dimension); an array of shape (…)."""
        return self.at(self._columns(points))[0]

    def gradient(self, points: Any) -> Any:
        """The gradients at points of shape (…, dimension); an array of that shape."""
        return np.moveaxis(self.at(self._columns(points))[1], 0, -1)

    def at(self, columns: Any, members: Any = None) -> tuple[Any, Any]:
        """(values, gradients) at points given coordinate by coordinate: shape (dimension, …), float64.

        The values have shape (…), the gradients the shape of `columns`. On a surface over data `members`, of true and
        false and shape (examples, n) for columns (dimension, n), says of which examples the mean is taken.
        """
        if self.evaluate is not None:
            return self.evaluate(columns)
        if self.examples is not None:
            return self._over_examples(self.examples, columns, members)
        with np.errstate(all="ignore"):  # a run that diverges ends in an honest infinity
            value, *partial = self._program({**dict(zip(COORDINATES, columns, strict=False)), **self.parameters})
        gradient = np.empty_like(columns)
        for i, part in enumerate(partial):
            gradient[i] = part
        return np.broadcast_to(value, columns.shape[1:]), gradient

    def _over_examples(self, examples: Examples, columns: Any, members: Any) -> tuple[Any, Any]:
        flat = columns.reshape(len(columns), -1)
        result = np.empty((1 + len(columns), flat.shape[1]))
        data = {name: column[:, None] for name, column in examples.columns.items()}
        size = max(1, BLOCK // len(examples.rows))
        for part in (slice(low, low + size) for low in range(0, flat.shape[1], size)):
            points = flat[:, part]
            with np.errstate(all="ignore"):
                terms = self._program({**dict(zip(COORDINATES, points, strict=False)), **self.parameters, **data})
                shape = len(examples.rows), points.shape[1]
                chosen = None if members is None else np.broadcast_to(members, (shape[0], flat.shape[1]))[:, part]
                result[:, part] = [mean(np.broadcast_to(term, shape), chosen) for term in terms]
        return result[0].reshape(columns.shape[1:]), result[1:].reshape(columns.shape)

    @cached_property
    def _program(self) -> Program:
        assert self.graph is not None
        return Program(self.graph.outputs)

    def _columns(self, points: Any) -> Any:
        points = np.asarray(points, dtype=float)
        if points.ndim == 0 or points.shape[-1] != self.dimension:
            raise ValueError(
                f"points on {self.name} have {self.dimension} coordinate{'s' * (self.dimension > 1)} in the last axis, "
                f"got shape {points.shape}"
            )
        return np.ascontiguousarray(np.moveaxis(points, -1, 0))


def trace_over(
    model: Callable[..., Any], loss: Callable[[Any, Any], Any], inputs: Iterable[str]
) -> tuple[SurfaceGraph, Node]:
    """(one example's loss with its gradient, the model's output), of `model(x, y, *inputs, **parameters)`."""
    x, y = (variable(name) for name in COORDINATES)
    data = [variable(name) for name in inputs]
    given = {name: parameter(name) for name in signature(model, len(COORDINATES) + len(data))[1]}
    output = model(x, y, *data, **given)
    value = as_node(loss(output, variable(WANTED)))
    return SurfaceGraph(value, tuple(derivative(value, c.node) for c in (x, y))), as_node(output)


def trace(function: Callable[..., Any]) -> SurfaceGraph:
    """A function of (x) or (x, y), and parameters after them as keywords, as a graph with its gradient.

    Raises TypeError for a function that does more than the operations of `ravine.simulate.expression` can say.
    """
    coordinates, parameters = signature(function)
    value = as_node(
        function(*(variable(n) for n in COORDINATES[: len(coordinates)]), **{n: parameter(n) for n in parameters})
    )
    inputs = [node("array", name=n) for n in COORDINATES[: len(coordinates)]]
    return SurfaceGraph(value, tuple(derivative(value, i) for i in inputs))


def signature(function: Callable[..., Any], most: int = 2) -> tuple[list[str], dict[str, float]]:
    """A surface function's coordinates (at most so many), and its parameters (keyword-only) with their defaults."""
    wanted = inspect.signature(function).parameters.values()
    coordinates = [p.name for p in wanted if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    parameters = {p.name: float(p.default) for p in wanted if p.kind is p.KEYWORD_ONLY}
    if not 1 <= len(coordinates) <= most or len(coordinates) + len(parameters) != len(wanted):
        raise TypeError(f"a surface is a function of x, or of x and y; got ({', '.join(p.name for p in wanted)})")
    return coordinates, parameters
