"""The fused engine on narrow state gives the bits of the reference in NumPy: parameter, codes and scales."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
import pytest

import ravine
from family import ELEMENTWISE
from ravine.engines.fused import jit, kernel
from ravine.engines.fused.kernel import Table, hyper_values
from ravine.engines.fused.storage import Storage
from ravine.engines.storage import bfloat16, noise
from ravine.engines.storage.step import Stored, step, store
from ravine.trace.bounds import non_negative_slots

SIZES = (1, 255, 256, 257, 256 * 64 + 77, 40_000)


def gradient(rng: np.random.Generator, n: int, t: int) -> np.ndarray:
    """Of all magnitudes, blocks of zeros, and now and then what is not finite."""
    g = (rng.standard_normal(n) * 10.0 ** rng.integers(-12, 3, n)).astype(np.float32)
    g[::7] = 0
    g[256:512] = 0
    if t % 5 == 4:
        g[0], g[-1] = 1e30, 1e-38
    if t == 11:
        g[n // 2] = np.inf
    if t == 13:
        g[n // 3] = np.nan
    return g


def stored(rule, n, kinds):
    """The slots before the first step; NumPy arrays, or numbers for scalar ones."""
    return {
        name: s.start
        if s.is_scalar
        else store(np.full(n, s.start, np.float32), kinds[name])
        if kinds[name] != "float32"
        else np.full(n, s.start, np.float32)
        for name, s in rule.slots.items()
    }


def copied(slots):
    return {
        n: Stored(s.kind, s.data.copy(), None if s.scale is None else s.scale.copy())
        if isinstance(s, Stored)
        else s.copy()
        if isinstance(s, np.ndarray)
        else s
        for n, s in slots.items()
    }


def addresses(slots, *arrays):
    own = [s for s in slots.values() if not isinstance(s, float)]
    rows = [*arrays[:2], *(s.data if isinstance(s, Stored) else s for s in own), *arrays[2:]]
    rows += [s.scale for s in own if isinstance(s, Stored) and s.scale is not None]
    return [a.ctypes.data for a in rows]


def compare(rule, kinds, n, *, stochastic, steps=15, threads=1, gradient=gradient):
    rng = np.random.default_rng(n)
    hyper = {k: h.default for k, h in rule.hyperparameters.items()}
    x = rng.standard_normal(n).astype(np.float32)
    slots = stored(rule, n, kinds)
    mine, own = x.copy(), copied(slots)
    arrays = tuple(kinds[name] for name, s in rule.slots.items() if not s.is_scalar)
    storage = Storage("float32", "float32", arrays, is_state_stochastic=stochastic)
    for t in range(1, steps + 1):
        g = gradient(rng, n, t)
        table = Table(rule, storage, [n], [addresses(own, mine, g)])
        seed = noise.seed(3, t, 0)
        if storage.is_seeded:
            table.set_seeds([seed])
        kept = table.step_at(
            float(t), [s for s in own.values() if isinstance(s, float)], hyper_values(rule, hyper), threads
        )
        own |= dict(zip([name for name, s in rule.slots.items() if s.is_scalar], kept, strict=True))
        x, slots = step(rule, x, g, slots, t, hyper, seed if stochastic else None)
        np.testing.assert_array_equal(mine, x, str(t))
        for name, s in slots.items():
            if isinstance(s, Stored):
                np.testing.assert_array_equal(own[name].data, s.data, f"{t} {name}")
                if s.scale is not None:
                    np.testing.assert_array_equal(
                        own[name].scale.view(np.uint32), s.scale.view(np.uint32), f"{t} {name}"
                    )
            else:
                np.testing.assert_array_equal(own[name], s, f"{t} {name}")


def eight(rule):
    non_negative = non_negative_slots(rule)
    return {name: "uint8" if name in non_negative else "int8" for name in rule.slots}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_eight_bits(name: str) -> None:
    rule = ravine.rule(name)
    compare(rule, eight(rule), 1000, stochastic=True)


@pytest.mark.parametrize("name", ["adam", "rmsprop_momentum", "adadelta", "lion", "nadam", "amsgrad"])
@pytest.mark.parametrize("stochastic", [True, False])
def test_bfloat16_and_mixtures(name: str, stochastic: bool) -> None:
    rule = ravine.rule(name)
    compare(rule, dict.fromkeys(rule.slots, "bfloat16"), 700, stochastic=stochastic)
    compare(rule, eight(rule), 700, stochastic=stochastic)
    mixed = {n: ("bfloat16", "float32", kind)[k % 3] for k, (n, kind) in enumerate(eight(rule).items())}
    compare(rule, mixed, 700, stochastic=stochastic)
    turned = {n: (kind, "bfloat16", "float32")[k % 3] for k, (n, kind) in enumerate(eight(rule).items())}
    compare(rule, turned, 700, stochastic=stochastic)


@pytest.mark.parametrize("is_wide", [True, False])
@pytest.mark.parametrize("name", ["adam", "adadelta", "yogi"])
def test_whatever_vectors_a_processor_has(name: str, is_wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "has_wide_vectors", lambda: is_wide)
    monkeypatch.setattr(kernel, "_by_rule", WeakKeyDictionary())
    rule = ravine.rule(name)
    for stochastic in (True, False):
        compare(rule, eight(rule), 700, stochastic=stochastic)
        mixed = {n: ("bfloat16", kind)[k % 2] for k, (n, kind) in enumerate(eight(rule).items())}
        compare(rule, mixed, 700, stochastic=stochastic)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("threads", [1, 2])
def test_any_size_and_any_number_of_threads(n: int, threads: int) -> None:
    rule = ravine.rule("adam")
    compare(rule, eight(rule), n, stochastic=True, steps=6, threads=threads)


def one_a_block(g: np.ndarray, small: object) -> np.ndarray:
    return np.where(np.arange(g.size) % 256 == 7, small, g)


ALIKE = {
    "dense": lambda g, rng: g,
    "with zeros": lambda g, rng: np.where(np.arange(g.size) % 5 == 3, np.copysign(np.float32(0), g), g),
    "one number of each block about its smallest code": lambda g, rng: one_a_block(
        g, 2 ** rng.uniform(-17.5, -14.5, g.size)
    ),
    "one number of each block subnormal": lambda g, rng: one_a_block(g, 1e-40),
    "all subnormal": lambda g, rng: g * np.float32(1e-41),
    "as large as numbers are": lambda g, rng: np.sign(g) * rng.uniform(3.1e38, 3.4e38, g.size),
    "squares as large as numbers are": lambda g, rng: rng.uniform(5.6e20, 5.8e20, g.size),
    "one infinite": lambda g, rng: np.where(np.arange(g.size) == 5, np.float32(np.inf), g),
}
"""Gradients whose numbers lie among their block's codes, and with a few that do not."""


@pytest.mark.parametrize("kind", ALIKE)
@pytest.mark.parametrize("stochastic", [True, False])
@pytest.mark.parametrize("name", ["adam", "momentum_torch"])
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid:RuntimeWarning")
def test_numbers_of_one_magnitude_and_what_lies_beside_them(name: str, stochastic: bool, kind: str) -> None:
    rule = ravine.rule(name)

    def gradient(rng: np.random.Generator, n: int, t: int) -> np.ndarray:
        return ALIKE[kind](rng.standard_normal(n).astype(np.float32), rng).astype(np.float32)

    compare(rule, eight(rule), 64 * 256 + 77, stochastic=stochastic, steps=4, gradient=gradient)


def test_float24_parameters() -> None:
    rule = ravine.rule("adam")
    hyper = {k: h.default for k, h in rule.hyperparameters.items()}
    rng = np.random.default_rng(0)
    n = 3000
    upper, remainder = bfloat16.split(rng.standard_normal(n).astype(np.float32))
    mine, beside = upper.copy(), remainder.copy()
    slots = stored(rule, n, eight(rule))
    own = copied(slots)
    storage = Storage("bfloat16", "float32", ("int8", "uint8"), is_state_stochastic=True, has_remainder=True)
    for t in range(1, 13):
        g = gradient(rng, n, t)
        seed = noise.seed(0, t, 0)
        table = Table(rule, storage, [n], [addresses(own, mine, g, beside)])
        table.set_seeds([seed])
        table.step_at(float(t), (), hyper_values(rule, hyper), 1)
        wide, slots = step(rule, bfloat16.join(upper, remainder), g, slots, t, hyper, seed)
        upper, remainder = bfloat16.split(wide, noise.draw(n, seed, False, 8))
        np.testing.assert_array_equal(mine, upper)
        np.testing.assert_array_equal(beside, remainder)
