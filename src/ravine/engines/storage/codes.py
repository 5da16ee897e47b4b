"""Eight bits a number: a small float relative to the largest magnitude of its block. The reference, in NumPy.

A block is 256 elements in the order of a contiguous array, with one float32 scale; the last may be shorter. A code is
the upper bits of |v| / scale as a float32, sign and exponent and three bits of the significand, shifted so that the
block's largest magnitude has the largest code, and code 0 is zero:

- `int8` (for slots of either sign): the sign, four bits of exponent, from 1.9e-5 of the scale to the scale;
- `uint8` (for slots that are never negative): five bits of exponent, from 2.9e-10 of the scale to the scale. What is
  not zero never becomes zero: a second moment that vanished would make the next step explode.

Half a unit in the last place is 6 % of a number. Rounding is by chance, up as often as makes the average right, or to
the nearest; below the smallest code an `int8` is that or zero, by chance, and a `uint8` that. A block with an infinity
has an infinite scale: its codes are relative to the largest number, and the top one is infinity, so that what never
steps again in float32 never does here. A NaN makes its block NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BLOCK = 256
"""Elements that share a scale."""

SHIFT = 20
"""Bits of a float32 that a code lacks, so those that rounding draws: 23 − 3 of the significand."""

TOP = {"int8": 127, "uint8": 255}
"""The largest code, which stands for the scale itself; what is above it in a byte is the sign."""

BIAS = {kind: (127 << (23 - SHIFT)) - top for kind, top in TOP.items()}
"""What lies between a code and the upper bits of the float that it stands for: 1.0, exponent 127, has the top code."""

SMALLEST = {kind: float(np.uint32(1 + bias << SHIFT).view(np.float32)) for kind, bias in BIAS.items()}
"""What code 1 stands for, relative to the scale."""

HALF = 1 << (SHIFT - 1)
"""Half a code, which decoding adds in a block with an infinity: times the largest number, the top code overflows then,
and no other does."""

MAGNITUDE, LARGEST, INFINITY, NAN, NORMAL = 0x7FFFFFFF, 0x7F7FFFFF, 0x7F800000, 0x7FC00000, 0x00800000
"""Bits of float32: all but the sign, the largest number, infinity, NaN, the smallest normal number."""


def blocks(n: int) -> int:
    """How many blocks n elements have."""
    return -(-n // BLOCK)


def scales(values: Any) -> Any:
    """A scale for each block of float32 numbers: the largest magnitude; 2⁻¹²⁶ where that is less and not zero."""
    bits = _padded(values).view(np.uint32) & np.uint32(MAGNITUDE)
    top = bits.max(axis=1, initial=0)  # of the bits as integers: exact in any order, and a NaN wins
    top = np.where(top > INFINITY, NAN, top)
    top = np.where((top > 0) & (top < NORMAL), NORMAL, top)
    return top.astype(np.uint32).view(np.float32)


def finite(scale: Any) -> Any:
    """What codes are relative to: the scale, or the largest number where that is infinite."""
    return np.where(np.isinf(scale), np.uint32(LARGEST).view(np.float32), scale)


def encode(values: Any, kind: str, random: Any = None) -> tuple[Any, Any]:
    """(codes, scales) of float32 numbers; `random` are integers of 20 bits an element, None for the nearest code."""
    scale = scales(values)
    unit = finite(scale)
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    magnitude = np.abs(flat)
    with np.errstate(all="ignore"):
        inverse = np.where(unit == 0, np.float32(0), np.float32(1) / unit)
        y = magnitude * np.repeat(inverse, BLOCK)[: flat.size]
    bits = y.view(np.uint32)
    least = np.float32(SMALLEST[kind])
    if random is None:
        add = np.uint32((1 << SHIFT - 1) - 1) + (bits >> np.uint32(SHIFT) & np.uint32(1))
        is_up = y * np.float32(2) >= least
    else:
        add = np.asarray(random, np.uint32).reshape(-1)
        is_up = y * np.float32(2**SHIFT / SMALLEST[kind]) > add.astype(np.float32)
    if kind == "uint8":
        is_up = magnitude != 0
    code = ((bits + add) >> np.uint32(SHIFT)).astype(np.int32) - BIAS[kind]
    code = np.minimum(np.where(code < 1, is_up.astype(np.int32), code), TOP[kind])
    if kind == "int8":
        code = np.where(flat < 0, code | (TOP[kind] + 1), code)  # of NaN no sign: processors differ there
    return code.astype(np.uint8).view(kind).reshape(np.shape(values)), scale


def decode(codes: Any, scale: Any) -> Any:
    """The float32 numbers that codes of either kind stand for."""
    kind = str(codes.dtype)
    whole = np.ascontiguousarray(codes).reshape(-1).view(np.uint8).astype(np.uint32)
    size = whole & np.uint32(TOP[kind])
    half = np.repeat(np.where(np.isinf(scale), np.uint32(HALF), np.uint32(0)), BLOCK)[: whole.size]
    bits = np.where(size == 0, np.uint32(0), ((size + np.uint32(BIAS[kind])) << np.uint32(SHIFT)) + half)
    sign = (whole - size) << np.uint32(24)
    with np.errstate(all="ignore"):
        value = (bits | sign).view(np.float32) * np.repeat(finite(scale), BLOCK)[: whole.size]
    return value.reshape(codes.shape)


def _padded(values: Any) -> Any:
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    return np.concatenate([flat, np.zeros(-flat.size % BLOCK, np.float32)]).reshape(-1, BLOCK)
