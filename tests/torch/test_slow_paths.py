"""Parameters that the fused engine can't take as they are: right, planned once, and told of in the debug log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ravine.torch
from ravine.torch import plan, stepper

KINDS: dict[str, dict[str, Any]] = {"SGD": {"momentum": 0.9, "dampening": 0.5}, "RMSprop": {}, "Adam": {}, "NAdam": {}}
GRADIENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda g: g.T.contiguous().T,
    "strided": lambda g: torch.stack([g, g], dim=-1)[..., 0],
    "expanded": lambda g: g[:1, :1].expand(3, 3),
    "negated": lambda g: torch._neg_view(g),
}


def made(kind: str, params: list[Tensor]) -> torch.optim.Optimizer:
    found: torch.optim.Optimizer = getattr(ravine.torch, kind)(params, lr=0.01, **KINDS[kind])
    return found


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[plan.Plan]:
    """All that are made."""
    found: list[plan.Plan] = []

    class Noted(plan.Plan):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            found.append(self)

    monkeypatch.setattr(stepper, "Plan", Noted)
    return found


def square(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.linspace(-1, 1, 9, dtype=torch.float32).to(dtype).view(3, 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", GRADIENTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
def test_gradients_of_another_layout_are_stepped_in_one_launch(
    kind: str, layout: str, dtype: torch.dtype, plans: list[plan.Plan]
) -> None:
    """By the bits of the same gradients laid out as their parameters, from one plan."""
    params = [nn.Parameter(square(dtype)) for _ in range(3)]
    others = [nn.Parameter(square(dtype)) for _ in range(3)]
    mine, other = made(kind, params), made(kind, others)
    for step in range(5):
        for number, (p, q) in enumerate(zip(params, others, strict=True)):
            g = GRADIENTS[layout](square(dtype) * (step + number - 1.5))
            p.grad = g if number else g.resolve_conj().resolve_neg().contiguous()  # the first is as its parameter
            q.grad = g.resolve_conj().resolve_neg().contiguous()
        mine.step()
        other.step()
    assert all(torch.equal(p, q) for p, q in zip(params, others, strict=True))
    assert len(plans) == 2
    own = [made for made in plans if made.copied]
    assert own[0].rest == []
    assert own[0]._copies == []


def test_a_layout_that_changes_is_followed(plans: list[plan.Plan]) -> None:
    params, others = [nn.Parameter(square())], [nn.Parameter(square())]
    mine, other = made("Adam", params), made("Adam", others)
    for step, layout in enumerate(["transposed", "strided", None, "transposed", None, None, None]):
        g = square() * (step - 2.5)
        params[0].grad = g if layout is None else GRADIENTS[layout](g)
        others[0].grad = g.clone()
        mine.step()
        other.step()
        assert torch.equal(params[0], others[0])
    assert plans[0].copied == [0]
    assert mine._plans[0].copied == []  # type: ignore[attr-defined]


def test_state_taken_from_an_odd_parameter_is_made_anew() -> None:
    p = nn.Parameter(torch.stack([square(), square()], dim=-1)[..., 0])
    q = nn.Parameter(square())
    mine, other = made("RMSprop", [p]), made("RMSprop", [q])
    for step in range(4):
        p.grad, q.grad = square() * step, square() * step
        if step == 2:
            del mine.state[p]["square_avg"], other.state[q]["square_avg"]
        mine.step()
        other.step()
    assert torch.equal(p, q)


@pytest.mark.parametrize(
    ("gradient", "reason"), [("transposed", "laid out with strides (1, 3)"), ("gaps", "gaps or overlaps")]
)
def test_the_debug_log_says_once_why(gradient: str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    plan.tell.cache_clear()
    value = torch.stack([square(), square()], dim=-1)[..., 0] if gradient == "gaps" else square()
    optimizer = made("Adam", [p := nn.Parameter(value)])
    with caplog.at_level(logging.DEBUG, logger="ravine"):
        for _ in range(3):
            p.grad = square().T if gradient == "transposed" else square()
            optimizer.step()
    (message,) = caplog.messages
    assert reason in message
    assert "(3, 3)" in message
