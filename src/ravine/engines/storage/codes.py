"""Eight bits a number: a float with three bits of significand, in a window below its block's largest. The reference,
in NumPy.

The grid is the float32 numbers whose significand has no more than three bits; a number's place on it is what its bits
are without the last 20. A block is 256 elements in the order of a contiguous array; the last may be shorter. With it
goes one float32, its scale: the least number of the grid that is not below the block's largest magnitude. The scale
has the largest code, the number before it on the grid the next, and so on down to code 1; code 0 is zero:

- `int8` (for slots of either sign): the sign in the upper bit, and 127 codes, which go down to 1.9e-5 of the scale;
- `uint8` (for slots that are never negative): 255 codes, which go down to 2.9e-10 of the scale. What is not zero never
  becomes zero: a second moment that vanished would make the next step explode.

Half a unit in the last place is 6 % of a number. Rounding is by chance, up as often as makes the average right, or to
the nearest; below the smallest code an `int8` is that or zero, by chance, and a `uint8` that. What is on the grid stays
as it is, whatever becomes of the scale. Numbers that are not finite go with the others: an infinity has an infinite
scale with it and stays infinite, so that what never steps again in float32 never does here (and beside it a number
above 3.19e38 may become one). A NaN makes its block NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BLOCK = 256
"""Elements that share a scale."""

SHIFT = 20
"""Bits of a float32 that the grid lacks, so those that rounding draws: 23 − 3 of the significand."""

TOP = {"int8": 127, "uint8": 255}
"""The largest code; what is above it in a byte is the sign."""

MAGNITUDE, INFINITY, NAN = 0x7FFFFFFF, 0x7F800000, 0x7FC00000
"""Bits of float32: all but the sign, infinity, NaN."""

LAST = (INFINITY >> SHIFT) - 1
"""The place of the largest finite number of the grid."""


def blocks(n: int) -> int:
    """How many blocks n elements have."""
    return -(-n // BLOCK)


def scales(values: Any, kind: str) -> Any:
    """A scale for each block of float32 numbers; no less than what has codes for all that the grid has below it."""
    top = (_padded(values).view(np.uint32) & np.uint32(MAGNITUDE)).max(axis=1, initial=0)  # as integers: a NaN wins
    finite = np.clip((top + np.uint32((1 << SHIFT) - 1)) >> np.uint32(SHIFT), TOP[kind], LAST) << SHIFT
    bits = np.where(top > INFINITY, NAN, np.where(top == INFINITY, INFINITY, finite))
    return bits.astype(np.uint32).view(np.float32)


def places(scale: Any, kind: str, n: int) -> Any:
    """For each of n elements the place on the grid that code 0 would have."""
    top = (scale.view(np.uint32) & np.uint32(MAGNITUDE)) >> np.uint32(SHIFT)
    first = np.maximum(top.astype(np.int64) - TOP[kind], 0).astype(np.uint32)
    return np.repeat(first, BLOCK)[:n]


def encode(values: Any, kind: str, random: Any = None) -> tuple[Any, Any]:
    """(codes, scales) of float32 numbers; `random` are integers of 20 bits an element, None for the nearest code."""
    scale = scales(values, kind)
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    bits = flat.view(np.uint32) & np.uint32(MAGNITUDE)
    magnitude, first = bits.view(np.float32), places(scale, kind, flat.size)
    smallest = ((first + np.uint32(1)) << np.uint32(SHIFT)).view(np.float32)
    with np.errstate(all="ignore"):
        if random is None:
            add = np.uint32((1 << SHIFT - 1) - 1) + (bits >> np.uint32(SHIFT) & np.uint32(1))
            is_up = magnitude * np.float32(2) >= smallest
        else:
            add = np.asarray(random, np.uint32).reshape(-1)
            is_up = magnitude > add.astype(np.float32) * (smallest * np.float32(2.0**-SHIFT))
    if kind == "uint8":
        is_up = bits != 0
    code = np.maximum((bits + add) >> np.uint32(SHIFT), first + is_up) - first
    code = np.minimum(code, np.uint32(TOP[kind]))
    if kind == "int8":
        code |= (flat.view(np.uint32) >> np.uint32(24)) & np.uint32(TOP[kind] + 1)
    code = np.where(np.repeat(np.isnan(scale), BLOCK)[: flat.size], TOP[kind], code)
    return code.astype(np.uint8).view(kind).reshape(np.shape(values)), scale


def decode(codes: Any, scale: Any) -> Any:
    """The float32 numbers that codes of either kind stand for."""
    kind = str(codes.dtype)
    whole = np.ascontiguousarray(codes).reshape(-1).view(np.uint8).astype(np.uint32)
    size = whole & np.uint32(TOP[kind])
    bits = np.where(size == 0, np.uint32(0), (size + places(scale, kind, size.size)) << np.uint32(SHIFT))
    sign = (whole - size) << np.uint32(24)
    return (bits | sign).view(np.float32).reshape(codes.shape)


def _padded(values: Any) -> Any:
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    return np.concatenate([flat, np.zeros(-flat.size % BLOCK, np.float32)]).reshape(-1, BLOCK)
