"""Stochastic rounding: a bfloat16 parameter moves, on average, by steps that are smaller than it can hold."""

from __future__ import annotations

import hashlib
from collections.abc import MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor

LOW = 0xFFFF
"""The bits of a float32 that a bfloat16 does not have."""


class Rounding:
    """The rounding of one step of a group. The bits depend on the seed, the step's number and the parameter's."""

    def __init__(self, seed: int, step: int, params: Sequence[Tensor]) -> None:
        self.seed, self.step = seed, step
        self.numbers = {id(p): number for number, p in enumerate(params)}

    @classmethod
    def of(cls, group: MutableMapping[str, Any]) -> Rounding | None:
        """The next step's rounding, counted in the group, or None where parameters are rounded to the nearest."""
        if group.get("rounding", "nearest") == "nearest":
            return None
        group["rounding_steps"] += 1
        return cls(group["rounding_seed"], group["rounding_steps"], group["params"])

    def stochastic(self, x: Tensor, p: Tensor) -> Tensor:
        """Parameter p's new float32 value x as bfloat16: up or down, as often as makes the average right."""
        digest = hashlib.blake2b(f"{self.seed}/{self.step}/{self.numbers[id(p)]}".encode(), digest_size=8).digest()
        random = torch.Generator(x.device).manual_seed(int.from_bytes(digest, "little") >> 1)
        noise = torch.randint(0, LOW + 1, x.shape, generator=random, device=x.device, dtype=torch.int32)
        rounded = (x.view(torch.int32).add(noise) & ~LOW).view(torch.float32)
        return torch.where(x.isfinite(), rounded, x).to(torch.bfloat16)
