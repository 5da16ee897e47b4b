"""The state of torch optimizers: out of their state dicts, and into them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ravine.convert.names import Tensors, join
from ravine.convert.recognise import Recognised, named, recognise
from ravine.errors import unknown

CLIP = "clip_global_norm"


@dataclass(frozen=True)
class Group:
    """The tensors of a parameter group by name, what optimizer they are of, and the group's options as they stand.

    `number` is its place among the optimizer's groups; of several with one optimizer that of the first.
    """

    tensors: Tensors
    optimizer: Recognised
    options: Mapping[str, Any]
    number: int = 0

    @property
    def beside(self) -> tuple[str, ...]:
        """What Ravine's classes do to the gradients before, where the spelled optimizer does not."""
        clip = self.options.get(CLIP)
        return () if clip is None or CLIP in self.optimizer.call else (f"{CLIP}={clip!r}",)


def from_torch(state_dict: Any, optimizer: str | None = None) -> tuple[Tensors, str]:
    """The tensors of a torch optimizer's state dict by name, and its call, as `read` takes them.

    `optimizer` says which it is where the state dict doesn't tell: a call, or a name such as "torch.AdamW", with the
    values of the parameter groups. Raises ValueError where it must be said, and for groups with different settings.
    """
    found = groups(state_dict, optimizer)
    if len(found) > 1:
        raise ValueError("the parameter groups have different options: convert them one by one (groups)")
    return found[0].tensors, found[0].optimizer.call


def groups(state_dict: Any, optimizer: str | None = None, names: Mapping[int, str] | None = None) -> list[Group]:
    """The parameter groups of a torch optimizer's state dict, those with one optimizer together. Raises ValueError.

    `names` are those of the parameters that have numbers there.
    """
    if not is_state_dict(state_dict):
        raise ValueError("not an optimizer's state dict: it needs 'state' and 'param_groups'")
    found: dict[str, Group] = {}
    for number, group in enumerate(state_dict["param_groups"]):
        told = recognise(group) if optimizer is None else named(optimizer, group)
        known = found.get(told.call) or Group({}, told, group, number)
        tensors = _tensors(group, state_dict["state"], told, names or {})
        found[told.call] = Group(known.tensors | tensors, told, known.options, known.number)
    return list(found.values())


def is_state_dict(value: Any) -> bool:
    """Whether this is what a torch optimizer's `state_dict` returns."""
    return (
        isinstance(value, dict)
        and {"state", "param_groups"} <= value.keys()
        and isinstance(value["state"], dict)
        and isinstance(value["param_groups"], list)
        and all(isinstance(g, dict) and "params" in g for g in value["param_groups"])
    )


def into_torch(tensors: Tensors, state_dict: dict[str, Any]) -> dict[str, Any]:
    """A state dict like the given one (of the optimizer that is to go on) with these tensors for its state.

    Raises ValueError for a parameter that is unknown. Warns of one that has no tensors: it starts anew, as a frozen
    or a new parameter does in torch.
    """
    import torch

    state: dict[int, dict[str, Any]] = {}
    places = {
        str(name): index
        for group in state_dict["param_groups"]
        for index, name in zip(group["params"], group.get("param_names", group["params"]), strict=True)
    }
    for name, value in tensors.items():
        param, _, key = name.rpartition(".")
        if param not in places:
            raise unknown("parameter", param, places)
        state.setdefault(places[param], {})[key] = torch.from_numpy(np.array(value))
    missing = [name for name, index in places.items() if index not in state]
    if tensors and missing:
        listed = ", ".join(map(repr, missing[:5])) + ", …" * (len(missing) > 5)
        warnings.warn(f"there is no state for {listed}: if they are not frozen, they start anew", stacklevel=2)
    return {**state_dict, "state": state}


def has_numbers(state_dict: Mapping[str, Any]) -> bool:
    """Whether parameters have numbers alone, and not names."""
    groups = state_dict["param_groups"]
    return not any("param_names" in g for g in groups) and all(isinstance(n, int) for g in groups for n in g["params"])


def _tensors(group: Mapping[str, Any], state: Mapping[Any, Any], told: Recognised, names: Mapping[int, str]) -> Tensors:
    """A group's tensors under the names that the recognised optimizer has for them."""
    tensors: Tensors = {}
    known = [names.get(n, n) for n in group["params"]]
    for index, name in zip(group["params"], group.get("param_names", known), strict=True):
        for key, value in state.get(index, {}).items():
            if value is not None:
                there = told.names.get(key, key)
                array = _array(value)
                tensors[join("torch", str(name), there.lstrip("-"))] = -array if there.startswith("-") else array
    return tensors


def _array(value: Any) -> np.ndarray:
    """A tensor's numbers, bfloat16 in float32. A copy: the optimizer goes on writing to its own."""
    import torch

    if not isinstance(value, torch.Tensor):
        return np.asarray(value, np.float32)
    own = value.detach().cpu()
    return own.float().numpy() if own.dtype == torch.bfloat16 else own.numpy().copy()
