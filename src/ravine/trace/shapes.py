"""The shapes of an equation's arrays: pairs out of 1, r and c, where the parameter has r rows and c columns."""

from __future__ import annotations

import math
from typing import Any

Shape = tuple[str, str]
"""The number of rows and of columns in symbols: "1", "r", "c"; "?" while a slot's shape is still to be found."""

WHOLE: Shape = ("r", "c")
UNKNOWN: Shape = ("?", "?")


class ShapeError(TypeError):
    """Shapes that an equation can't put together, whatever r and c are."""


def words(shape: Shape) -> str:
    """A shape as it is written: r × c."""
    return " × ".join(shape)


def broadcast(op: str, *shapes: Shape) -> Shape:
    """The shape of an elementwise operation: equal, or 1 beside anything."""
    found = shapes[0]
    for shape in shapes[1:]:
        both = tuple(_joined(a, b) for a, b in zip(found, shape, strict=True))
        if None in both:
            raise ShapeError(f"{op} of {words(found)} and {words(shape)}: these shapes don't go together")
        found = both  # type: ignore[assignment]
    return found


def _joined(a: str, b: str) -> str | None:
    if a == b or b == "?":
        return a
    if a in ("?", "1"):
        return b
    return a if b == "1" else None


def of(op: str, shapes: tuple[Shape, ...], options: tuple[Any, ...]) -> Shape:
    """The shape of an operation that is more than elementwise. Raises ShapeError where there is none."""
    (rows, columns), *others = shapes
    match op:
        case "transpose":
            return columns, rows
        case "matmul":
            inner, result = others[0]
            if "?" not in (columns, inner) and columns != inner:
                raise ShapeError(
                    f"matmul of {words(shapes[0])} and {words(others[0])}: the first one's columns must be the second "
                    "one's rows; transpose one of them"
                )
            return rows, result
        case "total" | "mean" | "norm" | "rms":
            (axis,) = options
            if axis not in (None, 0, 1):
                raise ShapeError(f"{op}: axis must be 0 (over the rows), 1 (over the columns) or None, got {axis!r}")
            return ("1" if axis in (None, 0) else rows), ("1" if axis in (None, 1) else columns)
    return rows, columns  # newton_schulz


def view(shape: tuple[int, ...], is_stack: bool = False) -> tuple[int, ...]:
    """What an array's shape is to an equation: (r, c), or (…, r, c) for a stack of matrices.

    A number is 1 × 1 and a vector n × 1. An array of more dimensions is one matrix, its first dimension the rows; or,
    where it is a stack, the last two dimensions are a matrix's and the others count the matrices.
    """
    if len(shape) < 2:
        return (*shape, *(1,) * (2 - len(shape)))
    if is_stack:
        return shape
    return shape[0], math.prod(shape[1:])


def sizes(shape: Shape, seen: tuple[int, ...]) -> tuple[int, ...]:
    """A shape in numbers, for a parameter that the equation sees as `seen` (as `view` returns it)."""
    known = {"1": 1, "r": seen[-2], "c": seen[-1]}
    return (*seen[:-2], *(known[dim] for dim in shape))
