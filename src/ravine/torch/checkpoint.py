"""Saving and loading without torch's traps: shared memory with the source, types changed on the way, lost groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ravine.torch import guards, local, narrow
from ravine.torch.rounding import REMAINDER

if TYPE_CHECKING:
    from ravine.torch.method import Method
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


def with_whole_state(state_dict: StateDict) -> StateDict:
    """A state dict in which codes of distributed tensors are float32, so that it can be loaded on other ranks: blocks
    are each rank's own. On as many ranks the codes come back as they were."""
    states = {
        index: narrow.widened(state) if isinstance(state, dict) and _has_distributed_codes(state) else state
        for index, state in state_dict["state"].items()
    }
    return {**state_dict, "state": states}


def _has_distributed_codes(state: dict[str, Any]) -> bool:
    return any(narrow.is_coded(state, key) and local.is_distributed(value) for key, value in state.items())


def load(optimizer: Stepper, torch_load: Callable[[StateDict], None], state_dict: StateDict) -> None:
    """Load by torch's own method. The last of the hooks before it takes a copy of what the user's hooks made."""
    handle = optimizer.register_load_state_dict_pre_hook(_prepare)
    try:
        torch_load(state_dict)
    finally:
        handle.remove()
        optimizer._loaded = None


def _prepare(optimizer: Any, state_dict: StateDict) -> StateDict:
    """The state dict that is loaded: a copy, with what groups had that torch does not save."""
    own = _copied(state_dict)
    carried: dict[str, Any] = {}
    for group in own["param_groups"]:
        carried |= group.pop(EMPTY, {})
    for number, (group, old) in enumerate(zip(own["param_groups"], optimizer.param_groups, strict=False)):
        kept = {k: v for k, v in old.items() if k in guards.KEYS or not group.get("params")}
        for key, value in {**kept, **carried.get(str(number), {})}.items():
            if key != "params":
                group.setdefault(key, value)
        for key in guards.STORED:  # in how many bits state is, is this optimizer's to say
            group.pop(key, None)
            if key in old:
                group[key] = old[key]
    optimizer._loaded = own
    return own


def restore(optimizer: Stepper, own: StateDict) -> None:
    """Put right what torch's load of `own` has lost, before the hooks after it."""
    for saved, group in zip(own["param_groups"], optimizer.param_groups, strict=True):
        method = optimizer._stored(group)
        for index, p in zip(saved["params"], group["params"], strict=True):
            if index in own["state"]:
                _restore_types(method, own["state"][index], optimizer.state[p])
                _restore_codes(method, p, own["state"][index], optimizer.state[p])


def _copied(state_dict: StateDict) -> StateDict:
    """A state dict whose tensors are its own: torch would step the source's memory too."""
    own = {**state_dict, "param_groups": [dict(g) for g in state_dict["param_groups"]]}
    if "state" in own:  # what is missing is torch's to complain of
        own["state"] = {key: _clone(value) for key, value in own["state"].items()}
    return own


def _clone(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {k: _clone(v) for k, v in value.items()}
    return value


def _restore_types(method: Method, saved: dict[str, Any], state: dict[str, Any]) -> None:
    """Undo torch's casts of a parameter's loaded state to its type, where they lose digits or a declared type.

    A step count that is a plain number, as old checkpoints have it, becomes a tensor.
    """
    for name, value in saved.items():
        loaded = state.get(name)
        if isinstance(value, Tensor) and isinstance(loaded, Tensor):
            wanted = _type(method, name, value.dtype, loaded.dtype)
            if loaded.dtype is not wanted:
                state[name] = value.to(loaded.device, wanted)
    if isinstance(state.get("step"), (int, float)):
        state["step"] = torch.tensor(float(state["step"]), dtype=torch.float32, device="cpu")


def _restore_codes(method: Method, p: Tensor, saved: dict[str, Any], state: dict[str, Any]) -> None:
    """Put what is in codes, or is to be, and a remainder, in the place of what torch has made of them."""
    for name, key in method.arrays.items():
        if (
            key in saved
            and isinstance(saved[key], Tensor)
            and (narrow.is_coded(saved, key) or method.state is not None)
        ):
            state.pop(narrow.scale_key(key), None)
            state.update(narrow.fitted(method, p, saved, key, name))
    if isinstance(saved.get(REMAINDER), Tensor):
        state[REMAINDER] = saved[REMAINDER].to(p.device)


def _type(method: Method, name: str, saved: torch.dtype, cast: torch.dtype) -> torch.dtype:
    """What a piece of state should have, that was saved in one type and cast to another by torch."""
    if name in method.scalars.values():
        return saved
    if name in method.arrays.values() and method.dtype is not None and cast.is_floating_point:
        return method.dtype
    return saved if saved is torch.float32 and cast in (torch.bfloat16, torch.float16) else cast
