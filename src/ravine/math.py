"""The functions an equation may use.

Each works on Python numbers, on NumPy, torch and JAX arrays, and on the tracers of `ravine.trace`, so that one
function is at once the reference implementation and the source of every engine.
Python numbers stay Python floats: an expression of hyperparameters is float64 until it meets an array.
"""

from __future__ import annotations

import builtins
import importlib
import math
from functools import cache
from typing import Any, Protocol

from ravine import powers

__all__ = [
    "abs",
    "debias",
    "debias_root",
    "ema",
    "ema_square",
    "lerp",
    "maximum",
    "minimum",
    "power",
    "sign",
    "sqrt",
    "variance",
    "where",
]

Value = Any
"""A Python number, an array of any library, or a tracer: they share no useful static type."""


def sqrt(a: Value) -> Value:
    """Square root, correctly rounded; NaN below zero, also for Python numbers."""
    return _library(a).sqrt(a)


def abs(a: Value) -> Value:
    """Absolute value."""
    return _library(a).abs(a)


def sign(a: Value) -> Value:
    """−1, 0 or 1; NaN for NaN; +0 for both zeros."""
    return _library(a).sign(a)


def maximum(a: Value, b: Value) -> Value:
    """The larger of two values, elementwise; NaN if either is NaN."""
    return _library(a, b).maximum(a, b)


def minimum(a: Value, b: Value) -> Value:
    """The smaller of two values, elementwise; NaN if either is NaN."""
    return _library(a, b).minimum(a, b)


def where(condition: Value, a: Value, b: Value) -> Value:
    """`a` where the condition holds, else `b`: the only way for an equation to choose."""
    return _library(condition, a, b).where(condition, a, b)


def power(base: Value, exponent: Value) -> Value:
    """`base ** exponent`, for coefficients such as βᵗ.

    From + − × ÷ alone, so that every engine and language gets the same bits (their `pow`s differ in the last one). A
    whole exponent is done by repeated squaring, with a relative error of at most `exponent` × 2⁻⁵³; any other one by
    logarithm and exponential, `ravine.powers`, with at most (1 + |exponent| / 32) × 2⁻⁵³.
    """
    return _library(base, exponent).power(base, exponent)


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


def plain_power(base: Value, exponent: Value) -> Value:
    """`power` for everything that is not a tracer."""
    if not (isinstance(exponent, (int, float)) and exponent >= 0 and float(exponent).is_integer()):
        are_numbers = isinstance(base, (int, float)) and isinstance(exponent, (int, float))
        return powers.power(base, exponent) if are_numbers else base**exponent
    n, result = int(exponent), 1.0
    while n:
        if n & 1:
            result = result * base
        base = base * base
        n >>= 1
    return result


class Library(Protocol):
    """What an array library (or the tracer) supplies to the functions above."""

    def sqrt(self, a: Value) -> Value: ...
    def abs(self, a: Value) -> Value: ...
    def sign(self, a: Value) -> Value: ...
    def maximum(self, a: Value, b: Value) -> Value: ...
    def minimum(self, a: Value, b: Value) -> Value: ...
    def where(self, condition: Value, a: Value, b: Value) -> Value: ...
    def power(self, base: Value, exponent: Value) -> Value: ...


class _Numbers:
    """Python numbers, with IEEE's answers where Python's own functions would raise."""

    power = staticmethod(plain_power)
    abs = staticmethod(builtins.abs)

    def sqrt(self, a: float) -> float:
        return math.sqrt(a) if a >= 0 else math.nan

    def sign(self, a: float) -> float:
        return 1.0 if a > 0 else -1.0 if a < 0 else 0.0 if a == 0 else a

    def maximum(self, a: float, b: float) -> float:
        return a if a > b or a != a else b

    def minimum(self, a: float, b: float) -> float:
        return a if a < b or a != a else b

    def where(self, condition: bool, a: Value, b: Value) -> Value:
        return a if condition else b


class _NumpyLike:
    """NumPy, and JAX's module of the same interface."""

    power = staticmethod(plain_power)

    def __init__(self, module: Any) -> None:
        self.sqrt, self.abs = module.sqrt, module.abs
        self.maximum, self.minimum = module.maximum, module.minimum
        self._where, self._sign = module.where, module.sign

    def sign(self, a: Value) -> Value:
        return self._sign(a) + 0.0  # JAX keeps the sign of −0

    def where(self, condition: Value, a: Value, b: Value) -> Value:
        # A Python condition picks a branch at once: nothing is broadcast, and the other branch costs nothing.
        return (a if condition else b) if isinstance(condition, bool) else self._where(condition, a, b)


class _Torch:
    power = staticmethod(plain_power)

    def __init__(self, torch: Any) -> None:
        self.torch, self.abs = torch, torch.abs
        self.numpy = importlib.import_module("numpy")
        self.is_watched = importlib.import_module("ravine.watched").is_watched

    def sqrt(self, a: Value) -> Value:
        """NumPy's root, in place of torch's, where it can be had: torch's CPU root (MKL) is off by an ulp at times.

        torch's it is where autograd, a mode or a transform must see it, on another device and in a subclass of tensors.
        """
        plain = type(a) is self.torch.Tensor and a.device.type == "cpu" and a.layout is self.torch.strided
        if (
            not plain
            or a.requires_grad
            or a.dtype.itemsize < 4
            or self.torch._C._functorch.is_functorch_wrapped_tensor(a)
            or self.is_watched()
        ):
            return self.torch.sqrt(a)
        with self.numpy.errstate(invalid="ignore"):
            return self.torch.as_tensor(self.numpy.sqrt(a.numpy()))

    def sign(self, a: Value) -> Value:
        return self.torch.where(a != a, a, self.torch.sign(a))  # torch's sign of NaN is 0

    def maximum(self, a: Value, b: Value) -> Value:
        if isinstance(b, (int, float)):
            return self.torch.clamp(a, min=b)
        return self.torch.clamp(b, min=a) if isinstance(a, (int, float)) else self.torch.maximum(a, b)

    def minimum(self, a: Value, b: Value) -> Value:
        if isinstance(b, (int, float)):
            return self.torch.clamp(a, max=b)
        return self.torch.clamp(b, max=a) if isinstance(a, (int, float)) else self.torch.minimum(a, b)

    def where(self, condition: Value, a: Value, b: Value) -> Value:
        return (a if condition else b) if isinstance(condition, bool) else self.torch.where(condition, a, b)


_NUMBERS = _Numbers()


@cache
def _library_of(kind: Any) -> Library:
    own: Library | None = getattr(kind, "__ravine_math__", None)
    if own is not None:
        return own
    root = kind.__module__.partition(".")[0]
    if root == "torch" or any(base.__module__.partition(".")[0] == "torch" for base in kind.__mro__):
        return _Torch(importlib.import_module("torch"))
    if root in ("jax", "jaxlib"):
        return _NumpyLike(importlib.import_module("jax.numpy"))
    return _NumpyLike(importlib.import_module("numpy"))


def _library(*operands: Value) -> Library:
    for operand in operands:
        if not isinstance(operand, (int, float)):
            kind: Any = type(operand)
            return _library_of(kind)
    return _NUMBERS
