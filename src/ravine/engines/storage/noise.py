"""Random bits for rounding, that any engine can make again: a hash of a seed and of an element's place."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

PLACE, MIX = 0x9E3779B1, ((16, 0x85EBCA6B), (13, 0xC2B2AE35))
"""The hash of a place: h = place × PLACE + seed, then h ^= h >> shift, h ×= factor, as at the end of MurmurHash3."""

SLOT = 0xC2B2AE3D
"""What the seed of each further hash lies on from the one before: the parameter has the first, two slots share one."""

STRIDE, OFFSET = 0x27D4EB2F, 0x165667B1
"""What lies between a hash's seed and those of a block's stride and offset."""

WORD = 0xFFFFFFFF


def seed(start: int, step: int, number: int) -> int:
    """32 bits for the parameter of a number in its group, at a step (from 1) of a group whose seed is `start`."""
    digest = hashlib.blake2b(f"{start}/{step}/{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def slot_seed(seed: int, k: int) -> tuple[int, bool]:
    """The seed of the hash that slot k (of the rounded ones) draws from, and whether it has the hash's lower bits."""
    return (seed + (k // 2 + 1) * SLOT) & WORD, bool(k % 2)


def words(places: Any, seed: int) -> Any:
    """The hash, 32 bits for each of some places."""
    h = (np.asarray(places, np.uint64) * PLACE + seed).astype(np.uint32)
    for shift, factor in MIX:
        h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    return h


def draw(n: int, seed: int, is_lower: bool, bits: int) -> Any:
    """Random integers of so many bits for n elements: the upper bits of a hash of each place, or the lower ones."""
    return _cut(words(np.arange(n), seed), is_lower, bits)


def draw_by_block(n: int, block: int, seed: int, is_lower: bool, bits: int) -> Any:
    """The same at a twentieth of the work: the places of a block go in equal strides from an offset, modulo 2³², both a
    hash of the block. So any two elements of a block are independent, though not any three."""
    numbers = np.arange(-(-n // block))
    stride, offset = (words(numbers, (seed + more) & WORD)[:, None] for more in (STRIDE, OFFSET))
    return _cut((np.arange(block, dtype=np.uint32) * stride + offset).reshape(-1)[:n], is_lower, bits)


def _cut(h: Any, is_lower: bool, bits: int) -> Any:
    return h & np.uint32((1 << bits) - 1) if is_lower else h >> np.uint32(32 - bits)
