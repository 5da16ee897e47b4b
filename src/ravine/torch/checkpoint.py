"""Loading a state dict without torch's two traps: shared memory with the source, and types changed on the way."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import Tensor


def copied(state_dict: dict[str, Any]) -> dict[str, Any]:
    """A state dict whose tensors are its own: torch would step the source's memory too."""
    state = {
        key: {n: v.detach().clone() if isinstance(v, Tensor) else v for n, v in value.items()}
        if isinstance(value, dict)
        else value
        for key, value in state_dict["state"].items()
    }
    return {**state_dict, "state": state}


def restore_types(optimizer: torch.optim.Optimizer, state_dict: dict[str, Any]) -> None:
    """Give loaded state the type it was saved with: torch casts float32 state to a bfloat16 parameter's type."""
    saved = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
    params = chain.from_iterable(group["params"] for group in optimizer.param_groups)
    for index, p in zip(saved, params, strict=True):
        for name, value in state_dict["state"].get(index, {}).items():
            loaded = optimizer.state[p].get(name)
            if isinstance(value, Tensor) and isinstance(loaded, Tensor) and loaded.dtype != value.dtype:
                optimizer.state[p][name] = value.to(loaded.device)
