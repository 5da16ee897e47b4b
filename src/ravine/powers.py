"""base ** exponent for any exponent, from + − × ÷ and whole numbers alone.

The `pow`s of C libraries, graphics cards and browsers differ in the last bit. This one is a list of operations that are
correctly rounded everywhere, so whoever carries it out gets the same bits: Python here, a GPU and JavaScript from the
same list. Its relative error is at most (1 + |exponent| / 32) · 2⁻⁵³.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
"""log 2 in two parts; the first has so few bits that an exponent times it is exact (as in fdlibm)."""

SPLIT = 134217729.0
"""2²⁷ + 1: Dekker's number for cutting a double in two."""

SMALLEST, LARGEST = -1020.0, 1023.0
"""Powers of two that the result's may be; below them it is 0 (a decay that small is none), above them infinite."""


@dataclass(frozen=True)
class Step:
    """One operation: its name, the numbers of the steps it works on, and a constant's value."""

    op: str
    args: tuple[int, ...] = ()
    value: float = 0.0


@dataclass
class Steps:
    """A list of operations; the arithmetic of its entries adds to it."""

    steps: list[Step] = field(default_factory=list)

    def do(self, op: str, *args: Entry | float, value: float = 0.0) -> Entry:
        numbers = tuple((a if isinstance(a, Entry) else self.do("const", value=a)).number for a in args)
        self.steps.append(Step(op, numbers, value))
        return Entry(self, len(self.steps) - 1)


@dataclass(frozen=True)
class Entry:
    """The result of one step."""

    steps: Steps
    number: int

    def __add__(self, other: Entry | float) -> Entry:
        return self.steps.do("add", self, other)

    def __sub__(self, other: Entry | float) -> Entry:
        return self.steps.do("sub", self, other)

    def __mul__(self, other: Entry | float) -> Entry:
        return self.steps.do("mul", self, other)

    def __truediv__(self, other: Entry | float) -> Entry:
        return self.steps.do("div", self, other)


def _sum(a: Entry, b: Entry) -> tuple[Entry, Entry]:
    """a + b as a double and what rounding lost (Knuth)."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def _product(a: Entry, b: Entry) -> tuple[Entry, Entry]:
    """a · b as a double and what rounding lost (Dekker)."""

    def halves(v: Entry) -> tuple[Entry, Entry]:
        wide = v * SPLIT
        high = wide - (wide - v)
        return high, v - high

    product = a * b
    (a_high, a_low), (b_high, b_low) = halves(a), halves(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _steps() -> tuple[Step, ...]:
    """The operations for a finite base > 0. The last step is the result.

    "characteristic" and "mantissa" take x apart as m · 2ᵉ with √½ ≤ m < √2, where √½ is the double next to it; "scale"
    is v · 2ᵏ for a whole k; "clamp" keeps a number within ±2000, and NaN NaN.
    """
    steps = Steps()
    base, exponent = steps.do("base"), steps.do("exponent")
    e, m = steps.do("characteristic", base), steps.do("mantissa", base)
    # log m = 2 artanh(s), s = (m − 1) / (m + 1), by its series, in two doubles
    f = m - 1.0
    d = f + 2.0
    d_low = f - (d - 2.0)
    s = f / d
    product, lost = _product(s, d)
    s_low = (((f - product) - lost) - s * d_low) / d
    z = s * s
    series = steps.do("const", value=1 / 23)
    for n in range(21, 1, -2):
        series = series * z + 1 / n
    high, lost = _sum(e * LN2_HIGH, s * 2.0)
    low = lost + ((s_low + s * z * series) * 2.0 + e * LN2_LOW)
    high, low = _sum(high, low)
    # times the exponent, less a whole number k of log 2
    product, lost = _product(exponent, high)
    lost = lost + exponent * low
    k = steps.do("floor", steps.do("clamp", product * 1.4426950408889634) + 0.5)
    r, r_low = _sum(product - k * LN2_HIGH, lost - k * LN2_LOW)
    # eʳ by its series
    series = steps.do("const", value=1 / math.factorial(17))
    for n in range(16, 1, -1):
        series = series * r + 1 / math.factorial(n)
    one = steps.do("const", value=1.0)
    high, low = _sum(one, r)
    steps.do("scale", high + (low + (series * r * r + r_low + r_low * r)), k)
    return tuple(steps.steps)


STEPS = _steps()

INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


def lines(declare: str = "", end: str = "") -> list[str]:
    """The steps as text that Python and JavaScript both read, a line each; `declare` and `end` are put around it.

    It reads `base` and `exponent`, calls functions by the steps' names, and leaves the result in `result`.
    """
    names: list[str] = []
    text: list[str] = []
    for number, step in enumerate(STEPS):
        args = [names[a] for a in step.args]
        name = "result" if number == len(STEPS) - 1 else f"v{number}"
        match step.op:
            case "base" | "exponent":
                names.append(step.op)
                continue
            case "const":
                names.append(repr(step.value))
                continue
            case "add" | "sub" | "mul" | "div":
                value = f"{args[0]} {INFIX[step.op]} {args[1]}"
            case function:
                value = f"{function}({', '.join(args)})"
        names.append(name)
        text.append(f"{declare}{name} = {value}{end}")
    return text


def power(base: float, exponent: float) -> float:
    """`base ** exponent`; NaN for a base below zero."""
    if 0.0 < base < math.inf:
        return _inner(base, exponent)
    if base == 0.0 or base == math.inf:
        return math.inf if (base > 0.0) == (exponent > 0.0) else 0.0
    return math.nan


_MIDDLE = math.sqrt(0.5)


def _characteristic(x: float) -> float:
    m, e = math.frexp(x)
    return float(e if m >= _MIDDLE else e - 1)


def _mantissa(x: float) -> float:
    m, _ = math.frexp(x)
    return m if m >= _MIDDLE else 2.0 * m


def _clamp(v: float) -> float:
    return -2000.0 if v < -2000.0 else 2000.0 if v > 2000.0 else v


def _floor(v: float) -> float:
    return float(math.floor(v)) if v == v else v


def _scale(v: float, k: float) -> float:
    if k < SMALLEST:
        return 0.0
    return math.ldexp(v, int(k)) if k <= LARGEST else math.inf if k > LARGEST else math.nan


def _compiled() -> Callable[[float, float], float]:
    """The steps as one Python function: it runs in every step of some optimizers."""
    helpers = (_characteristic, _mantissa, _clamp, _floor, _scale)
    namespace: dict[str, Any] = {function.__name__[1:]: function for function in helpers}
    body = "\n    ".join(["def power(base, exponent):", *lines(), "return result"])
    exec(compile(body, "<power>", "exec"), namespace)
    function: Callable[[float, float], float] = namespace["power"]
    return function


_inner = _compiled()
