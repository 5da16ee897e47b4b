"""Powers with an exponent that is not whole: exact enough, and right at the ends."""

from __future__ import annotations

import math
import random
from decimal import Decimal, localcontext

import pytest

from ravine.math import power

INF, NAN = math.inf, math.nan


def draws() -> list[tuple[float, float]]:
    r = random.Random(0)
    of_nadam = [(0.96, r.randint(1, 10**6) * 0.004) for _ in range(500)]
    small = [(10 ** r.uniform(-300, 300), r.uniform(-1, 1)) for _ in range(500)]
    return of_nadam + small + [(10 ** r.uniform(-3, 3), 10 ** r.uniform(-2, 3)) for _ in range(500)]


def test_power_is_as_exact_as_promised() -> None:
    with localcontext() as context:
        context.prec = 50
        for base, exponent in draws():
            exact = Decimal(base) ** Decimal(exponent)
            if Decimal("1e-290") < exact < Decimal("1e290"):
                error = abs(Decimal(power(base, exponent)) / exact - 1)
                whole = float(exponent).is_integer()
                assert whole or error <= (1 + Decimal(abs(exponent)) / 32) * Decimal(2) ** -53, (base, exponent)


@pytest.mark.parametrize(
    ("base", "exponent", "expected"),
    [
        (0.0, 0.5, 0.0),
        (0.0, -0.5, INF),
        (INF, 0.5, INF),
        (INF, -0.5, 0.0),
        (-1.0, 0.5, NAN),
        (NAN, 0.5, NAN),
        (0.5, NAN, NAN),
        (0.5, 1000.5 * 1e300, 0.0),
        (1.5, 1.5e300, INF),
        (4.0, 0.5, 2.0),
        (4.0, -1.0, 0.25),
        (2.0, -1000.5, 2.0**-1000 / math.sqrt(2)),
    ],
)
def test_the_ends(base: float, exponent: float, expected: float) -> None:
    assert power(base, exponent) == pytest.approx(expected, rel=2e-15, nan_ok=True)


def test_subnormal_bases_and_results() -> None:
    assert power(5e-324, 0.5) == pytest.approx(5e-324**0.5, rel=1e-15)
    assert power(1e-300, 1.05) == 0.0  # below 2⁻¹⁰²⁰ a decay is none
