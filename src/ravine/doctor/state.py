"""Every tensor that an optimizer keeps, however deep: in dicts, lists, objects, and tensors made of tensors."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

OPAQUE = (str, bytes, bool, int, float, complex, type, type(None), Enum, FunctionType, MethodType, ModuleType)
"""What has no tensors of its own."""


def state_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Every tensor of the state and of the groups, named by its place, as in "0.exp_avg" or "1.projector.basis"."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    seen = {id(p) for p in params}
    found = dict[str, Tensor]()
    for number, p in enumerate(params):
        found.update(_walk(optimizer.state.get(p, {}), str(number), seen))
    others = {key: value for key, value in optimizer.state.items() if not isinstance(key, Tensor)}
    found.update(_walk(others, "state", seen))
    for number, group in enumerate(optimizer.param_groups):
        found.update(_walk({k: v for k, v in group.items() if k != "params"}, f"group {number}", seen))
    return found


def _walk(value: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, OPAQUE) or id(value) in seen:
        return
    seen.add(id(value))
    for key, inner in _parts(value):
        yield from _walk(inner, f"{name}.{key}", seen)
    if isinstance(value, Tensor) and not is_traceable_wrapper_subclass(value):
        yield name, value


def _parts(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Tensor):
        if not is_traceable_wrapper_subclass(value):
            return []
        return [(name, getattr(value, name)) for name in value.__tensor_flatten__()[0]]
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, (list, tuple, deque, set, frozenset)):
        return list(enumerate(value))
    return list(getattr(value, "__dict__", {}).items())


def snapshot(optimizer: Optimizer) -> dict[str, Tensor]:
    """Copies of all parameters and of all tensors of the state."""
    params = (p for group in optimizer.param_groups for p in group["params"])
    everything = {**{f"parameter {i}": p for i, p in enumerate(params)}, **state_tensors(optimizer)}
    return {name: tensor.detach().clone() for name, tensor in everything.items()}


def changed(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    """What is not the same bit for bit, has come or has gone; NaN in one place equals NaN in the same place."""
    here = [name for name in before if name not in after or not _same(before[name], after[name])]
    return here + [name for name in after if name not in before]


def _same(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.equal(a, b) or bool(((a == b) | ((a != a) & (b != b))).all())


def names(keys: Sequence[str]) -> str:
    """The distinct names among keys of `state_tensors`, less the number of the parameter."""
    return ", ".join(dict.fromkeys(key.partition(".")[2] or key for key in keys))
