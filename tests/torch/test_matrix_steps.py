"""Rules that read more than one element at a time in torch: stepped by the fused engine, to the bits of torch's
operations one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

import matrix_rules
import ravine
from ravine.torch import plan, products

SHAPES = [(4, 3), (5,), (), (1, 7), (7, 1), (0, 3), (4, 2, 3, 3), (33, 70)]
RULES = [*matrix_rules.REDUCING, ravine.rule("lamb"), ravine.rule("adafactor"), ravine.rule("novograd")]


@contextmanager
def one_by_one() -> Iterator[None]:
    """No parameter is taken by the fused engine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "storage", lambda *_: "it is asked for")
        yield


def made(shapes: list[tuple[int, ...]], dtype: torch.dtype, change: Callable[[Tensor], Tensor]) -> list[Any]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(change(torch.randn(shape).to(dtype))) for shape in shapes]


def give_gradients(params: list[Any], step: int, change: Callable[[Tensor], Tensor]) -> None:
    generator = torch.Generator().manual_seed(step)
    for p in params:
        p.grad = change(torch.randn(p.shape, generator=generator).to(p.dtype))


def plain(tensor: Tensor) -> Tensor:
    return tensor


def same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and bool(torch.all((a == b) | ((a != a) & (b != b))))


def hold_to_operations(
    rule: Any,
    shapes: list[tuple[int, ...]] = SHAPES,
    dtype: torch.dtype = torch.float32,
    parameters: Callable[[Tensor], Tensor] = plain,
    gradients: Callable[[int], Callable[[Tensor], Tensor]] = lambda _: plain,
    **options: Any,
) -> None:
    """Three steps by both ways give the same bits, and the fused way leaves nothing to torch's operations."""
    ours, theirs = (made(shapes, dtype, parameters) for _ in range(2))
    fused, loop = (ravine.torch.from_recipe(params, rule, **options) for params in (ours, theirs))
    for step in range(3):
        give_gradients(ours, step, gradients(step))
        give_gradients(theirs, step, gradients(step))
        fused.step()
        with one_by_one():
            loop.step()
        assert not fused._plans[0].rest
        assert len(loop._plans[0].rest) == len(shapes)
        for a, b in zip(ours, theirs, strict=True):
            assert same(a.detach(), b.detach()), (a.shape, step)
            for key, value in loop.state[b].items():
                assert same(fused.state[a][key], value), (a.shape, step, key)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_the_bits_of_torchs_operations(rule: Any) -> None:
    hold_to_operations(rule)


@pytest.mark.parametrize("name", ["lamb", "adafactor"])
def test_narrow_storage(name: str) -> None:
    hold_to_operations(name, [(4, 3), (5,)], torch.bfloat16)
    hold_to_operations(name, [(90, 70)], state_dtype=torch.bfloat16, state_rounding="nearest")
    hold_to_operations(name, [(90, 70)], state="bfloat16")  # rounded at random, as all below
    hold_to_operations(name, [(90, 70), (33,)], torch.bfloat16, rounding="stochastic", state="bfloat16")


def test_codes_and_remainders_are_stepped_by_operations() -> None:
    for options in ({"state": "int8"}, {"rounding": "remainder"}):
        params = made([(90, 70)], torch.bfloat16, plain)
        give_gradients(params, 0, plain)
        optimizer = ravine.torch.from_recipe(params, "lamb", **options)
        optimizer.step()
        assert optimizer._plans[0].rest == [0]


def test_other_layouts_are_copied() -> None:
    hold_to_operations("adafactor", [(6, 4)], parameters=lambda p: p.t().contiguous().t())
    hold_to_operations("lamb", [(4, 3, 2, 2)], parameters=lambda p: p.to(memory_format=torch.channels_last))
    hold_to_operations("lamb", [(6, 4)], gradients=lambda _: lambda g: g.t().contiguous().t())
    hold_to_operations("lamb", [(6, 4)], gradients=lambda _: lambda g: g[:1].expand(6, 4))


def test_nan_goes_as_far_as_the_equation_reads() -> None:
    def broken(g: Tensor) -> Tensor:
        g.view(-1)[:1] = torch.nan
        return g

    shapes = [(4, 3), (5,)]
    hold_to_operations("lamb", shapes, gradients=lambda step: broken if step == 1 else plain)
    hold_to_operations(matrix_rules.REDUCING[3], shapes, gradients=lambda step: broken if step == 1 else plain)


def test_a_parameter_without_a_gradient_waits() -> None:
    params = made([(4, 3), (5,), (3, 4)], torch.float32, plain)
    optimizer = ravine.torch.from_recipe(params, "lamb")
    give_gradients(params, 0, plain)
    optimizer.step()
    alone = [p.detach().clone() for p in params]
    params[1].grad = None
    optimizer.step()
    assert torch.equal(params[1], alone[1])
    assert not torch.equal(params[0], alone[0])
    assert [float(optimizer.state[p]["step"]) for p in params] == [2.0, 1.0, 2.0]
    assert not optimizer._plans[0].rest


def test_a_gradient_scaler_divides_first() -> None:
    ours, theirs = (made([(4, 3), (5,)], torch.float32, plain) for _ in range(2))
    scaled, whole = (ravine.torch.from_recipe(params, "lamb") for params in (ours, theirs))
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for step in range(2):
        give_gradients(ours, step, lambda g: g * scaler.get_scale())
        give_gradients(theirs, step, plain)
        scaler.scale(torch.zeros(()))
        scaler.step(scaled)
        scaler.update()
        whole.step()
        for a, b in zip(ours, theirs, strict=True):
            assert torch.equal(a, b)


def test_state_replaced_by_hand_is_seen() -> None:
    params = made([(4, 3)], torch.float32, plain)
    optimizer = ravine.torch.from_recipe(params, "adafactor")
    for step in range(3):
        give_gradients(params, step, plain)
        optimizer.step()
    optimizer.state[params[0]]["row"] = torch.full((4, 1), torch.nan)
    optimizer.step()
    assert params[0].isnan().all()


def test_products_in_bfloat16_on_request() -> None:
    """Some 3 % of a step; a little more where torch's operations round everything that stands between products."""
    steps = {}
    for kind in ("float32", "bfloat16"):
        for way in ("fused", "loop"):
            params = made([(24, 60), (60, 24), (24, 60)], torch.float32, plain)
            before = [p.detach().clone() for p in params]
            give_gradients(params, 0, plain)
            optimizer = ravine.torch.from_recipe(params, "muon", lr=1.0, products=kind)
            with one_by_one() if way == "loop" else nullcontext():
                optimizer.step()
            assert len(optimizer._plans[0].rest) == 3 * (way == "loop")
            steps[kind, way] = torch.cat([(p.detach() - b).flatten() for p, b in zip(params, before, strict=True)])
    exact = steps["float32", "loop"]
    errors = {key: float((step - exact).norm() / exact.norm()) for key, step in steps.items()}
    assert errors["float32", "fused"] < 4e-6
    assert 1e-3 < errors["bfloat16", "fused"] < 0.03
    assert 1e-3 < errors["bfloat16", "loop"] < 0.05


def test_torchs_muon_is_met_in_bfloat16() -> None:
    ours, theirs = (made([(24, 60), (30, 30)], torch.float32, plain) for _ in range(2))
    before = [p.detach().clone() for p in ours]
    for params, optimizer in (
        (ours, ravine.torch.Muon(ours, lr=1.0, weight_decay=0.0, products="bfloat16")),
        (theirs, torch.optim.Muon(theirs, lr=1.0, weight_decay=0.0)),
    ):
        give_gradients(params, 0, plain)
        optimizer.step()
    for a, b, old in zip(ours, theirs, before, strict=True):
        assert float((a - b).detach().norm() / (b - old).detach().norm()) < 0.02


def test_a_step_length_that_no_rule_follows_is_torchs_own_step() -> None:
    """torch 2.14 brought "spectral_unclamped"; an older one takes it for 1 where it comes after the making."""
    ours, theirs = (made([(24, 60), (30, 12)], torch.float32, plain) for _ in range(2))
    optimizers = (ravine.torch.Muon(ours, lr=1.0, products="bfloat16"), torch.optim.Muon(theirs, lr=1.0))
    for seed, length in enumerate([None, "spectral_unclamped", "spectral_unclamped", None, "match_rms_adamw"]):
        before = [p.detach().clone() for p in theirs]
        for params, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.param_groups[0]["adjust_lr_fn"] = length
            give_gradients(params, seed, plain)
            optimizer.step()
        for a, b, old in zip(ours, theirs, before, strict=True):
            if length == "spectral_unclamped":
                assert torch.equal(a, b)
            assert float((a - b).detach().norm() / (b - old).detach().norm()) < 0.02
            a.data.copy_(b)
            optimizers[0].state[a]["momentum_buffer"].copy_(optimizers[1].state[b]["momentum_buffer"])


def test_a_type_of_products_that_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match="products"):
        ravine.torch.from_recipe(made([(2, 2)], torch.float32, plain), "muon", products="float16")


def test_memory_between_products_is_kept() -> None:
    """Where each step asked for it anew, glibc's allocator grew by 16 MB a step."""
    first, second = products._Torch(), products._Torch()
    stack = torch.ones(2, 5, 7)
    kept = first.square(stack, 0)
    assert kept.shape == (2, 5, 5)
    assert first.square(torch.ones(1, 3, 4), 0).data_ptr() == kept.data_ptr()
    assert len({a.data_ptr() for a in (kept, first.square(stack, 1), second.square(stack, 0))}) == 3
    assert first.square(stack.double(), 0).dtype == torch.float64
