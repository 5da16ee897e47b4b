"""Narrow and mixed storage, odd sizes, odd addresses: the reference's bits, rounded at each store."""

from __future__ import annotations

import contextlib
import itertools

import numpy as np
import pytest
import torch

import ravine
import ravine.torch
from family import ELEMENTWISE
from ravine.engines import reference
from ravine.engines.fused import arrays, frame, jit
from ravine.engines.fused.kernel import SMALLEST_CHUNK as CHUNK
from ravine.engines.fused.kernel import Table, hyper_values
from ravine.engines.fused.storage import Storage
from ravine.rule import Rule
from watched_steps import Watched

SIZES = [0, 1, 2, 15, 17, 63, 64, 65, CHUNK - 1, CHUNK, CHUNK + 1, (1 << 16) - 1, 1 << 16, (1 << 16) + 1]


def default(rule: Rule) -> dict[str, float]:
    return {n: h.default for n, h in rule.hyperparameters.items()}


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal, NaN where the other is."""
    return bool(torch.all((a == b) | (a.isnan() & b.isnan())))


def by_reference(rule, x, g, slots, t, hyper):
    """The reference in float32 on torch tensors of any type: widened, stepped, rounded by torch."""
    wide = {n: s if rule.slots[n].is_scalar else s.float().numpy() for n, s in slots.items()}
    new_x, new = reference.step(rule, x.float().numpy(), g.float().numpy(), wide, t, hyper)
    rounded = {
        n: v if rule.slots[n].is_scalar else torch.from_numpy(np.array(v)).to(slots[n].dtype) for n, v in new.items()
    }
    return torch.from_numpy(new_x).to(x.dtype), rounded


MIXTURES = [
    (torch.bfloat16, torch.bfloat16, torch.bfloat16),
    (torch.float16, torch.float16, torch.float16),
    (torch.float32, torch.float32, torch.bfloat16),
    (torch.bfloat16, torch.float32, torch.float32),
]
NARROW = [(name, (torch.bfloat16, torch.float16, torch.bfloat16)) for name in ELEMENTWISE]
NARROW += [(name, types) for types in MIXTURES for name in ("adam", "momentum_torch", "lion", "nadam")]


@pytest.mark.parametrize(("name", "types"), NARROW, ids=str)
def test_narrow_storage(name: str, types: tuple[torch.dtype, ...]) -> None:
    of_x, of_g, of_slots = types
    rule = ravine.rule(name)
    hyper = default(rule)
    torch.manual_seed(0)
    x = torch.randn(131).to(of_x)
    slots = {n: s.start if s.is_scalar else torch.full((131,), s.start, dtype=of_slots) for n, s in rule.slots.items()}
    names = [n for n, s in rule.slots.items() if not s.is_scalar]
    short = [str(d).removeprefix("torch.") for d in (of_x, of_g, of_slots)]
    storage = Storage(short[0], short[1], (short[2],) * len(names))
    for t in range(1, 21):
        g = (torch.randn(131) * 10.0 ** torch.randint(-8, 5, (131,))).to(of_g)
        wanted_x, wanted = by_reference(rule, x, g, slots, t, hyper)
        table = Table(rule, storage, [131], [[a.data_ptr() for a in (x, g, *(slots[n] for n in names))]])
        kept = table.step_at(float(t), [v for n, v in slots.items() if n not in names], hyper_values(rule, hyper), 1)
        slots.update(zip([n for n in slots if n not in names], kept, strict=True))
        assert same(x, wanted_x), (t, x, wanted_x)
        for n, value in wanted.items():
            assert slots[n] == value if n not in names else same(slots[n], value), (t, n, slots[n], value)


@pytest.mark.parametrize("of_slots", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("is_eager", [False, True])
def test_narrow_state_of_float64_parameters(of_slots: torch.dtype, is_eager: bool) -> None:
    """Computed in float64. From two-byte state the kernel takes none: no processor rounds to those from float64."""
    recipe = ravine.recipe("adam")
    torch.manual_seed(0)
    p = torch.randn(31, dtype=torch.float64).requires_grad_()
    x, state = p.detach().numpy().copy(), recipe.init(p.detach().numpy())
    optimizer = ravine.torch.from_recipe([p], recipe, state_dtype=of_slots, state_rounding="nearest")
    for _ in range(5):
        p.grad = torch.randn(31, dtype=torch.float64)
        with Watched() if is_eager else contextlib.nullcontext():
            optimizer.step()
        x, state = recipe.update(p.grad.numpy(), state, x)
        for n, v in state.slots.items():
            v[:] = torch.from_numpy(v).to(of_slots).double().numpy()
            assert torch.equal(optimizer.state[p][n].double(), torch.from_numpy(v))
            assert optimizer.state[p][n].dtype is of_slots
        assert torch.equal(p, torch.from_numpy(x))
    assert bool(optimizer._plans[0].rest) is (is_eager or of_slots is not torch.float32)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_scaled_gradient_is_divided_in_the_kernel(name: str, dtype: str) -> None:
    rule = ravine.rule(name)
    hyper = default(rule)
    rng = np.random.default_rng(0)
    scale = np.asarray(1024.7).astype("float32").astype(dtype)
    scaled = rng.standard_normal((2, 70)).astype(dtype) * scale
    g, x = scaled.copy(), rng.standard_normal((2, 70)).astype(dtype)
    starts = {n: s.start for n, s in rule.slots.items() if s.is_scalar}
    slots = {n: np.full((2, 70), s.start, dtype) for n, s in rule.slots.items() if not s.is_scalar}
    counts = [(1.0, tuple(starts.values())), (4.0, tuple(starts.values()))]
    wanted = []
    for i, (t, _) in enumerate(counts):
        own = starts | {n: a[i].copy() for n, a in slots.items()}
        wanted.append(reference.step(rule, x[i].copy(), scaled[i] / scale, {n: own[n] for n in rule.slots}, t, hyper))
    rows = [[a.ctypes.data for a in (x[i], g[i], *(s[i] for s in slots.values()))] for i in range(2)]
    table = Table(rule, Storage(dtype, dtype, (dtype,) * len(slots), is_scaled=True), [70, 70], rows)
    table.set_scale(float(scale))
    table.step_rows(counts, [0, 1], hyper_values(rule, hyper), 1)
    np.testing.assert_array_equal(g, scaled / scale)
    for i, (new_x, new) in enumerate(wanted):
        np.testing.assert_array_equal(x[i], new_x)
        for n, a in slots.items():
            np.testing.assert_array_equal(a[i], new[n])


def test_a_narrow_scaled_gradient_is_used_before_it_is_rounded() -> None:
    """As torch's fused kernels do it."""
    x, scaled = torch.zeros(1000), torch.randn(1000).mul(333).bfloat16()
    g = scaled.clone()
    storage = Storage("float32", "bfloat16", (), is_scaled=True)
    table = Table(ravine.rule("gd"), storage, [1000], [[x.data_ptr(), g.data_ptr()]])
    table.set_scale(3.0)
    table.step_at(1.0, (), (1.0,), 1)
    assert torch.equal(x, -(scaled.float() / 3))
    assert torch.equal(g, (scaled.float() / 3).bfloat16())


def test_rounding_to_bfloat16_is_torchs_for_every_kind_of_number() -> None:
    """All 65,536 upper halves with every decisive lower half, through a rule that moves the parameter to −g."""
    upper = np.arange(1 << 16, dtype=np.uint32) << 16
    lower = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    g = torch.from_numpy((upper[:, None] | lower).reshape(-1).view(np.float32).copy())
    x = torch.zeros(g.numel(), dtype=torch.bfloat16)
    table = Table(ravine.rule("gd"), Storage("bfloat16", "float32", ()), [g.numel()], [[x.data_ptr(), g.data_ptr()]])
    table.step_at(1.0, (), (-1.0,), 1)
    wanted = (0.0 + g).to(torch.bfloat16)
    assert torch.equal(x.isnan(), wanted.isnan())
    assert torch.equal(x.nan_to_num(0.0, 1.0, -1.0), wanted.nan_to_num(0.0, 1.0, -1.0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("offset", [0, 1, 3])
def test_odd_sizes_at_odd_addresses_in_one_launch(dtype: str, offset: int) -> None:
    rule = ravine.rule("adam")
    hyper = default(rule)
    rng = np.random.default_rng(0)
    arrays_of = []
    for size in SIZES:
        x, g, m, v = (np.empty(size + offset, dtype)[offset:] for _ in range(4))
        x[:], g[:], m[:], v[:] = rng.standard_normal((4, size))
        np.abs(v, out=v)
        arrays_of.append((x, g, m, v))
    table = Table(
        rule, Storage(dtype, dtype, (dtype, dtype)), SIZES, [[a.ctypes.data for a in four] for four in arrays_of]
    )
    wanted = [reference.step(rule, x.copy(), g, {"m": m.copy(), "v": v.copy()}, 3, hyper) for x, g, m, v in arrays_of]
    table.step_at(3.0, (), hyper_values(rule, hyper), 2)
    for (x, _, m, v), (new_x, new) in zip(arrays_of, wanted, strict=True):
        assert np.array_equal(x, new_x)
        assert np.array_equal(m, new["m"])
        assert np.array_equal(v, new["v"])


def test_addresses_that_are_not_multiples_of_an_element() -> None:
    raw = np.zeros(4 * 4 * 100 + 1, np.uint8)
    four = [raw[1 + 400 * k : 1 + 400 * (k + 1)].view(np.float32) for k in range(4)]
    rng = np.random.default_rng(0)
    for a in four:
        a[:] = rng.random(100)
    x, g, m, v = four
    recipe = ravine.recipe("adam")
    wanted_x, wanted = recipe.update(g.copy(), ravine.State(0, {"m": m.copy(), "v": v.copy()}), x.copy())
    recipe.update_(g, ravine.State(0, {"m": m, "v": v}), x)
    assert np.array_equal(x, wanted_x)
    assert np.array_equal(v, wanted.slots["v"])


def test_a_thousand_tensors_each_at_its_own_step() -> None:
    rule = ravine.rule("nadam")
    hyper = default(rule)
    rng = np.random.default_rng(0)
    four = rng.random((1000, 4, 37)).astype(np.float32)
    counts = [(float(t), (0.9**t,)) for t in range(1, 8)]
    which = rng.integers(0, len(counts), 1000)
    rows = [[a.ctypes.data for a in one] for one in four]
    before = four.copy()
    table = Table(rule, Storage("float32", "float32", ("float32",) * 2), [37] * 1000, rows)
    kept = table.step_rows(counts, which, hyper_values(rule, hyper), 2)
    for i, (x, g, m, v) in enumerate(before):
        t, (product,) = counts[which[i]]
        new_x, new = reference.step(rule, x, g, {"m": m, "v": v, "product": product}, int(t), hyper)
        assert np.array_equal(four[i, 0], new_x)
        assert np.array_equal(four[i, 2], new["m"])
        assert kept[which[i]] == (new["product"],)


@pytest.mark.parametrize("name", ravine.rules())
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_in_place_is_the_pure_update(name: str, dtype: type) -> None:
    recipe = ravine.recipe(name)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 7)).astype(dtype)
    pure, mine = (x.copy(), recipe.init(x)), (x, recipe.init(x))
    held = mine[1].slots
    for _ in range(5):
        g = rng.standard_normal((5, 7)).astype(dtype)
        pure = recipe.update(g, pure[1], pure[0], lr=0.01)
        state = recipe.update_(g, mine[1], x, lr=0.01)
        mine = (x, state)
        assert np.array_equal(x, pure[0], equal_nan=True)
        assert state.t == pure[1].t
        for n, value in pure[1].slots.items():
            assert np.array_equal(state.slots[n], value, equal_nan=True)
            assert recipe.rule.slots[n].is_scalar or state.slots[n] is held[n]


def test_in_place_on_arrays_the_kernel_does_not_take() -> None:
    """Strided arrays, and a gradient that is the parameter itself, are stepped by the reference."""
    recipe = ravine.recipe("momentum")
    memory = np.ones((4, 6))
    x = memory[:, ::2]
    state = recipe.init(x)
    wanted, _ = recipe.update(x, state, x)
    recipe.update_(x, state, x)
    assert np.array_equal(memory[:, ::2], wanted)
    assert np.all(memory[:, 1::2] == 1)
    x = np.ones(5)
    recipe.update_(x, recipe.init(x), x)
    assert np.all(x == 0.99)


def test_in_place_refuses_what_it_cannot_write() -> None:
    recipe = ravine.recipe("gd")
    x = np.ones(3)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="x is read-only"):
        recipe.update_(np.ones(3), recipe.init(x), x)
    with pytest.raises(TypeError, match="update_ writes to NumPy arrays"):
        recipe.update_([1.0], recipe.init([1.0]), [1.0])


def test_the_same_code_is_compiled_once() -> None:
    rng = np.random.default_rng(0)
    x, g = rng.random((2, 9))
    slots = {"m": np.zeros(9), "v": np.zeros(9)}
    first, second = (ravine.rule("weight_decay(adam)") for _ in range(2))
    assert first is not second
    for rule in (first, second):
        arrays.step(rule, x, g, slots, 1, default(rule))
    tables = [Table(r, Storage("float64", "float64", ("float64",) * 2), [], np.empty((0, 4))) for r in (first, second)]
    assert tables[0].kernel is tables[1].kernel


@pytest.mark.parametrize("name", ["adam", "rmsprop_torch_momentum_centered", "adadelta", "nadam", "lion"])
def test_the_code_is_strict_and_vectorised(name: str) -> None:
    """No fused multiply-add, whatever the processor has; square roots and divisions in vectors where it has them."""
    rule = ravine.rule(name)
    slots = tuple("float32" for s in rule.slots.values() if not s.is_scalar)
    text = frame.source(rule, Storage("float32", "float32", slots))
    words = set(itertools.chain.from_iterable(line.split() for line in text.splitlines()))
    assert not words & {"fast", "contract", "reassoc", "nnan", "ninf", "nsz", "arcp", "afn"}
    listing = jit.assembly(text)
    assert "fmadd" not in listing
    assert "fmla" not in listing
    assert "fmsub" not in listing
    if "xmm" in listing:
        assert "mulps" in listing
