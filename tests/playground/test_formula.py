"""The page's maths parser: values and derivatives against Python's, and what it says about wrong formulas."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from ravine.playground.bundle import bundle

SIN, COS = math.sin, math.cos
GOOD = {
    "x": lambda x, y: (x, 1, 0),
    "2x + 3 y": lambda x, y: (2 * x + 3 * y, 2, 3),
    "-x^2": lambda x, y: (-(x**2), -2 * x, 0),
    "2^-x": lambda x, y: (2**-x, -math.log(2) * 2**-x, 0),
    "x^3^2": lambda x, y: (x**9, 9 * x**8, 0),
    "x y": lambda x, y: (x * y, y, x),
    "x/y/2": lambda x, y: (x / y / 2, 1 / y / 2, -x / y**2 / 2),
    "1 - x - y": lambda x, y: (1 - x - y, -1, -1),
    "(x+1)(y−1)": lambda x, y: ((x + 1) * (y - 1), y - 1, x + 1),
    "3²x² + y³": lambda x, y: (9 * x**2 + y**3, 18 * x, 3 * y**2),
    "sin(x)cos(y)": lambda x, y: (SIN(x) * COS(y), COS(x) * COS(y), -SIN(x) * SIN(y)),
    "exp(x*y) + 1e-2": lambda x, y: (math.exp(x * y) + 0.01, y * math.exp(x * y), x * math.exp(x * y)),
    "ln(x) + log(y)": lambda x, y: (math.log(x) + math.log(y), 1 / x, 1 / y),
    "√(x**2 + y**2)": lambda x, y: (math.hypot(x, y), x / math.hypot(x, y), y / math.hypot(x, y)),
    "max(x, y) + min(x, 2y)": lambda x, y: (
        max(x, y) + min(x, 2 * y),
        (x >= y) + (x <= 2 * y),
        (x < y) + 2 * (x > 2 * y),
    ),
    "abs(x - y)": lambda x, y: (abs(x - y), math.copysign(1, x - y), -math.copysign(1, x - y)),
    "sign(x) y": lambda x, y: (y, 0, 1),
    "tan(x) + atan(y)": lambda x, y: (math.tan(x) + math.atan(y), 1 + math.tan(x) ** 2, 1 / (1 + y * y)),
    "sinh(x) + cosh(y)": lambda x, y: (math.sinh(x) + math.cosh(y), math.cosh(x), math.sinh(y)),
    "tanh(x y)": lambda x, y: (
        math.tanh(x * y),
        y * (1 - math.tanh(x * y) ** 2),
        x * (1 - math.tanh(x * y) ** 2),
    ),
    "x^y": lambda x, y: (x**y, y * x ** (y - 1), x**y * math.log(x)),
    "π·x + e": lambda x, y: (math.pi * x + math.e, math.pi, 0),
}
POINTS = [(0.75, 1.5), (2.25, 0.5), (1.0, 3.0)]

BAD = {  # formula: (position of the first wrong character, what the message says)
    "": (0, "ends"),
    "   ": (3, "ends"),
    "x +": (3, "ends"),
    "x + * y": (4, "expected a number"),
    "(x + y": (0, "never closed"),
    "x + y)": (5, "expected an operator, not “)”"),
    "sin x": (0, "sin needs brackets"),
    "x + foo(y)": (4, "“foo” is not known"),
    "x * sinn(y)": (4, "did you mean sin"),
    "xy + 1": (0, "x*y"),
    "max(x)": (0, "two values"),
    "sin(x, y)": (0, "one value"),
    "3": (0, "depends on x"),
    "y": (0, "in one dimension use x"),
    "x = 2": (2, "“=” has no meaning"),
    "x; alert(1)": (1, "“;” has no meaning"),
    "<img src=x onerror=alert(1)>": (0, "“<” has no meaning"),
    "constructor": (0, "“constructor” is not known"),
    "__proto__(x)": (0, "“__proto__” is not known"),
    "toString(x)": (0, "“toString” is not known"),
    "x[0]": (1, "“[” has no meaning"),
    "x + 🙂": (4, "“🙂” has no meaning"),
    "1..2 x": (2, "expected an operator, not"),
    "x" + "+x" * 200: (300, "300 characters"),
}


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    file: Path = tmp_path_factory.mktemp("formula") / "page.html"
    script = bundle("formula.js") + "window.parse = (text) => formulaSurface(text);"
    file.write_text(f"<!doctype html><meta charset=utf-8><script>{script}</script>", encoding="utf-8")
    browser.get(file.as_uri())
    return browser


@pytest.mark.parametrize("formula", GOOD)
def test_value_and_gradient(page: Any, formula: str) -> None:
    found = page.execute_script(
        """const s = parse(arguments[0]);
        return arguments[1].map((p) => { const g = [0, 0]; s.gradient(p, g); return [s.value(p), ...g]; });""",
        formula,
        POINTS,
    )
    for point, got in zip(POINTS, found, strict=True):
        assert got == pytest.approx(GOOD[formula](*point), rel=1e-13, abs=1e-13), (formula, point)


def test_a_formula_without_y_has_one_dimension(page: Any) -> None:
    assert page.execute_script("return ['max(x, -0.1x)', 'x + 0 y'].map((f) => parse(f).dimensions)") == [1, 2]


def test_derivatives_are_finite_where_the_function_is_smooth(page: Any) -> None:
    found = page.execute_script(
        "return ['x^2', '(x*x)^1', '2^(x*x)', 'abs(x)'].map((f) => "
        "{ const g = [0, 0]; parse(f).gradient([0, 0], g); return g[0]; })"
    )
    assert found == [0, 0, 0, 0]


@pytest.mark.parametrize("formula", BAD)
def test_a_wrong_formula_says_where_and_why(page: Any, formula: str) -> None:
    start, end, message, name = page.execute_script(
        "try { parse(arguments[0]); } catch (e) { return [e.start, e.end, e.message, e.constructor.name]; }", formula
    )
    position, words = BAD[formula]
    assert name == "FormulaError"
    assert (start, end > start) == (position, True), message
    assert words in message
