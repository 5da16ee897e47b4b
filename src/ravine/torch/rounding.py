"""Stochastic rounding: a bfloat16 parameter moves, on average, by steps that are smaller than it can hold."""

from __future__ import annotations

import hashlib
from collections.abc import MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ravine.engines.storage.noise import MIX, PLACE
from ravine.torch import guards

WORD = 0xFFFFFFFF
LOW = 0xFFFF
"""The bits of a float32 that a bfloat16 does not have."""


def is_asked_for(group: MutableMapping[str, Any]) -> bool:
    """Whether a group's bfloat16 parameters are rounded at random."""
    return bool(group.get("rounding", "nearest") != "nearest")


def next_seeds(group: MutableMapping[str, Any], params: Sequence[Tensor]) -> list[int]:
    """32 bits for each parameter, from the group's seed, the step's number and the parameter's; counts the step."""
    guards.complete(group)
    group["rounding_steps"] += 1
    start = f"{group['rounding_seed']}/{group['rounding_steps']}"
    numbers = {id(p): number for number, p in enumerate(group["params"])}
    digests = [hashlib.blake2b(f"{start}/{numbers[id(p)]}".encode(), digest_size=4).digest() for p in params]
    return [int.from_bytes(digest, "little") for digest in digests]


def stochastic(x: Tensor, seed: int) -> Tensor:
    """float32 numbers as bfloat16: up or down, as often as makes the average right. The fused engine's bits."""
    h = (torch.arange(x.numel(), device=x.device).reshape(x.shape) * PLACE + seed) & WORD
    for shift, factor in MIX:
        h = ((h ^ (h >> shift)) * factor) & WORD
    bits = x.contiguous().view(torch.int32) + (h >> 16).to(torch.int32)
    rounded = (bits & ~LOW).view(torch.float32)
    return torch.where(x.isfinite(), rounded, x).to(torch.bfloat16)
