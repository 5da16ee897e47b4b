"""Adafactor beyond torch's database: kinds of parameters in one group, ε by type, and what changes between steps."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

import ravine
import ravine.torch

SHAPES = [(4, 3), (5,), (), (2, 3, 4), (3, 4), (2, 2, 3, 3)]


def parameters(dtype: torch.dtype = torch.float32, shapes: Any = SHAPES) -> list[Any]:
    random = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(s, generator=random, dtype=torch.float64).to(dtype)) for s in shapes]


def give(step: int, *lists: list[Any], only: slice = slice(None)) -> None:
    random = torch.Generator().manual_seed(step)
    taken = range(len(lists[0]))[only]
    for number, row in enumerate(zip(*lists, strict=True)):
        g = torch.randn(row[0].shape, generator=random, dtype=torch.float64)
        for p in row:
            p.grad = g.to(p.dtype).clone() if number in taken else None


def agree(a: Any, xs: list[Any], b: Any, ys: list[Any], rtol: float = 2e-6) -> None:
    for x, y in zip(xs, ys, strict=True):
        torch.testing.assert_close(y, x, rtol=rtol, atol=1e-7)
        assert a.state[x].keys() == b.state[y].keys()
        for key, value in a.state[x].items():
            torch.testing.assert_close(b.state[y][key], value, rtol=rtol, atol=1e-12)


def test_a_group_of_all_kinds_some_of_which_have_no_gradient_now_and_then() -> None:
    xs, ys = parameters(), parameters()
    options = {"lr": 0.1, "weight_decay": 0.1, "eps": (1e-4, 0.01)}
    theirs, ours = torch.optim.Adafactor(xs, **options), ravine.torch.Adafactor(ys, **options)
    for step, only in enumerate((slice(0, 2), slice(None), slice(0, 1), slice(1, 2), slice(3, None), slice(None))):
        give(step, xs, ys, only=only)
        theirs.step()
        ours.step()
    agree(theirs, xs, ours, ys)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_epsilon_of_none_is_that_of_the_type(dtype: torch.dtype) -> None:
    """Gradients so small that ε sets the step's length."""
    xs, ys = parameters(dtype), parameters(dtype)
    theirs, ours = torch.optim.Adafactor(xs), ravine.torch.Adafactor(ys)
    before = [x.detach().clone() for x in xs]
    for step in range(3):
        give(step, xs, ys)
        for p in (*xs, *ys):
            p.grad.mul_(torch.finfo(dtype).eps * 1e-2)
        theirs.step()
        ours.step()
    agree(theirs, xs, ours, ys)
    lengths = [(x - old).abs().max().item() for x, old in zip(xs, before, strict=True)]
    assert all(0 < length < 1e-3 for length in lengths), lengths


@pytest.mark.parametrize("kept", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["copy", "pickle"])
def test_a_copy_goes_on_alone(kept: Any) -> None:
    xs = parameters()
    optimizer = ravine.torch.Adafactor(xs, lr=0.1)
    give(0, xs)
    optimizer.step()
    other = kept(optimizer)
    ys = other.param_groups[0]["params"]
    give(1, xs, ys)
    optimizer.step()
    other.step()
    agree(optimizer, xs, other, ys, rtol=0.0)


def test_the_state_is_torchs_and_goes_both_ways() -> None:
    xs, ys = parameters(), parameters()
    theirs, ours = torch.optim.Adafactor(xs, lr=0.1), ravine.torch.Adafactor(ys, lr=0.1)
    for step in range(4):
        give(step, xs, ys)
        theirs.step()
        ours.step()
        saved = theirs.state_dict(), ours.state_dict()
        theirs.load_state_dict(copy.deepcopy(saved[1]))
        ours.load_state_dict(copy.deepcopy(saved[0]))
    agree(theirs, xs, ours, ys)
    assert ours.state[ys[0]]["row_var"].shape == (4, 1)
    assert ours.state[ys[0]]["col_var"].shape == (1, 3)
    assert ours.state[ys[1]]["variance"].shape == (5,)


def test_a_matrix_follows_the_rule() -> None:
    p, recipe = parameters(shapes=[(4, 3)])[0], ravine.recipe("adafactor_torch", lr=0.1)
    optimizer = ravine.torch.Adafactor([p], lr=0.1)
    x = p.detach().numpy().copy()
    state = recipe.init(x)
    for step in range(3):
        give(step, [p])
        x, state = recipe.update(p.grad.numpy(), state, x)
        optimizer.step()
    assert p.detach().numpy().tobytes() == x.tobytes()


def test_a_scaled_loss_and_a_guard() -> None:
    xs, ys = parameters(), parameters()
    theirs, ours = torch.optim.Adafactor(xs, lr=0.1), ravine.torch.Adafactor(ys, lr=0.1, on_nonfinite="skip")
    for _ in range(3):
        scalers = [torch.amp.GradScaler("cpu", init_scale=8.0) for _ in range(2)]
        losses = [sum((p**2).sum() for p in params) for params in (xs, ys)]
        for scaler, loss, optimizer in zip(scalers, losses, (theirs, ours), strict=True):
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
    agree(theirs, xs, ours, ys)
    ys[3].grad[:] = torch.nan
    before = [y.detach().clone() for y in ys]
    ours.step()
    assert ours.skipped_steps == 1
    assert all(torch.equal(y, old) for y, old in zip(ys, before, strict=True))


def test_narrow_state_is_for_what_rules_step() -> None:
    def stepped(shapes: Any) -> Tensor:
        params = parameters(shapes=shapes)
        optimizer = ravine.torch.Adafactor(params, lr=0.1, state="bfloat16")
        give(0, params)
        optimizer.step()
        return params[0].detach()

    assert stepped([(4, 3), (5,)]).isfinite().all()
    with pytest.raises(RuntimeError, match="knows no narrow state"):
        stepped([(2, 3, 4)])
