"""Groups in which other parameters have a gradient in every step: planned once, and each at its own step count."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ravine
import ravine.torch
from family import ELEMENTWISE
from ravine.torch import likeness, stepper, walk
from ravine.torch.plan import Plan
from ravine.transforms import stored_at_look_ahead

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda a: a,
    "with gaps": lambda a: torch.stack([a, a], -1)[..., 0],
    "sharing memory": lambda a: a,
}


@pytest.fixture(params=["machine code", "torch", "python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """By machine code, by torch's own check, and where a version of torch has none."""
    if request.param != "machine code":
        monkeypatch.setattr(walk, "abi", lambda: None)
    if request.param == "python":
        monkeypatch.setattr(likeness, "by_torch", lambda tensors: None)
    name: str = request.param
    return name


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """Those that are made from now on."""
    made: list[Plan] = []

    class Noted(Plan):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(stepper, "Plan", Noted)
    return made


def parameters(layout: str, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Some of which are odd in the way that the layout says."""
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(3, 2, generator=generator, dtype=dtype) for _ in range(8)]
    if layout == "sharing memory":
        both = torch.randn(4, 2, generator=generator, dtype=dtype)
        values[:2] = [both[:3], both[1:]]  # one that is stepped after the other
    return [nn.Parameter(LAYOUTS[layout](v) if number < 4 else v) for number, v in enumerate(values)]


def give(params: list[Tensor], step: int) -> None:
    """New gradients for about half of them; the fourth has its first one late, the last none."""
    chance = random.Random(step)
    generator = torch.Generator().manual_seed(step)
    for number, p in enumerate(params):
        g = torch.randn(p.shape, generator=generator, dtype=p.dtype)
        has = chance.random() < 0.5 and (number != 3 or step > 10) and number != len(params) - 1
        p.grad = g if has else None


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("name", "options"), [("SGD", {}), ("SGD", {"momentum": 0.9}), ("RMSprop", {}), ("NAdam", {})])
def test_another_set_of_gradients_needs_no_plan(
    name: str, options: dict[str, Any], layout: str, way: str, plans: list[Plan]
) -> None:
    """Once each has had one."""
    params = parameters(layout)
    optimizer = getattr(ravine.torch, name)(params, **options)
    for step in range(30):
        give(params, step)
        if step == 20:
            plans.clear()
        optimizer.step()
    assert plans == []


def test_small_groups_need_no_python_either(monkeypatch: pytest.MonkeyPatch) -> None:
    params = parameters("plain")
    optimizer = ravine.torch.Adam(params)
    for step in range(30):
        give(params, step)
        if step == 20:
            monkeypatch.delattr(Plan, "is_current")
        optimizer.step()


@pytest.mark.parametrize("layout", ["plain", "with gaps"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_each_is_stepped_as_the_reference_does_it(name: str, layout: str) -> None:
    """Parameters and state, bit for bit, by machine code and not, with a state that is lost in between."""
    recipe = ravine.recipe(name)
    params = parameters(layout)
    optimizer = ravine.torch.from_recipe(params, recipe)
    stored = ravine.recipe(stored_at_look_ahead(recipe.rule))  # torch's gradients are taken at what is stored
    pure = [(x, stored.init(x)) for x in (p.detach().numpy().copy() for p in params)]
    for step in range(20):
        give(params, step)
        if step == 12:
            optimizer.state.pop(params[5], None)
            pure[5] = (pure[5][0], stored.init(pure[5][0]))
        optimizer.step()
        for number, p in enumerate(params):
            if p.grad is not None:
                x, state = pure[number]
                pure[number] = stored.update(p.grad.numpy(), state, x)
    for p, (x, state) in zip(params, pure, strict=True):
        assert torch.equal(p.detach(), torch.from_numpy(x))
        own = optimizer.state.get(p, {})
        for key in recipe.rule.slots if own else ():
            assert torch.equal(torch.as_tensor(own[key]), torch.as_tensor(state.slots[key], dtype=own[key].dtype))


@pytest.mark.parametrize("guards", [{}, {"rounding": "stochastic"}, {"on_nonfinite": "skip"}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_bits_are_those_of_plans_made_anew(
    layout: str, dtype: torch.dtype, guards: dict[str, Any], way: str
) -> None:
    """With stochastic rounding and scaled gradients too."""
    results = []
    for is_new in (False, True):
        params = parameters(layout, dtype)
        optimizer = ravine.torch.RMSprop(params, momentum=0.9, **guards)
        for step in range(20):
            give(params, step)
            if step % 5 == 4:
                optimizer.grad_scale = torch.tensor(4.0)  # as torch.amp.GradScaler sets it
            optimizer.step()
            vars(optimizer).pop("grad_scale", None)
            if is_new:
                optimizer._plans = {}
        versions = [p._version for p in params]
        results.append((params, [dict(optimizer.state.get(p, {})) for p in params], versions))
    (a, in_a, _), (b, in_b, _) = results
    assert results[0][2] == results[1][2]
    assert all(map(torch.equal, a, b))
    for own, other in zip(in_a, in_b, strict=True):
        assert own.keys() == other.keys()
        assert all(torch.equal(own[key], other[key]) for key in own)


@pytest.mark.parametrize("change", ["its layout", "its state", "its memory"])
def test_what_changed_while_there_was_no_gradient_is_seen(change: str, way: str) -> None:
    results = []
    for module in (ravine.torch, torch.optim):
        params = parameters("plain")
        optimizer = module.Adam(params, lr=0.1)
        for step in range(20):
            give(params, step)
            if step == 15:
                p = params[0]
                assert p.grad is None
                if change == "its layout":
                    p.data = p.data.t().contiguous().t()
                elif change == "its memory":
                    p.data = p.data.clone()
                else:
                    optimizer.state[p]["exp_avg"] = torch.ones(3, 2)
            optimizer.step()
        results.append(params)
    torch.testing.assert_close(*results)
