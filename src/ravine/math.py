"""The functions an equation may use.

Each works on Python numbers, on NumPy, torch and JAX arrays, and on the tracers of `ravine.trace`, so that one
function is at once the reference implementation and the source of every engine.
Python numbers stay Python floats: an expression of hyperparameters is float64 until it meets an array.

A parameter is a matrix of r rows and c columns: a vector is n × 1, a number 1 × 1, an array of more dimensions has its
first as rows (or as the rule's `view` says). Of an array the functions below mean the last two dimensions, so a stack
of matrices is worked on one by one. Reductions keep both dimensions, so that what they give broadcasts: over the rows
(axis 0) to 1 × c, over the columns (axis 1) to r × 1, over all (None) to 1 × 1.
"""

from __future__ import annotations

from ravine.libraries import Value, library

__all__ = [
    "abs",
    "cbrt",
    "columns",
    "debias",
    "debias_root",
    "ema",
    "ema_square",
    "lerp",
    "matmul",
    "maximum",
    "mean",
    "minimum",
    "newton_schulz",
    "norm",
    "orthogonalize",
    "power",
    "rms",
    "rows",
    "sign",
    "sqrt",
    "total",
    "transpose",
    "variance",
    "where",
]


def sqrt(a: Value) -> Value:
    """Square root, correctly rounded; NaN below zero, also for Python numbers."""
    return library(a).sqrt(a)


def cbrt(a: Value) -> Value:
    """Cube root, to within 0.75 of a unit in the last place, of − and of denormals too."""
    using = library(a)
    return using.composite("cbrt", a) if hasattr(using, "composite") else cbrt_steps(a)


def cbrt_steps(a: Value) -> Value:
    """What `cbrt` computes: from + − × ÷ and `rough_inverse_cbrt`, so that every engine gets the same bits.

    With h = 1 − r·y³ the inverse cube root is y·(1 − h)^(−⅓), of whose series the terms up to h² are taken, twice: the
    first time leaves 2e-4 of an error, the second 4e-11. One of Newton's steps for the root itself does the rest.
    """
    size = abs(a)
    is_usual = size * 0.5 < size  # 0, infinity and NaN are their own cube roots
    r = where(is_usual, size, 1)
    is_small = r < 2.0**-100
    r = where(is_small, where(is_small, r, 1) * 2.0**60, r)  # the bits of a denormal are no logarithm
    y = rough_inverse_cbrt(r)
    for _ in range(2):
        h = 1 - r * y * y * y
        y = y + y * h * (1 / 3 + 2 / 9 * h)
    f = r * y * y
    f = f + (r / (f * f) - f) * (1 / 3)
    f = where(is_usual, where(is_small, f * 2.0**-20, f), size)
    return where(a < 0, -f, f)


def rough_inverse_cbrt(a: Value) -> Value:
    """1/∛a to within 4 %, the same bits everywhere, of a normal number above zero.

    A number's bits, read as a whole number, are about its logarithm: the exponent stands above the fraction. So a third
    of them is taken from a constant.
    """
    return library(a).rough_inverse_cbrt(a)


def abs(a: Value) -> Value:
    """Absolute value."""
    return library(a).abs(a)


def sign(a: Value) -> Value:
    """−1, 0 or 1; NaN for NaN; +0 for both zeros."""
    return library(a).sign(a)


def maximum(a: Value, b: Value) -> Value:
    """The larger of two values, elementwise; NaN if either is NaN."""
    return library(a, b).maximum(a, b)


def minimum(a: Value, b: Value) -> Value:
    """The smaller of two values, elementwise; NaN if either is NaN."""
    return library(a, b).minimum(a, b)


def where(condition: Value, a: Value, b: Value) -> Value:
    """`a` where the condition holds, else `b`: the only way for an equation to choose."""
    return library(condition, a, b).where(condition, a, b)


def power(base: Value, exponent: Value) -> Value:
    """`base ** exponent`, for coefficients such as βᵗ.

    From + − × ÷ alone, so that every engine and language gets the same bits (their `pow`s differ in the last one). A
    whole exponent is done by repeated squaring, with a relative error of at most `exponent` × 2⁻⁵³; any other one by
    logarithm and exponential, `ravine.powers`, with at most (1 + |exponent| / 32) × 2⁻⁵³.
    """
    return library(base, exponent).power(base, exponent)


def ema(old: Value, new: Value, beta: Value) -> Value:
    """One update of an exponential moving average: β·old + (1−β)·new."""
    return beta * old + (1 - beta) * new


def ema_square(old: Value, new: Value, beta: Value) -> Value:
    """One update of an exponential moving average of squares: β·old + (1−β)·new².

    Weighted before it is squared, so that it overflows only where the average itself does: in float32, with β = 0.999,
    beyond |new| = 5.8e20, where new² alone is infinite from 1.8e19 on. An infinite average never comes back.
    """
    return beta * old + (1 - beta) * new * new


def lerp(old: Value, new: Value, weight: Value) -> Value:
    """`old` moved towards `new`: old + weight·(new − old).

    With weight 1−β it is `ema` by another rounding: under a constant `new` it ends closer to it.
    """
    return old + weight * (new - old)


def variance(mean_square: Value, mean: Value) -> Value:
    """The mean of squares less the square of the mean, but zero where rounding takes the difference below zero."""
    return maximum(mean_square - mean * mean, 0)


def debias(average: Value, beta: Value, t: Value) -> Value:
    """Undo an `ema`'s start at zero after t updates: average / (1 − βᵗ)."""
    return average / (1 - power(beta, t))


def debias_root(average: Value, beta: Value, t: Value) -> Value:
    """The root of a debiased `ema_square`, as √average / √(1 − βᵗ): finite wherever the average is."""
    return sqrt(average) / sqrt(1 - power(beta, t))


def total(a: Value, axis: int | None = None) -> Value:
    """The sum over the rows (axis 0), the columns (1) or all (None), in the order that `ravine.sums` defines."""
    return library(a).reduce("total", a, axis)


def mean(a: Value, axis: int | None = None) -> Value:
    """The mean over the rows (axis 0), the columns (1) or all (None), added in float64 and rounded once."""
    return library(a).reduce("mean", a, axis)


def norm(a: Value, axis: int | None = None) -> Value:
    """The root of the sum of squares: of each column (axis 0), of each row (1), or Frobenius's (None)."""
    return library(a).reduce("norm", a, axis)


def rms(a: Value, axis: int | None = None) -> Value:
    """The root of the mean of squares, over the rows (axis 0), the columns (1) or all (None)."""
    return library(a).reduce("rms", a, axis)


def matmul(a: Value, b: Value) -> Value:
    """The product of two matrices, by the array library."""
    return library(a, b).matmul(a, b)


def transpose(a: Value) -> Value:
    """Rows for columns."""
    return library(a).transpose(a)


def rows(a: Value) -> Value:
    """The number of rows, a coefficient."""
    return library(a).size(a, 0)


def columns(a: Value) -> Value:
    """The number of columns, a coefficient."""
    return library(a).size(a, 1)


def newton_schulz_step(x: Value, a: Value, b: Value, c: Value) -> Value:
    """One step of the quintic iteration that takes every singular value σ to aσ + bσ³ + cσ⁵."""
    gram = matmul(x, transpose(x))
    return a * x + matmul(b * gram + c * matmul(gram, gram), x)


def newton_schulz(x: Value, a: Value, b: Value, c: Value, steps: Value) -> Value:
    """So many Newton–Schulz steps on the smaller side of x, whose singular values must be at most about 1."""
    using = library(x)
    if hasattr(using, "composite"):
        return using.composite("newton_schulz", x, a, b, c, steps)
    is_tall = using.size(x, 0) > using.size(x, 1)
    found = using.repeat(lambda y: newton_schulz_step(y, a, b, c), steps, transpose(x) if is_tall else x)
    return transpose(found) if is_tall else found


def orthogonalize(
    m: Value, a: Value = 3.4445, b: Value = -4.775, c: Value = 2.0315, steps: Value = 5, eps: Value = 1e-7
) -> Value:
    """About the nearest matrix with orthonormal rows (or columns): `newton_schulz` of m / (‖m‖ + ε).

    Its singular values are near 1, between 0.7 and 1.2 with the default coefficients, which are Jordan's (2024).
    """
    return newton_schulz(m / (norm(m) + eps), a, b, c, steps)
