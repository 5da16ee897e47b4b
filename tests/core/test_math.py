"""The functions of equations mean the same on numbers, NumPy, torch and JAX, to the bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ravine import math as rmath

VALUES = [0.0, -0.0, 1.0, -2.5, 3.0e38, 1e-45, math.inf, -math.inf, math.nan]
LIBRARIES = ["numpy", "torch", "jax"]


def array(library: str, values: list[float]) -> Any:
    if library == "numpy":
        return np.array(values, np.float32)
    if library == "torch":
        return pytest.importorskip("torch").tensor(values)
    return pytest.importorskip("jax.numpy").asarray(values, dtype="float32")


def without_denormals(library: str) -> list[float]:
    """VALUES, but for what XLA flushes to zero."""
    return [v for v in VALUES if not (library == "jax" and v == 1e-45)]


def bits(values: Any) -> list[str]:
    """Values as text that tells −0 from 0 and holds one NaN."""
    return [repr(float(v)) for v in np.asarray(values, dtype=np.float32)]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("function", [rmath.abs, rmath.sign, rmath.sqrt])
def test_functions_of_one_value(library: str, function: Any) -> None:
    values = [float(np.float32(v)) for v in without_denormals(library)]
    with np.errstate(invalid="ignore"):
        found = function(array(library, values))
    assert bits(found) == bits([function(v) for v in values])


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("function", [rmath.maximum, rmath.minimum])
@pytest.mark.parametrize("other", [1.0, -4.0])
def test_maximum_and_minimum_pass_nan_on(library: str, function: Any, other: float) -> None:
    values = without_denormals(library)
    wanted = bits([function(v, other) for v in values])
    assert bits(function(array(library, values), other)) == wanted
    assert bits(function(other, array(library, values))) == wanted
    assert bits(function(array(library, values), array(library, [other] * len(values)))) == wanted
    assert math.isnan(function(1.0, math.nan))


@pytest.mark.parametrize("library", LIBRARIES)
def test_where_takes_a_number_or_an_array(library: str) -> None:
    a = array(library, [1.0, 2.0])
    assert rmath.where(True, a, 0.0) is a
    assert bits(rmath.where(a > 1.5, a, 0.0)) == ["0.0", "2.0"]
    assert str(rmath.where(a > 1.5, a, 0.0).dtype).endswith("float32")


def test_power_of_a_whole_exponent_is_repeated_squaring() -> None:
    assert rmath.power(0.9, 5) == ((0.9 * 0.9) * (0.9 * 0.9)) * 0.9
    assert rmath.power(0.9, 0) == 1.0
    assert rmath.power(0.9, 5.0) == rmath.power(0.9, 5)
    assert rmath.power(0.96, 2.5) == 0.96**2.5


@pytest.mark.parametrize("t", [1, 10, 1000, 12345, 10**6])
def test_power_is_as_exact_as_promised(t: int) -> None:
    from fractions import Fraction

    beta = 0.9999
    exact = Fraction(beta) ** min(t, 2000)
    found = Fraction(rmath.power(beta, min(t, 2000)))
    assert abs(found / exact - 1) <= min(t, 2000) * Fraction(1, 2**53)
    assert rmath.power(beta, t) == pytest.approx(beta**t, rel=t * 2**-52)


def test_a_scalar_expression_stays_float64_until_it_meets_an_array() -> None:
    x = np.ones(3, np.float32)
    assert rmath.ema(x, x, 0.999).dtype == np.float32
    assert rmath.debias(x, 0.999, 1)[0] == np.float32(1) / np.float32(1 - 0.999)


@pytest.mark.parametrize(("dtype", "low", "high"), [("float32", -149, 127), ("float64", -1074, 1023)])
def test_cube_roots_are_within_three_quarters_of_an_ulp(dtype: str, low: int, high: int) -> None:
    rng = np.random.default_rng(0)
    exponents = rng.integers(low, high, 20_000, endpoint=True)
    x = np.ldexp(rng.uniform(0.5, 1.0, exponents.size), exponents).astype(dtype) * rng.choice([-1, 1], exponents.size)
    x = x[x != 0].astype(dtype)
    found, exact = rmath.cbrt(x), np.cbrt(x.astype(np.longdouble))
    assert found.dtype == dtype
    assert np.max(np.abs(found - exact) / np.spacing(np.abs(found))) < 0.75


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_rough_inverse_cube_root_is_within_four_percent(dtype: str) -> None:
    kind = np.finfo(dtype)
    x = np.exp2(np.linspace(np.log2(float(kind.tiny)), np.log2(float(kind.max)) - 1e-3, 100_000)).astype(dtype)
    assert np.max(np.abs(rmath.rough_inverse_cbrt(x) * np.cbrt(x.astype(np.float64)) - 1)) < 0.04


def test_the_rough_inverse_cube_root_is_the_same_bits_everywhere() -> None:
    torch, numpy = pytest.importorskip("torch"), pytest.importorskip("jax.numpy")
    x = np.float32([1.2e-38, 1e-20, 0.7, 1, 27, 3e38])
    wanted = rmath.rough_inverse_cbrt(x)
    assert bits(rmath.rough_inverse_cbrt(torch.from_numpy(x))) == bits(wanted)
    assert bits(rmath.rough_inverse_cbrt(numpy.asarray(x))) == bits(wanted)
    wide = [2.3e-308, 0.7, 1e300]
    assert rmath.rough_inverse_cbrt(np.array(wide)).tolist() == [rmath.rough_inverse_cbrt(v) for v in wide]


@pytest.mark.parametrize("library", LIBRARIES)
def test_cube_roots_are_the_same_bits_everywhere(library: str) -> None:
    pytest.importorskip("torch")
    values = [*without_denormals(library), 27.0, -8.0, 1e-20, 0.7]
    with np.errstate(all="ignore"):
        wanted = rmath.cbrt(np.array(values, np.float32))
        assert bits(rmath.cbrt(array(library, values))) == bits(wanted)


def test_the_cube_root_of_a_number() -> None:
    assert [rmath.cbrt(v) for v in (0.0, -0.0, 27.0, -8.0, math.inf, -math.inf)] == [0, 0, 3, -2, math.inf, -math.inf]
    assert math.isnan(rmath.cbrt(math.nan))
