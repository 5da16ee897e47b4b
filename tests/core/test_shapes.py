"""Rules of more than one element at a time: shapes are found, the one order of sums, formulas, slips."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import matrix_rules
import ravine
from ravine import sums
from ravine.math import ema, matmul, mean, norm, power, rms, rows, total, transpose
from ravine.rule import declare
from ravine.trace import latex, mathml, shapes, text
from ravine.trace.mutants import mutants


def test_shapes_of_slots_follow_from_the_equation() -> None:
    found = {r.name: {n: v.shape for n, v in r.graph.slots.items()} for r in matrix_rules.REDUCING}
    assert found["factored"] == {"row": ("r", "1"), "col": ("1", "c")}
    assert found["layered"] == {"v": ("1", "1")}
    assert found["trusting"] == found["row_signs"] == {"m": ("r", "c")}
    assert matrix_rules.MULTIPLYING[1].graph.slots["q"].shape == ("r", "r")
    assert all(
        n.shape in (None, ("r", "c")) for r in ravine.rules().values() if r.graph.is_elementwise for n in r.graph.nodes
    )


def test_a_slot_that_nothing_shapes_is_like_the_parameter() -> None:
    def fading(g, a, *, lr=0.1):
        return -lr * g * a, 0.5 * a

    assert declare(fading).graph.slots["a"].shape == ("r", "c")


@pytest.mark.parametrize(
    ("shape", "view", "row", "column", "square"),
    [
        ((), "matrix", (1, 1), (1, 1), (1, 1)),
        ((5,), "matrix", (5, 1), (1, 1), (5, 5)),
        ((3, 4), "matrix", (3, 1), (1, 4), (3, 3)),
        ((6, 3, 2, 2), "matrix", (6, 1), (1, 12), (6, 6)),
        ((6, 3, 2), "stack", (6, 3, 1), (6, 1, 2), (6, 3, 3)),
        ((3, 4), "stack", (3, 1), (1, 4), (3, 3)),
        ((0, 3), "matrix", (0, 1), (1, 3), (0, 0)),
    ],
)
def test_the_state_of_parameters_of_any_dimensions(shape, view, row, column, square) -> None:
    rule = declare(matrix_rules.factored, view=view)
    assert (rule.slot_shape("row", shape), rule.slot_shape("col", shape)) == (row, column)
    assert rule.state_bytes(shape) == 4 * (math.prod(row) + math.prod(column))
    assert declare(matrix_rules.gram, view=view).slot_shape("q", shape) == square
    assert rule.state_words == "4/c + 4/r"


def wrong(rule: Callable[..., object]) -> str:
    with pytest.raises(TypeError) as raised:
        _ = declare(rule).graph
    return str(raised.value)


def test_what_does_not_fit_is_named_with_its_line() -> None:
    def product(g, *, lr=0.1):
        return -lr * matmul(g, g)

    def sum_of(g, *, lr=0.1):
        return -lr * (g + transpose(g))

    def turned(g, *, lr=0.1):
        return -lr * transpose(g)

    def axis(g, *, lr=0.1):
        return -lr * mean(g, axis=2)

    def number(g, *, lr=0.1):
        return -lr * g * norm(lr)

    def count(g, *, lr=0.1):
        return -lr * g * rows(lr)

    def raised(g, *, lr=0.1):
        return -lr * power(norm(g), 2)

    def kept(g, n, *, lr=0.1):
        return -lr * g, n * rows(g)

    line = product.__code__.co_firstlineno + 1
    assert f"rule product, test_shapes.py, line {line}: matmul of r × c and r × c: the first one's col" in wrong(
        product
    )
    assert "add of r × c and c × r: these shapes don't go together" in wrong(sum_of)
    assert "the step is c × r, and the parameter r × c" in wrong(turned)
    assert "mean: axis must be 0 (over the rows), 1 (over the columns) or None, got 2" in wrong(axis)
    assert "norm of a coefficient, which has no rows and columns" in wrong(number)
    assert "rows() and columns() are for arrays" in wrong(count)
    assert "power() is for coefficients" in wrong(raised)
    with pytest.raises(TypeError, match="scalar slot n is kept once for all, and depends on a matrix's size"):
        _ = declare(kept, scalar=("n",)).graph
    with pytest.raises(TypeError, match="view must be 'matrix' or 'stack', got 'tensor'"):
        declare(turned, view="tensor")
    with pytest.raises(ValueError, match=r"an array of shape \(3,\) has no rows and columns"):
        norm(np.ones(3))


def by_hand(numbers: list[float]) -> float:
    """The order of `ravine.sums`, one addition at a time."""
    while len(numbers) > sums.LANES:
        lanes = []
        for block in range(0, len(numbers), sums.LANES * sums.DEPTH):
            for lane in range(sums.LANES):
                added = 0.0
                for number in numbers[block : block + sums.LANES * sums.DEPTH][lane :: sums.LANES]:
                    added += number
                lanes.append(added)
        numbers = lanes
    added = 0.0
    for number in numbers:
        added += number
    return added


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100, 1024, 1025, 5000, 20000])
def test_sums_have_one_order(size: int) -> None:
    v = np.random.default_rng(size).standard_normal(size) * 10.0 ** np.arange(size % 7, size % 7 + size).clip(max=9)
    join = lambda parts: np.concatenate(parts, axis=-1)  # noqa: E731
    assert by_hand(v.tolist()) == sums.with_numpy(v) == sums.with_operators(v, np.zeros, join)
    stack = np.stack([v, v[::-1], -v])
    assert sums.with_numpy(stack).tolist() == [by_hand(row.tolist()) for row in stack]
    assert sums.with_operators(stack, np.zeros, join).tolist() == [by_hand(row.tolist()) for row in stack]


def test_reductions() -> None:
    a = np.random.default_rng(0).standard_normal((2, 30, 50)).astype(np.float32)
    wide = a.astype(np.float64)
    for axis, places, shape in ((None, (-2, -1), (2, 1, 1)), (0, -2, (2, 1, 50)), (1, -1, (2, 30, 1))):
        wanted = [np.sum(wide, places), np.mean(wide, places), np.sqrt(np.sum(wide**2, places))]
        wanted.append(np.sqrt(np.mean(wide**2, places)))
        for function, value in zip((total, mean, norm, rms), wanted, strict=True):
            found = function(a, axis)
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, value.reshape(shape).astype(np.float32))  # rounded once, from float64
    assert norm(np.full((1, 2), 2e38, np.float32)) < math.inf  # squares don't overflow
    assert [float(f(np.zeros((0, 1)))[0, 0]) for f in (total, mean, norm, rms)] == [0.0] * 4
    assert np.isnan(total(np.array([[1.0, math.nan]]))).all()


def test_formulas_of_matrices() -> None:
    assert text.equation(matrix_rules.REDUCING[0]).splitlines()[:2] == [
        "rowₜ = β·rowₜ₋₁ + (1 − β)·mean_columns(gₜ²)",
        "colₜ = β·colₜ₋₁ + (1 − β)·mean_rows(gₜ²)",
    ]
    assert text.equation(matrix_rules.MULTIPLYING[0]).splitlines() == [
        "Mₜ    = β·Mₜ₋₁ + (1 − β)·Gₜ",
        "Xₜ    = Xₜ₋₁ − lr·NS(Mₜ / (‖Mₜ‖ + 1e-07))·√(max(1, r / c))",
        "NS(Y) = Y ← 3.4445·Y + (−4.775·Y Yᵀ + 2.0315·Y Yᵀ Y Yᵀ) Y, steps times",
    ]
    formula = latex.equation(matrix_rules.MULTIPLYING[1])
    assert r"Q_{t} &= \beta \, Q_{t-1} + \left(1 - \beta\right) \, G_{t} \, {G_{t}}^{\top}" in formula
    assert r"\left\|x_{t-1}\right\|" in latex.equation(matrix_rules.REDUCING[1])
    markup = mathml.equation(matrix_rules.REDUCING[3])
    assert "<msub><mrow><mo>‖</mo><msub><mi>g</mi>" in markup
    assert "<mtext>columns</mtext></msub>" in markup


def test_a_product_of_matrices_element_by_element_is_told_from_their_product() -> None:
    def both(g, m, *, lr=0.1):
        m = ema(m, g * g, 0.5)
        return -lr * m * g + matmul(matmul(g, transpose(g)), m), m

    assert text.equation(declare(both)).splitlines()[-1] == "Xₜ = Xₜ₋₁ − lr·Mₜ⊙Gₜ + Gₜ Gₜᵀ Mₜ"


def test_slips_with_axes_transposes_and_norms() -> None:
    """Those whose shapes go together: a missing transpose mostly is an error of shapes, which no test need catch."""

    def turned(g, *, lr=0.1):
        return -lr * matmul(matmul(g, transpose(g)), g)

    found = {m.description for r in (*matrix_rules.REDUCING, declare(turned)) for m in mutants(r)}
    assert {
        "mean(mul(g, g), axis=1) → mean(mul(g, g))",
        "mean(mul(g, g), axis=0) → total(mul(g, g), axis=0)",
        "norm(x) → norm(x, axis=1)",
        "norm(x) → x",
        "norm(g, axis=1) → rms(g, axis=1)",
        "matmul(matmul(g, transpose(…)), g) → g",
        "matmul(matmul(g, transpose(…)), g) → matmul(transpose(matmul(…, …)), g)",
    } <= found
    assert not any("matmul(g, g)" in description for description in found)


def test_shapes_in_words() -> None:
    assert shapes.words(("r", "1")) == "r × 1"
