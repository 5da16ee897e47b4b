"""The names of parameters that a torch checkpoint knows by number: told by order and shape from a list of names.

An optimizer numbers its parameters group by group, each group in the model's order. The model's state dict has the
names in that order, with buffers and whatever the optimizer was not given in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

Shape = tuple[int, ...]
Entry = tuple[str, Shape]
"""A parameter's name and shape."""

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
"""Buffers that have a parameter's shape, in torch's own modules."""

MOST = 20_000
"""More half-done assignments than this are not followed."""


def entries(model: Mapping[str, Any]) -> list[Entry]:
    """What may be a parameter in a model's state dict, in order; of tensors that share memory the first."""
    found: dict[Any, Entry] = {}
    for name, value in model.items():
        if value.is_floating_point() or value.is_complex():
            place = (value.untyped_storage().data_ptr(), value.storage_offset(), value.shape)
            if name.rpartition(".")[2] not in BUFFERS:
                found.setdefault(place if value.numel() else name, (name, tuple(value.shape)))
    return list(found.values())


def model_in(whole: Any, optimizer: Mapping[str, Any]) -> list[Entry]:
    """The largest state dict of a model in a checkpoint, outside of the optimizer; empty where there is none."""
    models = [entries(m) for m in _models(whole, optimizer)]
    return max(models, key=len, default=[])


def named(state_dict: Mapping[str, Any], model: Sequence[Entry]) -> dict[int, str] | None:
    """The name of each number in a state dict's groups; None where these fit in no way, or in more than one."""
    groups = [[(n, _shape(state_dict["state"].get(n))) for n in g["params"]] for g in state_dict["param_groups"]]
    found = assigned([[shape for _, shape in group] for group in groups], model)
    if found is None:
        return None
    numbers = [n for group in groups for n, _ in group]
    return dict(zip(numbers, (name for group in found for name in group), strict=True))


def assigned(groups: Sequence[Sequence[Shape | None]], model: Sequence[Entry]) -> list[list[str]] | None:
    """A name for each shape (None fits all): each group in the model's order. None where that is not just one way."""
    spare = len(model) - sum(map(len, groups))
    # Positions in all groups → the number of ways there (2 for more), and how the last step was made.
    ways: dict[tuple[int, ...], int] = {(0,) * len(groups): 1}
    came: list[dict[tuple[int, ...], int]] = []
    for done, (_, shape) in enumerate(model):
        after: dict[tuple[int, ...], int] = {}
        last: dict[tuple[int, ...], int] = {}
        for at, count in ways.items():
            if done - sum(at) < spare:
                after[at], last[at] = min(2, after.get(at, 0) + count), -1
            for k, group in enumerate(groups):
                if at[k] < len(group) and group[at[k]] in (None, shape):
                    there = (*at[:k], at[k] + 1, *at[k + 1 :])
                    after[there], last[there] = min(2, after.get(there, 0) + count), k
        if len(after) > MOST:
            return None
        ways = after
        came.append(last)
    at = tuple(map(len, groups))
    if ways.get(at) != 1:
        return None
    found: list[list[str]] = [[] for _ in groups]
    for (name, _), last in zip(reversed(model), reversed(came), strict=True):
        if (k := last[at]) >= 0:
            found[k].insert(0, name)
            at = (*at[:k], at[k] - 1, *at[k + 1 :])
    return found


def _shape(own: Mapping[str, Any] | None) -> Shape | None:
    """A parameter's shape, told by what is kept for it. One number may be a count beside, so it tells nothing."""
    shapes = [tuple(v.shape) for v in (own or {}).values() if hasattr(v, "shape")]
    try:
        return np.broadcast_shapes(*shapes) or None  # means over rows and columns tell it together
    except ValueError:
        return max(shapes, key=len, default=None) or None


def _models(value: Any, optimizer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if not isinstance(value, dict) or value is optimizer or {"state", "param_groups"} <= value.keys():
        return
    if value and all(isinstance(n, str) and hasattr(v, "untyped_storage") for n, v in value.items()):
        yield value
    else:
        for own in value.values():
            yield from _models(own, optimizer)
