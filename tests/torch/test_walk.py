"""The look at all that a plan stands on, in one call of machine code."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ravine.torch
from ravine.torch import abi, plan, walk
from ravine.torch.plan import Plan

KINDS = {
    "SGD": {},
    "SGD with momentum": {"momentum": 0.9},
    "RMSprop": {},
    "Adam": {},
    "NAdam": {},
    "Adadelta": {},
    "Adagrad": {},
}
SHAPES: tuple[tuple[int, ...], ...] = ((3, 4), (5,), (), (0, 2), (2, 3, 2, 2))


def made(kind: str, params: list[Tensor], module: Any = ravine.torch) -> torch.optim.Optimizer:
    optimizer: torch.optim.Optimizer = getattr(module, kind.split()[0])(params, lr=0.01, **KINDS[kind])
    return optimizer


def parameters(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    numbers = torch.linspace(-1, 1, 24, dtype=torch.float32).to(dtype)
    return [nn.Parameter(numbers[: torch.Size(shape).numel()].clone().view(shape)) for shape in SHAPES]


def give(params: list[Tensor], step: int) -> None:
    """New gradients."""
    for p in params:
        p.grad = torch.full_like(p, 0.1 * (step % 3) - 0.05) * p.detach().abs().add(0.1)


@pytest.fixture
def no_python(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, a step that looks at its plan through Python fails."""

    def refuse(*_: Any) -> bool:
        raise AssertionError("a step looked at its plan through Python")

    return lambda: monkeypatch.setattr(Plan, "is_current", refuse)


@pytest.mark.skipif(sys.implementation.name != "cpython" or sys.platform != "linux", reason="tried on Linux alone")
def test_this_torch_is_known_by_trial() -> None:
    assert abi.abi() is not None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64])
def test_steps_with_new_gradients_need_no_python(kind: str, dtype: torch.dtype, no_python: Callable[[], None]) -> None:
    """And they are the steps that are taken through Python."""
    params = parameters(dtype)
    others = copy.deepcopy(params)
    mine, other = made(kind, params), made(kind, others)
    for step in range(8):
        give(params, step)
        give(others, step)
        other.step()
        other._plans = {}  # type: ignore[attr-defined]
        if step == 2:
            no_python()
        mine.step()
        mine.zero_grad()
        other.zero_grad()
    assert all(torch.equal(p, q) for p, q in zip(params, others, strict=True))
    for p, q in zip(params, others, strict=True):
        for key, value in mine.state[p].items():
            assert torch.equal(value, other.state[q][key])


@pytest.fixture
def optimizer() -> torch.optim.Optimizer:
    """One that has learnt its plan."""
    return learnt(parameters())


def learnt(params: list[Tensor], kind: str = "Adam") -> torch.optim.Optimizer:
    found = made(kind, params)
    for step in range(4):
        give(params, step)
        found.step()
    assert found._plans[0]._walk is not None  # type: ignore[attr-defined]
    return found


def walked(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the next step is taken by the walk."""
    seen = []
    real = walk.Walk.step

    def note(self: walk.Walk, *arguments: Any) -> bool:
        seen.append(real(self, *arguments))
        return seen[-1]

    walk.Walk.step = note  # type: ignore[method-assign]
    try:
        optimizer.step()
    finally:
        walk.Walk.step = real  # type: ignore[method-assign]
    return seen == [True]


def _strided(p: Tensor) -> Tensor:
    return torch.zeros(*p.shape, 2)[..., 0]


CHANGES: dict[str, Callable[[torch.optim.Optimizer, Tensor], None]] = {
    "a gradient of another layout": lambda o, p: setattr(p, "grad", _strided(p)),
    "a negated gradient": lambda o, p: setattr(p, "grad", torch._neg_view(torch.ones(p.shape))),
    "a sparse gradient": lambda o, p: setattr(p, "grad", torch.ones(p.shape).to_sparse()),
    "other data": lambda o, p: setattr(p, "data", p.data.clone()),
    "another state": lambda o, p: o.state.update({p: dict(o.state[p])}),
    "a state replaced": lambda o, p: o.state[p].update(exp_avg=o.state[p]["exp_avg"].clone()),
    "a state moved": lambda o, p: setattr(o.state[p]["exp_avg"], "data", o.state[p]["exp_avg"].clone()),
    "a state shared": lambda o, p: setattr(o, "kept", o.state[p]["exp_avg"].share_memory_()),
    "a count replaced": lambda o, p: o.state[p].update(step=torch.tensor(7.0)),
    "a parameter more": lambda o, p: o.param_groups[0]["params"].append(nn.Parameter(torch.ones(3))),
    "a parameter less": lambda o, p: setattr(o, "kept", o.param_groups[0]["params"].pop()),
    "another order": lambda o, p: o.param_groups[0]["params"].reverse(),
    "parameters in a tuple": lambda o, p: o.param_groups[0].update(params=tuple(o.param_groups[0]["params"])),
    "another rule": lambda o, p: o.param_groups[0].update(maximize=True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_seen(optimizer: torch.optim.Optimizer, change: str) -> None:
    """The step after it is the one that is taken without a walk."""
    if change == "a sparse gradient":
        optimizer = learnt(parameters(), "SGD")
    other = copy.deepcopy(optimizer)
    for each in (optimizer, other):
        params = list(each.param_groups[0]["params"])
        give(params, 1)
        CHANGES[change](each, params[0])
    other._plans = {}  # type: ignore[attr-defined]
    assert not walked(optimizer)
    other.step()
    for p, q in zip(optimizer.param_groups[0]["params"], other.param_groups[0]["params"], strict=True):
        assert torch.equal(p, q)


WALKED: dict[str, Callable[[torch.optim.Optimizer, Tensor], None]] = {
    "nothing": lambda o, p: None,
    "no gradient": lambda o, p: setattr(p, "grad", None),
    "no gradient, another count": lambda o, p: setattr(p, "grad", o.state[p]["step"].add_(9) and None),
    "a count advanced": lambda o, p: setattr(o, "kept", o.state[p]["step"].add_(3)),
    "a rate of zero": lambda o, p: o.param_groups[0].update(lr=0.0),
}


@pytest.mark.parametrize("change", WALKED)
def test_what_machine_code_takes_in(optimizer: torch.optim.Optimizer, change: str) -> None:
    """The next steps have the bits that they have through Python, in parameters and state."""
    other = copy.deepcopy(optimizer)
    for step in range(3):
        for each in (optimizer, other):
            params = list(each.param_groups[0]["params"])
            give(params, step)
            WALKED[change](each, params[step])
        other._plans = {}  # type: ignore[attr-defined]
        assert walked(optimizer)
        other.step()
    for p, q in zip(optimizer.param_groups[0]["params"], other.param_groups[0]["params"], strict=True):
        assert torch.equal(p, q)
        assert all(torch.equal(value, other.state[q][key]) for key, value in optimizer.state[p].items())


def test_what_has_no_finite_coefficient_is_left_to_python() -> None:
    """Which raises before anything is written."""
    params = parameters()
    optimizer = learnt(params, "Adagrad")
    optimizer.param_groups[0]["lr_decay"] = -0.25  # lr / (1 + lr_decay · (t − 1)) at the fifth step
    before = [p.detach().clone() for p in params]
    with pytest.raises(ZeroDivisionError):
        optimizer.step()
    assert all(map(torch.equal, params, before))
    assert all(optimizer.state[p]["step"] == 4 for p in params)


def test_gradients_that_return_to_where_python_knew_them() -> None:
    """A step through Python after one without it does not take addresses for known that have been overwritten."""
    params = parameters()
    optimizer = made("Adam", params)
    known = [torch.full_like(p, 0.5) for p in params]
    for _ in range(3):
        for p, g in zip(params, known, strict=True):
            p.grad = g
        optimizer.step()
    give(params, 1)
    assert walked(optimizer)
    other = copy.deepcopy(optimizer)
    optimizer.param_groups[0]["params"] = tuple(params)  # which no walk takes
    others = other.param_groups[0]["params"]
    for p, q, g in zip(params, others, known, strict=True):
        p.grad, q.grad = g, g.clone()
    optimizer.step()
    other.step()
    assert all(torch.equal(p, q) for p, q in zip(params, others, strict=True))


def test_every_parameter_that_is_written_counts_a_change(optimizer: torch.optim.Optimizer) -> None:
    params = optimizer.param_groups[0]["params"]
    give(params, 1)
    before = [p._version for p in params]
    assert walked(optimizer)
    assert [p._version for p in params] == [v + 1 for v in before]


def test_a_parameter_that_never_had_a_gradient(no_python: Callable[[], None]) -> None:
    params = parameters()
    frozen = nn.Parameter(torch.ones(2))
    optimizer = made("Adam", [*params[:2], frozen, *params[2:]])
    for step in range(6):
        give(params, step)
        if step == 3:
            no_python()
        optimizer.step()
    assert bool((frozen == 1).all())
    assert frozen._version == 0
    assert frozen not in optimizer.state


def test_several_groups_with_a_rule_each(no_python: Callable[[], None]) -> None:
    params = parameters()
    groups = [{"params": params[:2], "lr": 0.1}, {"params": params[2:], "amsgrad": True}]
    others = copy.deepcopy(params)
    mine = ravine.torch.Adam(groups, lr=0.01)
    same = [{"params": others[:2], "lr": 0.1}, {"params": others[2:], "amsgrad": True}]
    torchs = torch.optim.Adam(same, lr=0.01)
    for step in range(8):
        give(params, step)
        give(others, step)
        if step == 3:
            no_python()
        mine.step()
        torchs.step()
    for p, q in zip(params, others, strict=True):
        torch.testing.assert_close(p, q)


def test_a_plan_that_always_moves_is_not_learnt_for_ever(optimizer: torch.optim.Optimizer) -> None:
    """State in a dictionary that is another one in every step."""
    learnt_before = optimizer._plans[0]._walks_to_try  # type: ignore[attr-defined]
    for step in range(10):
        params = optimizer.param_groups[0]["params"]
        give(params, step)
        for p in params:
            optimizer.state[p] = dict(optimizer.state[p])
        optimizer.step()
    assert learnt_before < plan.WALKS_TO_TRY
    assert optimizer._plans[0]._walks_to_try == 0  # type: ignore[attr-defined]


def test_without_a_known_torch_everything_goes_through_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "abi", lambda: None)
    params, others = parameters(), parameters()
    mine, other = made("Adam", params), made("Adam", others, torch.optim)
    for step in range(6):
        give(params, step)
        give(others, step)
        mine.step()
        other.step()
    assert mine._plans[0]._walk is None  # type: ignore[attr-defined]
    for p, q in zip(params, others, strict=True):
        torch.testing.assert_close(p, q)


@pytest.mark.parametrize("wrong", ["undefined", "offsets"])
def test_a_torch_that_answers_otherwise_is_not_walked(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    """A fact that can't be found, or functions that are not what their names say."""
    found = abi._find()
    if wrong == "undefined":
        monkeypatch.setattr(abi, "_find", lambda: replace(found, undefined=1))
    else:
        monkeypatch.setattr(abi, "_offset", lambda *_: (_ for _ in ()).throw(ValueError("not found")))
    abi.abi.cache_clear()
    try:
        assert abi.abi() is None
    finally:
        abi.abi.cache_clear()
