"""Parameters that the fused engine can't take as they are: right, planned once, and told of in the debug log."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ravine.torch
from ravine.torch import plan, stand_ins, stepper
from watched_steps import Watched

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
    (own,) = (made.stand_ins for made in plans if made.stand_ins)
    assert own.members == [1, 2]
    assert own._originals == []


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
    assert plans[0].stand_ins is not None
    assert mine._plans[0].stand_ins is None  # type: ignore[attr-defined]


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


def with_gaps(value: Tensor) -> Tensor:
    return torch.stack([value, value], dim=-1)[..., 0]


ODD_PARAMETERS: dict[str, Callable[[int], Tensor]] = {
    "gaps": lambda _: with_gaps(square()),
    "gaps, bfloat16": lambda _: with_gaps(square(torch.bfloat16)),
    "gaps, complex": lambda _: with_gaps(square(torch.complex64)),
    "gaps, transposed": lambda _: with_gaps(square()).T,
    "one with gaps": lambda number: square() if number else with_gaps(square()),
    "of several types": lambda number: square(torch.float64) if number else with_gaps(square()),
}


def same(a: Any, b: Any) -> bool:
    return a.dtype is b.dtype and a.stride() == b.stride() and torch.equal(a, b)


def assert_steps_as_watched(
    kind: str, make: Callable[[], list[Tensor]], change: Callable[[Any, list[Tensor], int], None], **options: Any
) -> Any:
    """Seven steps of two optimizers, one of which torch's operations step; `change` is called before each."""
    torch.manual_seed(0)
    pairs = [(getattr(ravine.torch, kind)(params := make(), lr=0.01, **KINDS[kind], **options), params) for _ in "ab"]
    for step in range(7):
        for optimizer, params in pairs:
            for number, p in enumerate(params):
                p.grad = (square() * (step + number - 2.5)).to(p.dtype)
            change(optimizer, params, step)
            with Watched() if optimizer is pairs[1][0] else contextlib.nullcontext():
                optimizer.step()
    (mine, params), (other, others) = pairs
    for p, q in zip(params, others, strict=True):
        assert same(p, q)
        assert all(same(v, other.state[q][key]) for key, v in mine.state[p].items())
    return mine


def nothing(optimizer: Any, params: list[Tensor], step: int) -> None:
    pass


@pytest.mark.parametrize("kept", [1 << 24, 0])
@pytest.mark.parametrize("layout", ODD_PARAMETERS)
@pytest.mark.parametrize("kind", KINDS)
def test_parameters_with_gaps_are_copied_and_copied_back(
    kind: str, layout: str, kept: int, plans: list[plan.Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the bits of torch's operations, from one plan, whether the copies' memory is kept or made in each step."""
    monkeypatch.setattr(stand_ins, "KEPT", kept)
    mine = assert_steps_as_watched(kind, lambda: [nn.Parameter(ODD_PARAMETERS[layout](k)) for k in range(3)], nothing)
    (own,) = (made for made in plans if made.stand_ins)
    assert mine._plans[0] is own
    assert own.rest == []
    assert own.stand_ins is not None
    assert own.stand_ins._originals == []
    assert bool(own.stand_ins._tensors) is bool(kept)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "gaps": with_gaps,
    "gaps, transposed": lambda value: with_gaps(value).T,
    "transposed": lambda value: value.T.contiguous().T,
}
RANDOM: dict[str, dict[str, Any]] = {
    "parameters": {"rounding": "stochastic"},
    "remainders": {"rounding": "remainder"},
    "state": {"state": "bfloat16"},
    "codes": {"state": "int8"},
    "parameters and codes": {"rounding": "stochastic", "state": "int8"},
}


@pytest.mark.parametrize("moved", ["nothing", "state"])
@pytest.mark.parametrize("gradient", ["alike", "contiguous"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rounded", RANDOM)
def test_what_is_rounded_at_random_draws_the_same_bits_in_every_layout(
    rounded: str, layout: str, gradient: str, moved: str
) -> None:
    """4,096 elements: state of fewer is in float32."""
    torch.manual_seed(0)
    dtype = torch.float32 if rounded in ("state", "codes") else torch.bfloat16
    start, gradients = torch.randn(64, 64).to(dtype), torch.randn(3, 64, 64).to(dtype)
    lay = LAYOUTS[layout] if gradient == "alike" else torch.clone
    pair = []
    for is_watched in (False, True):
        optimizer = ravine.torch.Adam([p := nn.Parameter(LAYOUTS[layout](start))], **RANDOM[rounded])
        for g in gradients:
            p.grad = lay(g)
            with Watched() if is_watched else contextlib.nullcontext():
                optimizer.step()
            if moved == "state":
                mean = optimizer.state[p]["exp_avg"]
                optimizer.state[p]["exp_avg"] = mean.T.contiguous().T if mean.is_contiguous() else mean.contiguous()
        pair.append((p, optimizer.state[p]))
    (p, state), (q, wanted) = pair
    assert same(p, q)
    assert all(same(v, wanted[key]) for key, v in state.items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.uint8])
@pytest.mark.parametrize("start", [0, 254, 255])
@pytest.mark.parametrize("kind", ["RMSprop", "Adam", "NAdam"])
def test_counts_of_other_types_advance_as_torch_has_them(
    kind: str, start: int, dtype: torch.dtype, plans: list[plan.Plan]
) -> None:
    """bfloat16 stays at 256, uint8 begins again at 0."""
    if dtype is torch.uint8 and start and kind != "RMSprop":
        start = 200  # at 0 a bias correction divides by zero

    def change(optimizer: Any, params: list[Tensor], step: int) -> None:
        if step == 1:
            for p in params:
                for key, value in optimizer.state[p].items():
                    if not value.dim() and (key == "step" or dtype.is_floating_point):
                        optimizer.state[p][key] = value.to(dtype)
                optimizer.state[p]["step"].fill_(start)

    mine = assert_steps_as_watched(kind, lambda: [nn.Parameter(square()) for _ in range(2)], change)
    assert mine._plans[0].rest == []
    assert mine._plans[0].stand_ins is not None
    assert len([made for made in plans if made.stand_ins and not made.rest]) == 1


def test_parts_of_one_tensor_that_interlace_are_stepped_in_one_launch(plans: list[plan.Plan]) -> None:
    def make() -> list[Tensor]:
        whole = torch.arange(18.0).view(3, 6)
        return [nn.Parameter(whole[:, k::2].detach()) for k in range(2)]

    mine = assert_steps_as_watched("Adam", make, nothing)
    assert mine._plans[0].rest == []


def test_parts_that_share_an_element_are_stepped_one_after_the_other(plans: list[plan.Plan]) -> None:
    def make() -> list[Tensor]:
        whole = torch.arange(18.0).view(3, 6)
        return [nn.Parameter(whole[:, start : start + 3].detach()) for start in (0, 2)]

    mine = assert_steps_as_watched("SGD", make, nothing)
    assert mine._plans[0].rest == [0, 1]
    assert len([made for made in plans if made.rest]) == 2 + 6  # one of ours, and one in each watched step


def test_a_gradient_that_is_a_view_of_a_parameter_is_read_after_its_step() -> None:
    def change(optimizer: Any, params: list[Tensor], step: int) -> None:
        params[1].grad = params[0].detach()

    mine = assert_steps_as_watched("SGD", lambda: [nn.Parameter(with_gaps(square())) for _ in range(2)], change)
    assert mine._plans[0].rest == [0, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_what_changes_under_a_stand_in_is_followed(kind: str) -> None:
    """Other memory, state in another order of dimensions, gradients of another layout or of None."""

    def change(optimizer: Any, params: list[Tensor], step: int) -> None:
        p, q = params
        if step == 2:
            p.data = with_gaps(p.data.clone())
        if step == 3:
            q.grad = None
            for key, value in optimizer.state[p].items():
                if value.dim():
                    optimizer.state[p][key] = value.T.contiguous().T
        if step == 4 and q.grad is not None:
            q.grad = q.grad.T.contiguous().T
        if step == 5:
            p.data = p.data.clone()

    assert_steps_as_watched(kind, lambda: [nn.Parameter(with_gaps(square())) for _ in range(2)], change)


def test_a_scaled_gradient_is_left_divided() -> None:
    p, q = nn.Parameter(with_gaps(square())), nn.Parameter(square())
    for each in (p, q):
        optimizer = made("Adam", [each])
        for _ in range(3):
            each.grad = square() * 8
            optimizer.grad_scale, optimizer.found_inf = torch.tensor(8.0), torch.tensor(0.0)  # type: ignore[attr-defined]
            optimizer.step()
        assert torch.equal(each.grad, square())
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
