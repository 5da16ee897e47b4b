"""State and parameters that a program replaces by hand: what lies at a known address is looked at before it is written.

Each change is made twice: where the old tensor lay, which a table of addresses alone could not tell from it, and in a
copy of that memory, which nobody has seen before. Both must give the same numbers, in the memory behind them too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ravine.torch
from ravine.torch import likeness, walk

NAMES = ("SGD", "RMSprop", "NAdam")
OPTIONS: dict[str, dict[str, Any]] = {"SGD": {"momentum": 0.9}, "RMSprop": {"momentum": 0.9}}


class Marked(Tensor):
    """A user's own kind of tensor."""


@pytest.fixture(params=["machine code", "torch", "python"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """By machine code, by torch's own check, and where a version of torch has none."""
    if request.param != "machine code":
        monkeypatch.setattr(walk, "abi", lambda: None)
    if request.param == "python":
        monkeypatch.setattr(likeness, "by_torch", lambda tensors: None)


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "the same": lambda m: m[:9].view(3, 3),
    "float64": lambda m: m.view(torch.float64)[:9].view(3, 3),
    "bfloat16": lambda m: m.view(torch.bfloat16)[:9].view(3, 3),
    "float16": lambda m: m.view(torch.float16)[:9].view(3, 3),
    "int32": lambda m: m.view(torch.int32)[:9].view(3, 3),
    "transposed": lambda m: m[:9].view(3, 3).t(),
    "strided": lambda m: m[:18].view(3, 6)[:, ::2],
    "expanded": lambda m: m[:1].expand(3, 3),
    "shorter": lambda m: m[:4].view(2, 2),
    "longer": lambda m: m[:16].view(4, 4),
    "one dimension": lambda m: m[:9],
    "negated": lambda m: torch._neg_view(m[:9].view(3, 3)),
    "watched": lambda m: m[:9].view(3, 3).requires_grad_(),
    "of a class": lambda m: m[:9].view(3, 3).as_subclass(Marked),
}
COUNTS: dict[str, Callable[[Tensor], Tensor]] = {
    "the same": lambda m: m[0],
    "float64": lambda m: m.view(torch.float64)[0],
    "bfloat16": lambda m: m.view(torch.bfloat16)[0],
    "int64": lambda m: m.view(torch.int64)[0],
    "one dimension": lambda m: m[:1],
    "two of them": lambda m: m[:2],
    "negated": lambda m: torch._neg_view(m[0]),
}


def outcome(name: str, key: str | None, change: Callable[[Tensor], Tensor], *, in_place: bool) -> Any:
    """All numbers after a state tensor (None: the parameter) was replaced in training, or the exception."""
    memory = torch.linspace(1, 2, 48)
    p = nn.Parameter(torch.linspace(1, 3, 9).view(3, 3))
    optimizer = getattr(ravine.torch, name)([p], lr=0.1, **OPTIONS.get(name, {}))
    state = optimizer.state[p]
    p.grad = torch.linspace(-1, 2, 9).view(3, 3)
    optimizer.step()
    if key is None:
        p.data = memory[:9].view(3, 3)
    else:
        state[key] = memory[0] if state[key].dim() == 0 else memory[:9].view(3, 3)
    optimizer.step()
    optimizer.step()
    if not in_place:
        memory = memory.clone()
    changed = change(memory)
    where = memory.data_ptr()
    assert changed.data_ptr() == where
    if key is None:
        p.data = changed
    else:
        state[key] = changed
    try:
        optimizer.step()
    except Exception as error:
        return type(error)
    return [t.detach().clone() for t in (memory.view(torch.uint8), p, *state.values()) if type(t) is not Marked]


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, type) or isinstance(b, type):
        return a is b
    both_nan = [x.isnan() & y.isnan() for x, y in zip(a, b, strict=True)]
    return all(bool(((x == y) | nan).all()) for x, y, nan in zip(a, b, both_nan, strict=True))


def keys(name: str, *, counts: bool) -> list[str]:
    p = nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = getattr(ravine.torch, name)([p], **OPTIONS.get(name, {}))
    optimizer.step()
    return [key for key, value in optimizer.state[p].items() if (value.dim() == 0) is counts]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("name", "key"), [(n, k) for n in NAMES for k in keys(n, counts=False)])
def test_an_average_replaced_where_it_lay(name: str, key: str, change: str) -> None:
    found = [outcome(name, key, CHANGES[change], in_place=in_place) for in_place in (True, False)]
    assert equal(*found)


@pytest.mark.parametrize("change", COUNTS)
@pytest.mark.parametrize(("name", "key"), [(n, k) for n in NAMES for k in keys(n, counts=True)])
def test_a_count_replaced_where_it_lay(name: str, key: str, change: str) -> None:
    found = [outcome(name, key, COUNTS[change], in_place=in_place) for in_place in (True, False)]
    assert equal(*found)


@pytest.mark.parametrize("change", [c for c in CHANGES if c not in ("watched", "of a class", "int32")])
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_a_parameter_replaced_where_it_lay(name: str, change: str) -> None:
    """Its gradient stays, as torch lets it."""
    found = [outcome(name, None, CHANGES[change], in_place=in_place) for in_place in (True, False)]
    assert equal(*found)
