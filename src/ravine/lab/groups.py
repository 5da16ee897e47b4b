"""A model's parameters in groups, as torch takes them, and which of them are hidden matrices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from ravine.torch.roles import roles

Group = dict[str, Any]
HIDDEN = "_ravine_hidden"
"""Marks parameters of a model by whether they are matrices between its layers."""


def tensor(parameter: Any) -> Tensor:
    """The tensor of a parameter, which may come with its name."""
    found: Tensor = parameter[1] if isinstance(parameter, tuple) else parameter
    return found


def split_matrices(params: Any) -> tuple[list[Group], list[Group]]:
    """(the groups of hidden matrices, those of everything else). Of parameters that don't come from a model, or
    from one of which `ravine.torch.roles` can't tell, all with two dimensions count as hidden matrices."""
    matrices: list[Group] = []
    others: list[Group] = []
    for group in in_groups(params):
        chosen = [p for p in group["params"] if tensor(p).ndim == 2 and getattr(tensor(p), HIDDEN, True)]
        rest = [p for p in group["params"] if all(p is not c for c in chosen)]
        matrices += [{**group, "params": chosen}] if chosen else []
        others += [{**group, "params": rest}] if rest else []
    return matrices, others


def in_groups(params: Any) -> list[Group]:
    """Parameters as groups, each a mapping that holds a list; those of a model are marked for `split_matrices`."""
    if isinstance(params, nn.Module):
        _mark(params)
        params = [p for p in params.parameters() if p.requires_grad]
    given = list(params) if isinstance(params, Iterable) and not isinstance(params, (dict, Tensor)) else [params]
    if not given:
        raise ValueError("make_optimizer() was given no parameters")
    if not all(isinstance(g, dict) for g in given):
        return [{"params": given}]
    listed = []
    for group in given:
        inside = group.get("params", [])
        listed.append({**group, "params": [inside] if isinstance(inside, Tensor) else list(inside)})
    return listed


def marked_as(own: nn.Parameter, other: Tensor) -> nn.Parameter:
    """The parameter, a hidden matrix if the other one is."""
    if hasattr(other, HIDDEN):
        setattr(own, HIDDEN, getattr(other, HIDDEN))
    return own


def _mark(model: nn.Module) -> None:
    """Tell hidden matrices from all else, where the model says what its parameters are for."""
    with contextlib.suppress(ValueError):
        for place in roles(model).values():
            setattr(place.tensor, HIDDEN, place.role == "matrix")
