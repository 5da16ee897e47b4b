"""Distributed tensors: an update element by element is the same update on each rank's own part."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


def is_distributed(tensor: Any) -> bool:
    """Whether it is a DTensor, found out without importing torch's distributed package."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def parts(p: Any, g: Any, state: dict[str, Any], keys: list[str]) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """This rank's part of a parameter, its gradient and its state, whose arrays are under `keys`.

    All of them as they are where they are not distributed alike.
    """
    arrays = [g, *(state[key] for key in keys)]
    if not is_distributed(p) or not all(
        is_distributed(a) and a.device_mesh == p.device_mesh and a.placements == p.placements for a in arrays
    ):
        return p, g, state
    if any(place.is_partial() for place in p.placements):
        return p, g, state
    own: dict[str, Any] = {key: v.to_local() if is_distributed(v) else v for key, v in state.items()}
    return p.detach().to_local(), g.detach().to_local(), own


def part(tensor: Any) -> Tensor:
    """This rank's part of a tensor; a plain one as it is."""
    return tensor.to_local() if is_distributed(tensor) else tensor  # type: ignore[no-any-return]


def on_any_rank(flag: bool, tensors: Iterable[Any]) -> bool:
    """Whether the flag is up on any rank that has a part of these tensors: all come to one decision.

    A sum, because a maximum of NaN depends on who computes it.
    """
    for mesh in dict.fromkeys(t.device_mesh for t in tensors if is_distributed(t)):
        from torch.distributed.tensor import DTensor, Partial

        own = torch.tensor(float(flag), device=mesh.device_type)
        flag = bool(DTensor.from_local(own, mesh, [Partial()] * mesh.ndim).full_tensor() > 0)
    return flag
