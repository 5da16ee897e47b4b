"""Saving and loading without torch's traps: shared memory with the source, types changed on the way, lost groups."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ravine.torch import guards

if TYPE_CHECKING:
    from ravine.torch.stepper import Stepper

EMPTY = "empty_groups"
"""The key under which a group of a state dict carries the values of groups without parameters."""

StateDict = dict[str, Any]


def with_empty_groups(state_dict: StateDict) -> StateDict:
    """A state dict from which torch's distributed checkpointing does not lose groups without parameters.

    It sorts groups by their parameters' names, so one without any can get lost; one with parameters carries it along.
    """
    groups = state_dict["param_groups"]
    empty = {str(i): {k: v for k, v in g.items() if k != "params"} for i, g in enumerate(groups) if not g["params"]}
    carrier = next((g for g in groups if g["params"]), None)
    if empty and carrier is not None:
        carrier[EMPTY] = empty
    return state_dict


def load(optimizer: Stepper, torch_load: Callable[[StateDict], None], state_dict: StateDict) -> None:
    """Load by torch's own method, but a copy, and put right what torch loses."""
    own = _copied(state_dict)
    carried: dict[str, Any] = {}
    for group in own["param_groups"]:
        carried |= group.pop(EMPTY, {})
    for number, (group, old) in enumerate(zip(own["param_groups"], optimizer.param_groups, strict=False)):
        kept = {k: v for k, v in old.items() if k in guards.KEYS or not group.get("params")}
        for key, value in {**kept, **carried.get(str(number), {})}.items():
            if key != "params":
                group.setdefault(key, value)
    torch_load(own)
    _restore_types(optimizer, own)
    for group in optimizer.param_groups:
        method = optimizer._method(group)
        if method.dtype is not None:
            for p in group["params"]:
                state = optimizer.state.get(p, {})
                state.update({k: state[k].to(method.dtype) for k in method.arrays.values() if _is_real(state.get(k))})


def _copied(state_dict: StateDict) -> StateDict:
    """A state dict whose tensors are its own: torch would step the source's memory too."""
    state = {key: _clone(value) for key, value in state_dict["state"].items()}
    return {**state_dict, "state": state, "param_groups": [dict(g) for g in state_dict["param_groups"]]}


def _clone(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {k: _clone(v) for k, v in value.items()}
    return value


def _restore_types(optimizer: Stepper, state_dict: StateDict) -> None:
    """Undo torch's casts of loaded state to the parameter's type where they lose digits or change a counter's type.

    float32 state of a bfloat16 parameter stays float32. A step count that is a plain number, as old checkpoints have
    it, becomes a tensor.
    """
    saved = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
    params = chain.from_iterable(group["params"] for group in optimizer.param_groups)
    for index, p in zip(saved, params, strict=True):
        state = optimizer.state.get(p, {})
        for name, value in state_dict["state"].get(index, {}).items():
            loaded = state.get(name)
            if not isinstance(value, Tensor) or not isinstance(loaded, Tensor) or loaded.dtype is value.dtype:
                continue
            is_counter = value.shape != p.shape or name == "step"
            if is_counter or (value.dtype is torch.float32 and loaded.dtype.itemsize < 4):
                state[name] = value.to(loaded.device)
        if isinstance(state.get("step"), (int, float)):
            state["step"] = torch.tensor(float(state["step"]), dtype=torch.float32)


def _is_real(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
