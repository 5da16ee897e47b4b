"""ravine.torch's classes against torch.optim's, one step at a time from the same state, in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import ravine.torch

EPS = torch.finfo(torch.float64).eps

CASES: dict[str, list[dict[str, Any]]] = {
    "SGD": [
        {},
        {"weight_decay": 0.1},
        {"momentum": 0.9},
        {"momentum": 0.9, "dampening": 0.3},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"momentum": 0.9, "maximize": True, "weight_decay": 0.1},
    ],
    "RMSprop": [
        {},
        {"momentum": 0.9},
        {"centered": True},
        {"centered": True, "momentum": 0.9, "weight_decay": 0.1, "maximize": True},
    ],
    "Adagrad": [{}, {"lr_decay": 0.1, "initial_accumulator_value": 0.3}, {"weight_decay": 0.1, "maximize": True}],
    "Adadelta": [{}, {"weight_decay": 0.1, "maximize": True, "lr": 0.5}],
    "Adam": [
        {},
        {"amsgrad": True},
        {"weight_decay": 0.1, "maximize": True},
        {"weight_decay": 0.1, "maximize": True, "decoupled_weight_decay": True},
        {"betas": (0.5, 0.8), "eps": 1e-3},
    ],
    "AdamW": [{}, {"amsgrad": True, "weight_decay": 0.1}],
    "NAdam": [{}, {"weight_decay": 0.1, "maximize": True}, {"weight_decay": 0.1, "decoupled_weight_decay": True}],
    "RAdam": [{}, {"weight_decay": 0.1, "maximize": True}, {"weight_decay": 0.1, "decoupled_weight_decay": True}],
    "Adamax": [{}, {"weight_decay": 0.1, "maximize": True}],
}
ULPS = {"RAdam": 4000, "NAdam": 32}
"""How far apart, in units of the last place. βᵗ is a product here and `pow` in torch; NAdam and RAdam take 1 − β₂ᵗ,
which magnifies its last bit, and RAdam subtracts two numbers near 2000 to get one near 1."""


@pytest.fixture
def double() -> Iterator[None]:
    """torch keeps its step counts, and NAdam's product, in the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def parameters() -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape)) for shape in [(3, 5), (17,), ()]]


def give_gradients(*lists: list[Tensor], seed: int) -> None:
    torch.manual_seed(seed)
    for group in zip(*lists, strict=True):
        g = torch.randn_like(group[0])
        for p in group:
            p.grad = g.clone()


def tensors(optimizer: torch.optim.Optimizer, params: list[Tensor]) -> dict[Any, Tensor]:
    found: dict[Any, Tensor] = {i: p.detach().clone() for i, p in enumerate(params)}
    for i, p in enumerate(params):
        found |= {(i, n): v.clone() for n, v in optimizer.state.get(p, {}).items()}
    return found


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("name", "options"), [(n, o) for n, several in CASES.items() for o in several])
def test_every_step_is_torchs(name: str, options: dict[str, Any]) -> None:
    theirs, ours = parameters(), parameters()
    reference = getattr(torch.optim, name)(theirs, foreach=False, **options)
    optimizer = getattr(ravine.torch, name)(ours, **options)
    for step in range(60):
        before = tensors(reference, theirs)
        give_gradients(theirs, ours, seed=step)
        reference.step()
        optimizer.step()
        wanted, got = tensors(reference, theirs), tensors(optimizer, ours)
        assert wanted.keys() == got.keys()
        for key, value in wanted.items():
            assert value.dtype == got[key].dtype
            scale = value.abs() + before.get(key, value).abs()
            assert torch.all((value - got[key]).abs() <= ULPS.get(name, 8) * EPS * scale), (step, key, value, got[key])
        with torch.no_grad():  # step-locked: the next step starts from torch's numbers
            for p, q in zip(theirs, ours, strict=True):
                q.copy_(p)
        optimizer.load_state_dict(reference.state_dict())


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", CASES)
def test_checkpoints_interchange_both_ways(name: str) -> None:
    options = CASES[name][-1]
    both = [getattr(torch.optim, name), getattr(ravine.torch, name)]

    def train(first: Any, second: Any) -> list[Tensor]:
        params = parameters()
        optimizer = first(params, **options)
        for step in range(5):
            give_gradients(params, seed=step)
            optimizer.step()
        state = optimizer.state_dict()
        optimizer = second(params, **options)
        optimizer.load_state_dict(state)
        for step in range(5, 10):
            give_gradients(params, seed=step)
            optimizer.step()
        return params

    wanted = train(both[0], both[0])
    for first, second in [(both[0], both[1]), (both[1], both[0]), (both[1], both[1])]:
        for p, q in zip(wanted, train(first, second), strict=True):
            torch.testing.assert_close(q, p, rtol=1e-12, atol=1e-12)
