"""Rounding to fewer bits: by chance, so that on average nothing is lost, or with the lost digits kept beside."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ravine.engines.storage import noise
from ravine.torch import guards
from ravine.torch.codes import cut, words
from ravine.torch.layout import is_dense

if TYPE_CHECKING:
    from ravine.torch.method import Method

LOW = 0xFFFF
"""The bits of a float32 that a bfloat16 does not have."""

REMAINDER = "remainder"
"""The way of rounding, and the key of what is kept of a parameter in its state."""


class How(NamedTuple):
    """How bfloat16 parameters are rounded, and whether narrow state is rounded at random."""

    parameter: str = "nearest"
    is_state_random: bool = False

    @property
    def is_seeded(self) -> bool:
        """Whether there is anything random."""
        return self.parameter != "nearest" or self.is_state_random

    def of(self, p: Tensor) -> str:
        """How this parameter is rounded."""
        return self.parameter if p.dtype is torch.bfloat16 else "nearest"


NEAREST = How()


def asked(group: MutableMapping[str, Any], method: Method) -> How:
    """What a group asks for."""
    if not method.is_narrow and "rounding" not in group:
        return NEAREST
    is_random = method.is_narrow and group.get("state_rounding", "stochastic") == "stochastic"
    return How(group.get("rounding", "nearest"), is_random)


def next_seeds(group: MutableMapping[str, Any], params: Sequence[Tensor]) -> list[int]:
    """32 bits for each parameter, from the group's seed, the step's number and the parameter's; counts the step."""
    guards.complete(group)
    guards.count_rounding(group)
    group["rounding_steps"] += 1
    numbers = {id(p): number for number, p in enumerate(group["params"])}
    return [noise.seed(group["rounding_seed"], group["rounding_steps"], numbers[id(p)]) for p in params]


def places(x: Tensor, *, in_order: bool = False) -> Tensor:
    """The number of each element, by which it and its state draw: its place in memory where a parameter's elements fill
    that, in whatever order; else, and `in_order`, its place in a contiguous tensor. (Of a layout with gaps a copy in
    float32 has none, so ask of the parameter itself.)"""
    numbers = torch.arange(x.numel(), device=x.device)
    return numbers.as_strided(x.shape, x.stride()) if is_dense(x) and not in_order else numbers.reshape(x.shape)


def stochastic(x: Tensor, numbers: Tensor, seed: int, *, is_lower: bool = False) -> Tensor:
    """float32 numbers as bfloat16: up or down, as often as makes the average right. The fused engine's bits."""
    h = cut(words(numbers, seed), 16, is_lower=is_lower)
    bits = x.view(torch.int32) + h.to(torch.int32)
    rounded = (bits & ~LOW).view(torch.float32)
    return torch.where(x.isfinite(), rounded, x).to(torch.bfloat16)


def split(x: Tensor, numbers: Tensor | None = None, seed: int = 0) -> tuple[Tensor, Tensor]:
    """float32 numbers as (bfloat16, remainder): 24 bits in all, the last by chance or, without the elements' numbers,
    the nearest."""
    bits = x.view(torch.int32).to(torch.int64) & noise.WORD
    add = 0x7F + (bits >> 8 & 1) if numbers is None else cut(words(numbers, seed), 8, is_lower=False)
    whole = torch.where(x.isnan(), 0x7FC000, bits + add >> 8)
    upper = whole + 0x80 >> 8
    remainder = (whole - (upper << 8)).to(torch.int8)
    return torch.where(upper > 0x7FFF, upper - 0x10000, upper).to(torch.int16).view(torch.bfloat16), remainder


def join(x: Tensor, remainder: Tensor) -> Tensor:
    """The float32 numbers that a bfloat16 parameter and its remainder stand for, exactly."""
    bits = x.detach().float().view(torch.int32) + (remainder.to(torch.int32) << 8)
    return bits.view(torch.float32)
