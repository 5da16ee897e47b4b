"""ravine.torch with narrow state: the reference's bits by every way a parameter can be stepped."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import ravine
import ravine.torch
from ravine.engines.storage import noise, policy
from ravine.engines.storage.step import Stored, step, store
from ravine.torch import codes
from watched_steps import Watched

N = 4096 + 300


def gradient(t: int, like: Any) -> Any:
    random = torch.Generator().manual_seed(t)
    g = torch.randn(like.shape, generator=random) * 10.0 ** torch.randint(-9, 3, like.shape, generator=random)
    g.view(-1)[::11] = 0
    return g.to(like.dtype)


def reference(rule: Any, state: str, x: np.ndarray, steps: int, *, rounding: str = "stochastic", seed: int = 0) -> Any:
    hyper = {k: h.default for k, h in rule.hyperparameters.items()}
    kinds = policy.kinds(rule, state, x.size)
    slots: dict[str, Any] = {}
    for name, s in rule.slots.items():
        full = np.full(x.shape, s.start, np.float32)
        slots[name] = s.start if s.is_scalar else full if kinds[name] == "float32" else store(full, kinds[name])
    for t in range(1, steps + 1):
        drawn = noise.seed(seed, t, 0) if rounding == "stochastic" else None
        x, slots = step(rule, x, gradient(t, torch.from_numpy(x)).numpy(), slots, t, hyper, drawn)
    return x, slots


def same_state(state: dict[str, Any], slots: dict[str, Any], names: dict[str, str]) -> None:
    for name, value in slots.items():
        mine = state[names.get(name, name)]
        if isinstance(value, Stored) and value.scale is not None:
            assert str(mine.dtype) == f"torch.{value.kind}"
            np.testing.assert_array_equal(mine.numpy().reshape(-1), value.data.reshape(-1))
            np.testing.assert_array_equal(state[names.get(name, name) + "_scale"].numpy(), value.scale)
        elif isinstance(value, Stored):
            np.testing.assert_array_equal(mine.view(torch.int16).numpy().view(np.uint16), value.data)
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(mine.numpy(), value)


KERNEL = ("adam", "rmsprop_momentum", "adadelta", "nadam", "rmsprop_centered")
WATCHED = ("lion", "momentum_torch")  # without a root, which torch's operations may have an ulp off
WAYS = [*((name, "kernel") for name in KERNEL + WATCHED), *((name, "watched") for name in WATCHED)]


@pytest.mark.parametrize("kind", ["int8", "uint8"])
@pytest.mark.parametrize("seed", [None, 77])
def test_torchs_operations_make_the_references_codes(kind: str, seed: int | None) -> None:
    rng = np.random.default_rng(0)
    values = (rng.standard_normal(5000) * 10.0 ** rng.integers(-44, 38, 5000)).astype(np.float32)
    values[256:512], values[600], values[900], values[1200] = 0, np.inf, np.nan, -np.inf
    wanted = store(values, kind, None if seed is None else noise.slot_seed(seed, 1))
    array, scale = codes.encode(torch.from_numpy(values), kind, seed, 1)
    np.testing.assert_array_equal(array.numpy(), wanted.data)
    np.testing.assert_array_equal(scale.numpy().view(np.int32), wanted.scale.view(np.int32))
    np.testing.assert_array_equal(codes.decode(array, scale).numpy(), wanted.decode())


@pytest.mark.parametrize("state", ["bfloat16", "int8"])
@pytest.mark.parametrize(("name", "way"), WAYS)
def test_every_way_is_the_reference(name: str, state: str, way: str) -> None:
    rule = ravine.rule(name)
    x = torch.randn(N, generator=torch.Generator().manual_seed(1))
    p = torch.nn.Parameter(x.clone())
    optimizer = ravine.torch.from_recipe([p], name, state=state, rounding_seed=5)
    for t in range(1, 6):
        p.grad = gradient(t, p)
        with Watched() if way == "watched" else contextlib.nullcontext():
            optimizer.step()
    wanted, slots = reference(rule, state, x.numpy(), 5, seed=5)
    assert bool(optimizer._plans[0].rest) is (way == "watched")
    np.testing.assert_array_equal(p.detach().numpy(), wanted)
    same_state(optimizer.state[p], slots, {})


@pytest.mark.parametrize("state", ["bfloat16", "int8"])
def test_nearest_on_request_and_named_options(state: str) -> None:
    x = torch.randn(N, generator=torch.Generator().manual_seed(1))
    p = torch.nn.Parameter(x.clone())
    optimizer = ravine.torch.Adam([p], state=state, state_rounding="nearest")
    for t in range(1, 4):
        p.grad = gradient(t, p)
        optimizer.step()
    wanted, slots = reference(ravine.rule("adam"), state, x.numpy(), 3, rounding="nearest")
    np.testing.assert_array_equal(p.detach().numpy(), wanted)
    same_state(optimizer.state[p], slots, {"m": "exp_avg", "v": "exp_avg_sq"})
    assert "rounding_steps" not in optimizer.param_groups[0]


def test_small_parameters_keep_float32_state_and_complex_ones_their_own() -> None:
    small, large = torch.nn.Parameter(torch.randn(4095)), torch.nn.Parameter(torch.randn(64, 64))
    pair = torch.nn.Parameter(torch.randn(5000, dtype=torch.complex64))
    half = torch.nn.Parameter(torch.randn(100).bfloat16())
    params = [small, large, pair, half]
    optimizer = ravine.torch.AdamW(params, state="int8")
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    types = [(optimizer.state[p]["exp_avg"].dtype, optimizer.state[p]["exp_avg_sq"].dtype) for p in params]
    assert types == [(torch.float32,) * 2, (torch.int8, torch.uint8), (torch.complex64,) * 2, (torch.float32,) * 2]
    size = sum(v.nbytes for v in optimizer.state[large].values())
    assert size / large.numel() <= 2.1


def test_other_layouts_have_the_numbers_of_contiguous_ones() -> None:
    x = torch.randn(8, 16, 6, 6, generator=torch.Generator().manual_seed(0))
    results = []
    layouts = (
        lambda a: a,
        lambda a: a.to(memory_format=torch.channels_last),
        lambda a: a.transpose(0, 1).contiguous().transpose(0, 1),
    )
    for layout in layouts:
        p = torch.nn.Parameter(layout(x).clone(memory_format=torch.preserve_format))
        optimizer = ravine.torch.Adam([p], state="int8")
        for t in range(1, 4):
            p.grad = layout(gradient(t, x)) if t % 2 else gradient(t, x)
            optimizer.step()
        results.append((p.detach().clone(), optimizer.state[p]))
    for p, state in results[1:]:
        assert torch.equal(p, results[0][0])
        assert all(torch.equal(state[k], v) for k, v in results[0][1].items())


@pytest.mark.parametrize("is_watched", [False, True])
def test_a_remainder_keeps_what_bfloat16_would_lose(is_watched: bool) -> None:
    """A thousand steps of 1e-5 from 1: nearest rounding stalls at once."""
    ends = {}
    for rounding in ("nearest", "remainder"):
        p = torch.nn.Parameter(torch.ones(300, dtype=torch.bfloat16))
        optimizer = ravine.torch.SGD([p], lr=1e-5, rounding=rounding)
        p.grad = torch.ones_like(p)
        for _ in range(50 if is_watched else 1000):
            with Watched() if is_watched else contextlib.nullcontext():
                optimizer.step()
        ends[rounding] = p.detach().float()
    assert bool((ends["nearest"] == 1).all())
    whole = ravine.torch.float32_parameters(optimizer)[p]
    moved = 50e-5 if is_watched else 1000e-5
    assert float((1 - whole).mean()) == pytest.approx(moved, rel=0.05)
    assert torch.equal(whole.bfloat16(), p.detach())


def test_the_kernel_and_torchs_operations_agree_on_remainders() -> None:
    ends = []
    for is_watched in (False, True):
        p = torch.nn.Parameter(torch.randn(5000, generator=torch.Generator().manual_seed(0)).bfloat16())
        optimizer = ravine.torch.AdamW([p], state="int8", rounding="remainder")
        for t in range(1, 5):
            p.grad = gradient(t, p)
            with Watched() if is_watched else contextlib.nullcontext():
                optimizer.step()
        ends.append((p.detach(), optimizer.state[p]))
    assert torch.equal(ends[0][0], ends[1][0])
    assert all(torch.equal(ends[1][1][k], v) for k, v in ends[0][1].items())


def test_errors_name_the_choice() -> None:
    p = torch.nn.Parameter(torch.randn(3))
    with pytest.raises(ValueError, match=r"int4.*int8"):
        ravine.torch.Adam([p], state="int4")
    with pytest.raises(ValueError, match="state_rounding"):
        ravine.torch.Adam([p], state="int8", state_rounding="up")
    optimizer = ravine.torch.SGD([p], momentum=0.9, state="int8", differentiable=True)
    p.grad = torch.ones(3)
    with pytest.raises(RuntimeError, match="narrow state"):
        optimizer.step()
