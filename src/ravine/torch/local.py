"""Distributed tensors: an update element by element is the same update on each rank's own part."""

from __future__ import annotations

import sys
from typing import Any

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
