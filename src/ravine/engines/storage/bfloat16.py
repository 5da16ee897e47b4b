"""bfloat16, the upper half of a float32, as NumPy's uint16; and float24, which has eight bits more, kept apart."""

from __future__ import annotations

from typing import Any

import numpy as np

NAN = 0x7FC0


def encode(values: Any, random: Any = None) -> Any:
    """float32 numbers in 16 bits; `random` are integers of 16 bits an element, None for the nearest, ties to even."""
    values = np.asarray(values, np.float32)
    bits = values.view(np.uint32)
    add = np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1)) if random is None else random.astype(np.uint32)
    return np.where(np.isnan(values), NAN, (bits + add.reshape(bits.shape)) >> np.uint32(16)).astype(np.uint16)


def decode(stored: Any) -> Any:
    """The float32 numbers."""
    return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)


def split(values: Any, random: Any = None) -> tuple[Any, Any]:
    """float32 numbers as (the nearest bfloat16, away from zero in a tie; what it lacks in units of 2⁻⁸ of its last
    place, int8): 24 bits in all. `random` are integers of 8 bits an element, None for the nearest, ties to even.
    """
    values = np.asarray(values, np.float32)
    bits = values.view(np.uint32)
    add = np.uint32(0x7F) + (bits >> np.uint32(8) & np.uint32(1)) if random is None else random.astype(np.uint32)
    whole = np.where(np.isnan(values), NAN << 8, (bits + add.reshape(bits.shape)) >> np.uint32(8)).astype(np.uint32)
    upper = (whole + np.uint32(0x80)) >> np.uint32(8)
    return upper.astype(np.uint16), (whole - (upper << np.uint32(8))).astype(np.int32).astype(np.int8)


def join(upper: Any, remainder: Any) -> Any:
    """The float32 numbers that were split, exactly."""
    bits = (upper.astype(np.uint32) << np.uint32(16)) + (remainder.astype(np.int32) << 8).view(np.uint32)
    return bits.view(np.float32)
