"""State in few bits as torch keeps it: codes under the slot's own key, their scales beside under another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ravine.engines.storage.codes import blocks
from ravine.torch import codes, local
from ravine.torch.method import Method
from ravine.torch.rounding import REMAINDER, join, split

Entries = dict[str, Any]


def scale_key(key: str) -> str:
    """The key of the scales of what is under a key."""
    return f"{key}_scale"


def is_coded(state: Mapping[str, Any], key: str) -> bool:
    """Whether there are codes under a key, with their scales."""
    array = state.get(key)
    return isinstance(array, Tensor) and array.dtype in codes.KINDS and scale_key(key) in state


def made(method: Method, name: str, p: Tensor, key: str, start: float) -> Entries:
    """New codes of a slot that holds `start` everywhere, and their scales."""
    kind = method.slot_dtype(name, p)
    own = local.part(p)
    array = torch.full_like(p, 0, dtype=kind, requires_grad=False, memory_format=torch.contiguous_format)
    scale = torch.zeros(blocks(own.numel()), dtype=torch.float32, device=own.device)
    if start or math.copysign(1.0, start) < 0:  # the codes of 0 are zeros, those of −0 are not
        values = torch.full(own.shape, start, dtype=torch.float32, device=own.device)
        coded, scale = codes.encode(values, codes.KINDS[array.dtype])
        local.part(array).copy_(coded)
    return {key: array, scale_key(key): scale}


def widened(state: Mapping[str, Any]) -> Entries:
    """A parameter's state with what is in codes or in bfloat16 as float32; the rest as it is."""
    found = {}
    for key, value in state.items():
        if is_coded(state, key):
            found[key] = decoded(value, state[scale_key(key)])
        elif isinstance(value, Tensor) and value.dtype is torch.bfloat16:
            found[key] = value.float()
        elif not (key.endswith("_scale") and is_coded(state, key.removesuffix("_scale"))):
            found[key] = value
    return found


def decoded(array: Any, scale: Tensor) -> Tensor:
    """The float32 numbers; distributed where the codes are."""
    if not local.is_distributed(array):
        return codes.decode(array, scale)
    values = torch.full_like(array, 0, dtype=torch.float32)
    local.part(values).copy_(codes.decode(local.part(array), scale))
    return values


def fitted(method: Method, p: Tensor, saved: Mapping[str, Any], key: str, name: str) -> Entries:
    """What is saved of a slot, in the type that the method stores it in: codes as they are, else the nearest."""
    wanted = method.slot_dtype(name, p)
    value = saved[key]
    if is_coded(saved, key):
        scale = saved[scale_key(key)]
        if value.dtype is wanted and scale.numel() == blocks(local.part(p).numel()):
            return {key: value.to(p.device), scale_key(key): scale.to(p.device, torch.float32)}
        value = decoded(value, scale)
    if wanted not in codes.KINDS:
        return {key: value.to(p.device, wanted or p.dtype)}
    new = made(method, name, p, key, 0.0)
    coded, scale = codes.encode(local.part(value).to(p.device), codes.KINDS[new[key].dtype])
    local.part(new[key]).copy_(coded)
    return {key: new[key], scale_key(key): scale}


def float32_state(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict of an optimizer of `ravine.torch` as torch's class of the same name, and any of ours, loads it: all
    state in float32, and no option that torch lacks. Nothing given is changed.

    A narrow optimizer's `load_state_dict` takes what this gives, and stores each number as the nearest it has: exactly
    those that came from one of the same kind.
    """
    from ravine.torch import guards

    groups = [{k: v for k, v in g.items() if k not in guards.KEYS} for g in state_dict["param_groups"]]
    states = {
        index: {k: v for k, v in widened(state).items() if k != REMAINDER} if isinstance(state, Mapping) else state
        for index, state in state_dict["state"].items()
    }
    return {**state_dict, "state": states, "param_groups": groups}


def float32_parameters(optimizer: torch.optim.Optimizer) -> dict[Tensor, Tensor]:
    """Each parameter's value in float32: with its remainder where it has one, exactly. Keyed by the parameter."""
    found = {}
    for group in optimizer.param_groups:
        for p in group["params"]:
            remainder = optimizer.state.get(p, {}).get(REMAINDER)
            found[p] = p.detach().float() if remainder is None else join(p, remainder)
    return found


def set_float32_parameters(optimizer: torch.optim.Optimizer, values: Mapping[Tensor, Tensor]) -> None:
    """Set parameters to float32 values; a bfloat16 parameter whose group asks for rounding="remainder" takes 24 bits of
    them, the nearest: what `float32_parameters` gave comes back exactly."""
    for group in optimizer.param_groups:
        for p in group["params"]:
            if p not in values:
                continue
            with torch.no_grad():
                if group.get("rounding") == REMAINDER and p.dtype is torch.bfloat16:
                    upper, optimizer.state[p][REMAINDER] = split(values[p].detach().to(p.device, torch.float32))
                    p.copy_(upper)
                else:
                    p.copy_(values[p])
