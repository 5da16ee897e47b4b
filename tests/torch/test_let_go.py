"""What a program lets go of is free at once: parameters, gradients and state; what it does next goes as in torch."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import ravine.torch

NAMES = ("SGD", "Adam", "RMSprop")


def made(kind: Any, layout: str = "dense") -> tuple[Any, list[Any]]:
    """Two groups of two parameters, after three steps."""

    def parameter(k: int) -> nn.Parameter:
        values = torch.linspace(1, 2 + k, 8, dtype=torch.float64)
        p = nn.Parameter(values[::2] if layout == "strided" else values)
        p.grad = torch.linspace(-1, 1 + k, p.numel(), dtype=torch.float64)
        return p

    params = [parameter(k) for k in range(4)]
    options = {"momentum": 0.9} if kind.__name__ in ("SGD", "RMSprop") else {}
    optimizer = kind([{"params": params[:2]}, {"params": params[2:]}], lr=0.1, **options)
    for _ in range(3):
        optimizer.step()
    return optimizer, params


def clear_state(optimizer: Any, params: list[Any]) -> list[int]:
    optimizer.state.clear()
    return []


def pop_state(optimizer: Any, params: list[Any]) -> list[int]:
    for p in params:
        optimizer.state.pop(p)
    return []


def delete_averages(optimizer: Any, params: list[Any]) -> list[int]:
    for p in params:
        for key in [k for k, v in optimizer.state[p].items() if v.dim()]:
            del optimizer.state[p][key]
    return []


def empty_group(optimizer: Any, params: list[Any]) -> list[int]:
    for p in optimizer.param_groups[0]["params"]:
        optimizer.state.pop(p)
    optimizer.param_groups[0]["params"].clear()
    return [0, 1]


def replace_params(optimizer: Any, params: list[Any]) -> list[int]:
    for p in params[:2]:
        optimizer.state.pop(p)
    optimizer.param_groups[0]["params"] = []
    return [0, 1]


def delete_group(optimizer: Any, params: list[Any]) -> list[int]:
    for p in params[:2]:
        optimizer.state.pop(p)
    del optimizer.param_groups[0]
    return [0, 1]


def replace_groups(optimizer: Any, params: list[Any]) -> list[int]:
    for p in params[2:]:
        optimizer.state.pop(p)
    optimizer.param_groups = optimizer.param_groups[:1]
    return [2, 3]


ACTIONS: list[Callable[[Any, list[Any]], list[int]]] = [
    clear_state,
    pop_state,
    delete_averages,
    empty_group,
    replace_params,
    delete_group,
    replace_groups,
]


@pytest.mark.parametrize("layout", ["dense", "strided"])
@pytest.mark.parametrize("act", ACTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_kept_alive(name: str, act: Any, layout: str) -> None:
    optimizer, params = made(getattr(ravine.torch, name), layout)
    averages = [{k: weakref.ref(v) for k, v in optimizer.state[p].items() if v.dim()} for p in params]
    assert all(averages)
    alive = [weakref.ref(p) for p in params]
    grads = [weakref.ref(p.grad) for p in params]
    gone = act(optimizer, params)
    removed = gone or range(4)
    assert all(ref() is None for k in removed for ref in averages[k].values())
    for p in params:
        p.grad = None
    assert all(ref() is None for ref in grads)
    del params, p
    assert [k for k, ref in enumerate(alive) if ref() is None] == gone


@pytest.mark.parametrize("layout", ["dense", "strided"])
@pytest.mark.parametrize("act", ACTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_the_next_steps_go_as_in_torch(name: str, act: Any, layout: str) -> None:
    results = []
    for kind in (getattr(ravine.torch, name), getattr(torch.optim, name)):
        optimizer, params = made(kind, layout)
        if act is delete_averages and name != "SGD":
            optimizer.state.clear()  # torch's own can't go on with a part
        else:
            act(optimizer, params)
        for _ in range(2):
            optimizer.step()
        results.append([params, [dict(optimizer.state.get(p, {})) for p in params]])
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-12)


def test_a_step_that_fails_lets_go_too() -> None:
    p = nn.Parameter(torch.ones(8)[::2])
    optimizer = ravine.torch.Adam([p])
    p.grad = torch.ones(4)
    optimizer.step()
    optimizer.state[p]["exp_avg"] = torch.ones(3)
    with pytest.raises(RuntimeError, match="size"):
        optimizer.step()
    gradient = weakref.ref(p.grad)
    p.grad = None
    assert gradient() is None
