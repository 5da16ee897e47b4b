"""8-bit codes: places on a fixed grid, the average right, nothing lost that must not be."""

from __future__ import annotations

import numpy as np
import pytest

from ravine.engines.storage import codes, noise

N = 4 * codes.BLOCK - 5


def draw(n: int, seed: int) -> np.ndarray:
    return noise.draw_by_block(n, codes.BLOCK, *noise.slot_seed(seed, 0), codes.SHIFT)


def numbers(kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = (rng.standard_normal(N) * 10.0 ** rng.integers(-12, 6, N)).astype(np.float32)
    return values if kind == "int8" else np.abs(values)


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_what_is_stored_stays_whatever_its_scale_becomes(kind: str) -> None:
    for seed in range(20):
        held = codes.decode(*codes.encode(numbers(kind, seed), kind, draw(N, seed)))
        for random in (None, draw(N, seed + 1)):
            np.testing.assert_array_equal(codes.decode(*codes.encode(held, kind, random)), held)
        grown = held.copy()
        grown[:: codes.BLOCK] = np.float32(3.7) * np.abs(held).max()
        again = codes.decode(*codes.encode(grown, kind, draw(N, seed + 1)))
        is_large = np.abs(held) > 1e-4 * np.abs(held).max()
        is_large[:: codes.BLOCK] = False
        np.testing.assert_array_equal(again[is_large], held[is_large])


@pytest.mark.parametrize(("kind", "relative"), [("int8", (1.0, 0.13, 3e-5, 3e-6)), ("uint8", (1.0, 0.13, 1e-8))])
@pytest.mark.parametrize("size", [0.7, 3e-20, 2e30])
def test_the_average_is_right(kind: str, relative: tuple[float, ...], size: float) -> None:
    """Of the smallest too, which an int8 has by chance."""
    n = 800 * codes.BLOCK
    for part in relative:
        values = np.full(n, part * size, np.float32)
        values[:: codes.BLOCK] = size
        mean = (
            codes.decode(*codes.encode(values, kind, draw(n, 3))).astype(float).reshape(-1, codes.BLOCK)[:, 1:].mean()
        )
        assert mean == pytest.approx(float(values[1]), rel=0.01)


def test_what_is_not_zero_never_becomes_zero_without_a_sign() -> None:
    values = np.full(codes.BLOCK, 1e-40, np.float32)
    values[0], values[1] = 1e30, 0
    for random in (None, draw(codes.BLOCK, 1)):
        held = codes.decode(*codes.encode(values, "uint8", random))
        assert held[1] == 0
        assert bool((held[2:] > 0).all())


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_what_is_not_finite(kind: str) -> None:
    values = np.ones(3 * codes.BLOCK, np.float32)
    values[0], values[codes.BLOCK], values[2 * codes.BLOCK] = np.inf, np.nan, np.finfo(np.float32).max
    for seed in range(30):
        held = codes.decode(*codes.encode(values, kind, draw(values.size, seed))).reshape(3, -1)
        assert np.isinf(held[0, 0])
        assert bool(np.isfinite(held[0, 1:]).all())
        assert bool(np.isnan(held[1]).all())
        assert bool(np.isfinite(held[2]).all())
