"""Graphs: what tracing records is what the function computes, and what printers print of it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ravine
from ravine.math import maximum, where
from ravine.trace import latex, mathml, text
from ravine.trace.graph import OPERATIONS, node, topological

RULES = list(ravine.rules())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RULES)
def test_the_graph_computes_the_rule_bit_for_bit(name: str, dtype: str) -> None:
    rule = ravine.rule(name)
    rng = np.random.default_rng(1)
    hyper = {n: h.default for n, h in rule.hyperparameters.items()}
    for t in (1, 2, 7, 500):
        x, g = (rng.standard_normal((5, 10)).astype(dtype) for _ in range(2))
        shapes = {n: rule.slot_shape(n, x.shape) for n, s in rule.slots.items() if not s.is_scalar}
        slots = tuple(rng.random(shapes[n]).astype(dtype) if n in shapes else 0.4 for n in rule.slots)
        inputs = {"x": x, "g": g, "t": t, **dict(zip(rule.slots, slots, strict=True)), **hyper, **rule.sizes(x.shape)}
        with np.errstate(invalid="ignore"):
            wanted = rule.apply(x, g, slots, t, hyper)
            found = rule.graph.evaluate(inputs)
        for a, b in zip(found, wanted, strict=True):
            assert np.asarray(a).dtype == np.asarray(b).dtype
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", RULES)
def test_the_split_into_coefficients_and_arrays(name: str) -> None:
    graph = ravine.rule(name).graph
    assert all(not c.is_array for c in graph.coefficients)
    for n in graph.array_nodes:
        assert n.op in OPERATIONS
        assert all(a.is_array or a in graph.coefficients for a in n.args)
    order = {n: i for i, n in enumerate(graph.nodes)}
    assert all(order[a] < order[n] for n in graph.nodes for a in n.args)


def test_adam_s_coefficients_are_its_expressions_of_hyperparameters_and_t() -> None:
    shown = {text.TextPrinter().show(c) for c in ravine.rule("adam").graph.coefficients}
    assert shown == {"β₁", "1 − β₁", "1 − β₁ᵗ", "−lr", "β₂", "1 − β₂", "√(1 − β₂ᵗ)", "ε"}


def test_equal_expressions_are_one_node() -> None:
    a = node("array", name="a")
    assert node("add", a, a) is node("add", a, a)
    assert node("const", value=0.0) is not node("const", value=-0.0)
    assert len(topological([node("mul", node("add", a, a), node("add", a, a))])) == 3


def test_adam_s_equation_in_every_language() -> None:
    adam = ravine.rule("adam")
    assert text.equation(adam).splitlines() == [
        "mₜ = β₁·mₜ₋₁ + (1 − β₁)·gₜ",
        "m̂ₜ = mₜ / (1 − β₁ᵗ)",
        "vₜ = β₂·vₜ₋₁ + (1 − β₂)·gₜ²",
        "v̂ₜ = vₜ / (1 − β₂ᵗ)",
        "xₜ = xₜ₋₁ − lr·m̂ₜ / (√v̂ₜ + ε)",
    ]
    assert latex.equation(adam).splitlines()[-2] == (
        r"x_{t} &= x_{t-1} - \eta \, \frac{\hat{m}_{t}}{\sqrt{\hat{v}_{t}} + \epsilon}"
    )
    assert mathml.equation(adam).count("<mtr>") == 5


def test_a_look_ahead_is_part_of_the_equation() -> None:
    assert text.equation(ravine.rule("nesterov")).splitlines() == [
        "gₜ = ∇f(xₜ₋₁ + μ·Δₜ₋₁)",
        "Δₜ = μ·Δₜ₋₁ − lr·gₜ",
        "xₜ = xₜ₋₁ + Δₜ",
    ]


@pytest.mark.parametrize("name", [*RULES, "maximize(clip_value(weight_decay(adam)))"])
def test_printed_formulas_are_well_formed(name: str) -> None:
    from xml.etree import ElementTree

    rule = ravine.rule(name)
    ElementTree.fromstring(mathml.equation(rule))
    tex = rule.equation()
    assert tex.count("{") == tex.count("}")
    assert tex.count(r"\left") == tex.count(r"\right")
    for line in text.equation(rule).splitlines():
        assert line.count("(") == line.count(")")


def test_negative_numbers_are_written_with_a_minus_sign() -> None:
    @ravine.rule
    def fixed(g, m, *, beta=0.5):  # type: ignore[no-untyped-def]
        return -0.01 * g - m * -2.0 + -3, maximum(m, -1.0) * -1.0 + beta * -1e-8

    assert text.equation(fixed).splitlines() == [
        "mₜ = −max(mₜ₋₁, −1) − β·1e-08",
        "xₜ = xₜ₋₁ − 0.01·gₜ + mₜ₋₁·2 − 3",
    ]
    assert r"- 0.01 \, g_{t}" in fixed.equation()


def test_brackets_are_where_they_must_be() -> None:
    @ravine.rule
    def brackets(g, m, *, lr=0.1, mu=0.5):  # type: ignore[no-untyped-def]
        return -(lr * (g - (m - g))) / (m / (g / mu)), m * (g + 1) / (-mu)

    lines = text.equation(brackets).splitlines()
    assert lines[0] == "mₜ = −mₜ₋₁·(gₜ + 1) / μ"
    assert lines[1] == "xₜ = xₜ₋₁ − lr·(gₜ − mₜ₋₁ + gₜ)·gₜ / (mₜ₋₁·μ)"


@pytest.mark.parametrize("comparison", [operator.gt, operator.ge, operator.lt, operator.le])
def test_comparisons_are_traced_as_they_are_written(comparison: Callable[[Any, Any], Any]) -> None:
    """On both sides and at equality, in the traced kernel as in the function itself."""

    @ravine.rule
    def choosy(g, *, lr=1.0):  # type: ignore[no-untyped-def]
        return where(comparison(g, lr), g, -g)

    recipe = ravine.recipe(choosy)
    x, g = np.zeros(3), np.array([0.5, 1.0, 2.0])
    plain, _ = recipe.update(g, recipe.init(x), x)
    np.testing.assert_array_equal(plain, np.where(comparison(g, 1.0), g, -g))
    recipe.update_(g, recipe.init(x), x)
    np.testing.assert_array_equal(x, plain)
