"""What each array library supplies to the functions of `ravine.math`: NumPy, torch, JAX, and Python's numbers."""

from __future__ import annotations

import builtins
import importlib
import math
import struct
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

from ravine import powers, sums

Value = Any
"""A Python number, an array of any library, or a tracer: they share no useful static type."""


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


INVERSE_CBRT = {4: 0x54A21D2A, 8: 0x553EF0FF}
"""What `rough_inverse_cbrt` takes a third of a number's bits from, by the number's bytes; of 8 the upper four count.

4/3 of the bits of 1, less what makes the largest error least."""


def inverse_cbrt_bits(bits: Value, size: int) -> Value:
    """The bits of about the inverse cube root, from those of a number of so many bytes; both are signed integers."""
    return INVERSE_CBRT[4] - bits // 3 if size == 4 else (INVERSE_CBRT[8] - (bits >> 32) // 3) << 32


class Library(Protocol):
    """What an array library (or the tracer) supplies to the functions above."""

    def sqrt(self, a: Value) -> Value: ...
    def rough_inverse_cbrt(self, a: Value) -> Value: ...
    def abs(self, a: Value) -> Value: ...
    def sign(self, a: Value) -> Value: ...
    def maximum(self, a: Value, b: Value) -> Value: ...
    def minimum(self, a: Value, b: Value) -> Value: ...
    def where(self, condition: Value, a: Value, b: Value) -> Value: ...
    def power(self, base: Value, exponent: Value) -> Value: ...
    def reduce(self, kind: str, a: Value, axis: int | None) -> Value: ...
    def matmul(self, a: Value, b: Value) -> Value: ...
    def transpose(self, a: Value) -> Value: ...
    def size(self, a: Value, axis: int) -> Value: ...
    def repeat(self, function: Callable[[Value], Value], times: Value, start: Value) -> Value: ...


class _Arrays:
    """What all array libraries have alike: the last two dimensions are a matrix's rows and columns."""

    power = staticmethod(plain_power)

    def matmul(self, a: Value, b: Value) -> Value:
        return matrix(a) @ matrix(b)

    def transpose(self, a: Value) -> Value:
        return matrix(a).swapaxes(-1, -2)

    def size(self, a: Value, axis: int) -> Value:
        return float(matrix(a).shape[axis - 2])

    def repeat(self, function: Callable[[Value], Value], times: Value, start: Value) -> Value:
        for _ in range(int(times)):
            start = function(start)
        return start


def matrix(a: Value) -> Value:
    """An array that has rows and columns. Raises ValueError for another."""
    if a.ndim < 2:
        raise ValueError(
            f"an array of shape {tuple(a.shape)} has no rows and columns: give a rule matrices, a vector as (n, 1)"
        )
    return a


class _Numbers:
    """Python numbers, with IEEE's answers where Python's own functions would raise; one is a matrix of 1 × 1."""

    power = staticmethod(plain_power)
    abs = staticmethod(builtins.abs)

    def sqrt(self, a: float) -> float:
        return math.sqrt(a) if a >= 0 else math.nan

    def rough_inverse_cbrt(self, a: float) -> float:
        (bits,) = struct.unpack("<q", struct.pack("<d", a))
        (found,) = struct.unpack("<d", struct.pack("<q", inverse_cbrt_bits(bits, 8)))
        return float(found)

    def sign(self, a: float) -> float:
        return 1.0 if a > 0 else -1.0 if a < 0 else 0.0 if a == 0 else a

    def maximum(self, a: float, b: float) -> float:
        return a if a > b or a != a else b

    def minimum(self, a: float, b: float) -> float:
        return a if a < b or a != a else b

    def where(self, condition: bool, a: Value, b: Value) -> Value:
        return a if condition else b

    def reduce(self, kind: str, a: float, axis: int | None) -> float:
        return builtins.abs(a) if kind in ("norm", "rms") else a

    def matmul(self, a: float, b: float) -> float:
        return a * b

    def transpose(self, a: float) -> float:
        return a

    def size(self, a: float, axis: int) -> float:
        return 1.0

    repeat = _Arrays.repeat


class _NumpyLike(_Arrays):
    """NumPy, and JAX's module of the same interface."""

    def __init__(self, module: Any) -> None:
        self.sqrt, self.abs = module.sqrt, module.abs
        self.maximum, self.minimum = module.maximum, module.minimum
        self._where, self._sign = module.where, module.sign

    def rough_inverse_cbrt(self, a: Value) -> Value:
        size = a.dtype.itemsize
        return inverse_cbrt_bits(a.view(f"int{8 * size}"), size).view(a.dtype)

    def sign(self, a: Value) -> Value:
        return self._sign(a) + 0.0  # JAX keeps the sign of −0

    def where(self, condition: Value, a: Value, b: Value) -> Value:
        # A Python condition picks a branch at once: nothing is broadcast, and the other branch costs nothing.
        return (a if condition else b) if isinstance(condition, bool) else self._where(condition, a, b)

    def reduce(self, kind: str, a: Value, axis: int | None) -> Value:
        found = sums.reduce(kind, matrix(a).astype("float64"), axis, sums.with_numpy, self.sqrt)
        return found.astype(a.dtype)


class _Jax(_NumpyLike):
    """XLA chooses the order of a sum itself; it is taken in float64, so that seldom shows in a float32 result."""

    def __init__(self, jax: Any) -> None:
        super().__init__(importlib.import_module("jax.numpy"))
        self.jax = jax

    def matmul(self, a: Value, b: Value) -> Value:
        return self.jax.numpy.matmul(matrix(a), matrix(b), precision="highest")

    def reduce(self, kind: str, a: Value, axis: int | None) -> Value:
        with self.jax.enable_x64(True):
            wide = matrix(a).astype("float64")
            return sums.reduce(kind, wide, axis, lambda flat: flat.sum(-1), self.sqrt).astype(a.dtype)

    def repeat(self, function: Callable[[Value], Value], times: Value, start: Value) -> Value:
        if isinstance(times, (int, float)):
            return super().repeat(function, times, start)
        return self.jax.lax.fori_loop(0, times.astype("int32"), lambda _, value: function(value), start)


class _Torch(_Arrays):
    def __init__(self, torch: Any) -> None:
        self.torch, self.abs = torch, torch.abs
        self.numpy = importlib.import_module("numpy")
        self.is_watched = importlib.import_module("ravine.watched").is_watched

    def sqrt(self, a: Value) -> Value:
        """NumPy's root, in place of torch's, where it can be had: torch's CPU root (MKL) is off by an ulp at times.

        torch's it is where autograd, a mode or a transform must see it, on another device and in a subclass of tensors.
        """
        if not self._is_plain(a):
            return self.torch.sqrt(a)
        with self.numpy.errstate(invalid="ignore"):
            return self.torch.as_tensor(self.numpy.sqrt(a.numpy()))

    def _is_plain(self, a: Value) -> bool:
        """Whether NumPy may do what torch is asked for: nothing watches, and the numbers lie where NumPy finds them."""
        return (
            type(a) is self.torch.Tensor
            and a.device.type == "cpu"
            and a.layout is self.torch.strided
            and not a.requires_grad
            and a.dtype.itemsize >= 4
            and not self.torch._C._functorch.is_functorch_wrapped_tensor(a)
            and not self.is_watched()
        )

    def rough_inverse_cbrt(self, a: Value) -> Value:
        size = a.dtype.itemsize
        bits = a.detach().view(self.torch.int32 if size == 4 else self.torch.int64)
        return inverse_cbrt_bits(bits, size).view(a.dtype)

    def reduce(self, kind: str, a: Value, axis: int | None) -> Value:
        if self._is_plain(a):
            with self.numpy.errstate(all="ignore"):
                wide = matrix(a).numpy().astype("float64")
                found = sums.reduce(kind, wide, axis, sums.with_numpy, self.numpy.sqrt)
            return self.torch.from_numpy(found).to(a.dtype)

        def add(flat: Value) -> Value:
            return sums.with_operators(flat, flat.new_zeros, lambda parts: self.torch.cat(parts, -1))

        return sums.reduce(kind, matrix(a).double(), axis, add, self.torch.sqrt).to(a.dtype)

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
        return _Jax(importlib.import_module("jax"))
    return _NumpyLike(importlib.import_module("numpy"))


def library(*operands: Value) -> Library:
    for operand in operands:
        if not isinstance(operand, (int, float)):
            kind: Any = type(operand)
            return _library_of(kind)
    return _NUMBERS
