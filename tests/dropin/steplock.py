"""Running our class and torch's of the same name side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

import ravine.torch

NAMES = ("SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Rprop", "ASGD")
"""The classes that torch has too, but those below."""

FACTORED = ("Adafactor",)
"""Of these, the class whose state has other shapes than the parameter, and which takes no complex numbers."""

ULPS = {"Adam": 64.0, "AdamW": 64.0, "NAdam": 64.0, "RAdam": 4000.0, "Muon": 64.0, "SparseAdam": 64.0}
"""How many units in the last place a step may be off, 8 where nothing is said. βᵗ is a product here and `pow` in torch,
and 1 − βᵗ magnifies its last bit; RAdam then subtracts two numbers near 2000 to get one near 1. An element of a product
of matrices is a sum, whose terms may be larger than it is."""


def ours(name: str) -> Any:
    return getattr(ravine.torch, name)


def theirs(name: str) -> Any:
    return getattr(torch.optim, name)


def takes_late_parameters(name: str) -> bool:
    """Whether torch's class steps a parameter that came after its construction: Adagrad of old versions fails."""
    first, late = (torch.ones(1, requires_grad=True) for _ in range(2))
    optimizer = theirs(name)([first], lr=0.1)
    optimizer.add_param_group({"params": [late]})
    late.grad = torch.ones(1)
    try:
        optimizer.step()
    except KeyError:
        return False
    return True


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """torch keeps its step counts, and NAdam's product, in the default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def snapshot(optimizer: torch.optim.Optimizer, params: list[Tensor]) -> dict[Any, Tensor]:
    """Parameters and state, copied."""
    found: dict[Any, Tensor] = {(i, "parameter"): p.detach().clone() for i, p in enumerate(params)}
    for i, p in enumerate(params):
        found |= {(i, n): v.clone() for n, v in optimizer.state.get(p, {}).items() if isinstance(v, Tensor)}
    return found


def gaps(wanted: dict[Any, Tensor], got: dict[Any, Tensor], before: dict[Any, Tensor]) -> dict[Any, float]:
    """The largest difference of each tensor, in units of the last place of the numbers that were added to make it."""
    assert wanted.keys() == got.keys()
    found = {}
    for key, value in wanted.items():
        assert value.dtype == got[key].dtype, key
        assert value.shape == got[key].shape, key
        a, b, old = (torch.view_as_real(t) if t.is_complex() else t for t in (value, got[key], before.get(key, value)))
        finite = a.isfinite()
        assert torch.equal(torch.nan_to_num(a.where(~finite, 0)), torch.nan_to_num(b.where(~finite, 0))), key
        scale = torch.finfo(a.dtype).eps * (a.abs() + old.abs()) + torch.finfo(a.dtype).tiny
        gap = ((a - b).abs() / scale)[finite]
        found[key] = gap.max().item() if gap.numel() else 0.0
    return found


def copy_into(target: Any, params: list[Tensor], source: Any, source_params: list[Tensor]) -> None:
    """The next step of `target` starts from the numbers of `source`."""
    with torch.no_grad():
        for p, q in zip(params, source_params, strict=True):
            p.copy_(q)
    for p, q in zip(params, source_params, strict=True):
        for name, value in source.state.get(q, {}).items():
            if isinstance(value, Tensor):
                target.state[p][name].copy_(value)
