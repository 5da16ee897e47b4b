"""Every rule, on every engine, in both types: the bits of the reference, parameters and state, step-locked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ravine
from family import ELEMENTWISE
from ravine.engines import eager, reference
from ravine.engines.fused.kernel import Table, hyper_values
from ravine.engines.fused.storage import Storage
from ravine.math import where
from ravine.rule import Rule, declare

STEPS = 200
SIZE = 67  # odd: more than a vector, and a tail
WRAPPED = [
    "weight_decay(adam)",
    "maximize(weight_decay(rmsprop))",
    "decoupled_weight_decay(lion)",
    "clip_value(adadelta)",
    "stored_at_look_ahead(nesterov)",
    "stored_at_look_ahead(rmsprop_nesterov_centered)",
    "clip_value(maximize(weight_decay(momentum_torch)))",
]
RULES = [*ELEMENTWISE, *WRAPPED]
SPECIAL = {"weight_decay": 0.01, "clip_value": 0.5, "dampening": 0.1}


def gradients(dtype: str, rng: np.random.Generator) -> list[np.ndarray]:
    """Random ones, then each hard kind: zero, huge, tiny, sign-flipping, and a mixture."""
    base = rng.standard_normal(SIZE)
    kinds = [
        lambda t: rng.standard_normal(SIZE),
        lambda t: np.zeros(SIZE),
        lambda t: 1e30 * rng.standard_normal(SIZE),
        lambda t: 1e-30 * rng.standard_normal(SIZE),
        lambda t: base * (-1.0) ** t,
        lambda t: rng.choice([0.0, -0.0, 1e30, -1e-30, 1e-42, 1.0], SIZE) * rng.standard_normal(SIZE),
    ]
    return [kinds[t * len(kinds) // STEPS](t).astype(dtype) for t in range(STEPS)]


def hyper_of(rule: Rule) -> dict[str, float]:
    return {n: SPECIAL.get(n, h.default) for n, h in rule.hyperparameters.items()}


def same_bits(got: object, wanted: object) -> bool:
    """Equal bits; a NaN equals any NaN, whose payload IEEE 754 leaves open."""
    a, b = np.asarray(got), np.asarray(wanted)
    as_bits = f"u{a.dtype.itemsize}"
    return a.dtype == b.dtype and bool(np.all((a.view(as_bits) == b.view(as_bits)) | ((a != a) & (b != b))))


class Fused:
    """The fused engine on NumPy arrays of its own."""

    def __init__(self, rule: Rule, x: np.ndarray) -> None:
        self.rule, self.dtype = rule, str(x.dtype)
        self.arrays = [n for n, s in rule.slots.items() if not s.is_scalar]

    def step(self, x, g, slots, t, hyper):
        x, g, slots = x.copy(), g.copy(), {n: np.copy(s) for n, s in slots.items()}
        arrays = [x, g, *(slots[n] for n in self.arrays)]
        scalars = [n for n in self.rule.slots if n not in self.arrays]
        storage = Storage(self.dtype, self.dtype, (self.dtype,) * len(self.arrays))
        table = Table(self.rule, storage, [x.size], [[a.ctypes.data for a in arrays]])
        new = table.step_at(float(t), [float(slots[n]) for n in scalars], hyper_values(self.rule, hyper), threads=1)
        slots.update(zip(scalars, new, strict=True))
        return x, slots


class Eager:
    """The rule on torch tensors."""

    def __init__(self, rule: Rule, x: np.ndarray) -> None:
        self.rule = rule

    def step(self, x, g, slots, t, hyper):
        scalar = {n for n, s in self.rule.slots.items() if s.is_scalar}
        tensors = {n: s if n in scalar else torch.from_numpy(np.copy(s)) for n, s in slots.items()}
        x = torch.from_numpy(x.copy())
        tensors.update(eager.step(self.rule, x, torch.from_numpy(g.copy()), tensors, t, hyper))
        return x.numpy(), {n: s if n in scalar else s.numpy() for n, s in tensors.items()}


@pytest.mark.parametrize("engine", [Fused, Eager])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RULES)
def test_bits_of_the_reference(name: str, dtype: str, engine: type[Fused] | type[Eager]) -> None:
    hold_to_the_reference(ravine.rule(name), dtype, engine)


def hold_to_the_reference(rule: Rule, dtype: str, engine: type[Fused] | type[Eager]) -> None:
    hyper = hyper_of(rule)
    rng = np.random.default_rng(0)
    x = rng.standard_normal(SIZE).astype(dtype)
    slots = dict(ravine.recipe(rule).init(x).slots)
    runner = engine(rule, x)
    for t, g in enumerate(gradients(dtype, rng), start=1):
        got_x, got = runner.step(x, g, slots, t, hyper)
        x, slots = reference.step(rule, x, g, slots, t, hyper)
        assert same_bits(got_x, x), (t, got_x, x)
        for n, value in slots.items():
            assert same_bits(got[n], value), (t, n, got[n], value)


def test_state_is_never_the_gradients_memory() -> None:
    """momentum_torch's buffer starts as the gradient itself, which the caller may then overwrite."""
    recipe = ravine.recipe("momentum_torch")
    for g in (np.ones(3), torch.ones(3)):
        x = g * 0
        _, state = recipe.update(g, recipe.init(x), x)
        g *= 5
        assert state.slots["b"].tolist() == [1.0] * 3


@pytest.mark.parametrize("engine", [Fused, Eager])
def test_a_new_slot_may_be_any_old_value(engine: type[Fused] | type[Eager]) -> None:
    """Of another slot, or of the parameter, which are overwritten in the same step."""

    def turning(x, g, a, b, *, t, lr=0.1):  # type: ignore[no-untyped-def]
        return -lr * g, where(t > 1, b, x), a

    hold_to_the_reference(declare(turning), "float32", engine)


@pytest.mark.parametrize("engine", [Fused, Eager])
def test_slots_may_have_any_name(engine: type[Fused] | type[Eager]) -> None:
    """Letters of other alphabets, and the names that the kernel's own values have."""

    def odd(g, δ, c0, place, *, lr=0.1):
        return -lr * (g + δ + c0 + place), δ * lr + g, c0 - g * lr, place * lr - g

    hold_to_the_reference(declare(odd), "float32", engine)


def test_a_slot_called_scale_is_not_the_gradients() -> None:
    def odd(g, scale, *, lr=0.1):
        return -lr * (g + scale), g

    x, g, scale = np.ones((3, 5))
    table = Table(
        declare(odd),
        Storage(*["float64"] * 2, ("float64",), is_scaled=True),
        [5],
        [[a.ctypes.data for a in (x, g, scale)]],
    )
    table.set_scale(4.0)
    table.step_at(1.0, (), (0.1,), threads=1)
    assert np.array_equal(x, 1 - 0.1 * np.full(5, 1.25))
    assert np.array_equal(g, np.full(5, 0.25))
    assert np.array_equal(scale, g)
