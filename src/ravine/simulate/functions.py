"""Surfaces from functions of the user's own, and where their gradients come from."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from ravine import userfile
from ravine.errors import unknown
from ravine.simulate.surface import Evaluate, Interval, Point, Surface, SurfaceGraph, signature, trace
from ravine.simulate.surfaces import SURFACES

GRADIENTS = ("auto", "symbolic", "jax", "torch", "differences")
DIFFERENCE = float(np.finfo(float).eps) ** (1 / 3)
"""The relative step of central differences that balances their two errors."""


def from_function(
    function: Callable[..., Any],
    *,
    gradient: str | Callable[..., Any] = "auto",
    view: Sequence[Interval] | None = None,
    start: Point | None = None,
    minima: Sequence[Point] = (),
    name: str | None = None,
    log_contours: bool = False,
) -> Surface:
    """A surface from a function of (x) or (x, y), arrays of one shape, giving values of that shape.

    `gradient` is a function of the same arguments giving a tuple of partial derivatives (for x alone, one array), or:
    "symbolic" (the function is traced: arithmetic, whole powers, comparisons, ravine.math's functions, and NumPy's sin,
    cos, exp, log, tanh, sqrt, abs, maximum, minimum; keyword-only arguments become parameters), "jax", "torch", or
    "differences" (central). "auto" takes the first of these that works, JAX and torch only where the program has loaded
    them, as a function written with them has; the surface's `gradient_by` says which it was.

    `view` is the box to draw, (−3, 3) for each coordinate by default; `start` by default lies toward its upper left
    corner. Raises TypeError where a gradient that was asked for can't be had.
    """
    coordinates, parameters = signature(function)
    box = tuple(view) if view is not None else ((-3.0, 3.0),) * len(coordinates)
    if len(box) != len(coordinates) or any(not low < high for low, high in box):
        raise ValueError(f"view must be {len(coordinates)} pairs (low, high), got {view!r}")
    graph, evaluate, found = _gradient(function, gradient, len(coordinates))
    return Surface(
        name=name or function.__name__,
        title=name or function.__name__,
        summary=inspect.cleandoc(function.__doc__ or ""),
        dimension=len(coordinates),
        domain=box,
        view=box,
        start=start or tuple(low + (0.15, 0.8)[i] * (high - low) for i, (low, high) in enumerate(box)),
        minima=tuple(minima),
        minimum=float(np.asarray(function(*np.array(minima[0], dtype=float)))) if minima else None,
        traits=(),
        parameters=MappingProxyType(parameters if graph else {}),
        log_contours=log_contours,
        gradient_by=found,
        graph=graph,
        evaluate=evaluate,
    )


def find(reference: str) -> Surface:
    """A surface by name, or as FILE.py:NAME a function (or Surface) in a file of the user's own; the file is run."""
    if ":" not in reference:
        if reference not in SURFACES:
            raise unknown("surface", reference, SURFACES, listed_by="ravine simulate surfaces")
        return SURFACES[reference]
    path, name, module = userfile.look_up(reference, "function")
    found = vars(module).get(name)
    if isinstance(found, Surface):
        return found
    if not callable(found):
        raise unknown(f"function in {path}:", name, [n for n, v in vars(module).items() if inspect.isfunction(v)])
    return from_function(found)


def _gradient(
    function: Callable[..., Any], gradient: str | Callable[..., Any], dimension: int
) -> tuple[SurfaceGraph | None, Evaluate | None, str]:
    """The graph or the evaluation of a function with its gradient, and the gradient's kind."""
    if callable(gradient):
        return None, _given(function, gradient), "given"
    if gradient not in GRADIENTS:
        raise unknown("gradient", gradient, GRADIENTS)
    tried = [gradient]
    if gradient == "auto":
        tried = ["symbolic", *(n for n in ("jax", "torch") if n in sys.modules), "differences"]
    point = np.linspace(0.4, 0.7, 2 * dimension).reshape(dimension, 2)
    for kind in tried:
        try:
            if kind == "symbolic":
                return trace(function), None, kind
            evaluate = {"jax": _jax, "torch": _torch, "differences": _differences}[kind](function)
            evaluate(point)
        except Exception as error:  # a function of the user's may raise anything when it gets what it can't take
            if kind == tried[-1]:
                raise TypeError(f"the gradient of {function.__name__} can't be had by {kind}: {error}") from error
        else:
            return None, evaluate, kind
    raise AssertionError("one of the gradients was returned or refused")


def _shaped(value: Any, gradient: Any, columns: Any) -> tuple[Any, Any]:
    """Value and gradient in the shapes that a surface promises."""
    result = np.empty_like(columns)
    for i, part in enumerate(gradient):
        result[i] = part
    return np.broadcast_to(np.asarray(value, dtype=float), columns.shape[1:]), result


def _given(function: Callable[..., Any], gradient: Callable[..., Any]) -> Evaluate:
    def evaluate(columns: Any) -> tuple[Any, Any]:
        parts = gradient(*columns)
        return _shaped(function(*columns), parts if isinstance(parts, (tuple, list)) else (parts,), columns)

    return evaluate


def _differences(function: Callable[..., Any]) -> Evaluate:
    def evaluate(columns: Any) -> tuple[Any, Any]:
        value, parts = function(*columns), []
        for i, column in enumerate(columns):
            h = DIFFERENCE * np.maximum(1.0, np.abs(column))
            low, high = column - h, column + h
            sides = [function(*columns[:i], side, *columns[i + 1 :]) for side in (low, high)]
            parts.append((np.asarray(sides[1]) - np.asarray(sides[0])) / (high - low))
        return _shaped(value, parts, columns)

    return evaluate


def _jax(function: Callable[..., Any]) -> Evaluate:
    import jax

    def total(columns: Any) -> tuple[Any, Any]:
        value = function(*columns)
        return value.sum(), value

    both = jax.jit(jax.value_and_grad(total, has_aux=True))

    def evaluate(columns: Any) -> tuple[Any, Any]:
        with _double_precision():
            (_, value), gradient = both(jax.numpy.asarray(columns))
            return _shaped(value, np.asarray(gradient), columns)

    return evaluate


def _double_precision() -> Any:
    import jax

    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    return importlib.import_module("jax.experimental").enable_x64()  # where older versions of JAX have it


def _torch(function: Callable[..., Any]) -> Evaluate:
    import torch

    def evaluate(columns: Any) -> tuple[Any, Any]:
        x = torch.tensor(columns, requires_grad=True)
        value = function(*x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
        return _shaped(value.detach().numpy(), gradient.numpy(), columns)

    return evaluate
