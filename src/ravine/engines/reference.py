"""The judge: the rule itself, called on arrays of NumPy (or torch, or JAX) in the compute type."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from ravine.rule import Rule


def is_torch(x: Any) -> bool:
    """Whether x is a torch tensor, found out without importing torch."""
    return any(kind.__module__.partition(".")[0] == "torch" for kind in type(x).__mro__)


def compute_type(x: Any) -> str:
    """Arithmetic on an array is done in float64 for float64, in float32 for every narrower floating type."""
    return "float64" if str(x.dtype).endswith("float64") else "float32"


def convert(x: Any, dtype: Any) -> Any:
    """x in another type, named or given as a dtype of its library; x itself where nothing changes."""
    if is_torch(x):
        import torch

        return x.to(getattr(torch, dtype) if isinstance(dtype, str) else dtype)
    return x.astype(dtype, copy=False) if isinstance(x, (np.ndarray, np.generic)) else x.astype(dtype)


def filled(x: Any, value: float) -> Any:
    """An array like x that holds one value."""
    if isinstance(x, np.ndarray):
        return np.full_like(x, value)
    library = importlib.import_module("torch" if is_torch(x) else "jax.numpy")
    return library.full_like(x, value)


def step(
    rule: Rule, x: Any, g: Any, slots: Mapping[str, Any], t: int, hyper: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """One update: (new x, new slots). Nothing given is changed.

    Arrays of one shape; x and g of one floating type, each slot of any. Results are rounded once, to the types given.
    """
    compute = compute_type(x)
    inputs = {n: s if rule.slots[n].is_scalar else _read_only(convert(s, compute)) for n, s in slots.items()}
    wide, gradient = _read_only(convert(x, compute)), _read_only(convert(g, compute))
    given = (wide, gradient, *inputs.values())
    with np.errstate(all="ignore"):  # overflow is an honest infinity, as in every other engine
        delta, *new = rule.apply(wide, gradient, tuple(inputs.values()), t, hyper)
        result = _array(convert(wide + delta, x.dtype))
        stored = {
            n: value if rule.slots[n].is_scalar else _array(convert(_own(value, given), slots[n].dtype))
            for n, value in zip(slots, new, strict=True)
        }
    return result, stored


def _array(result: Any) -> Any:
    """An array without dimensions, where NumPy's arithmetic has made a number of one."""
    return np.asarray(result) if isinstance(result, np.generic) else result


def _own(value: Any, given: tuple[Any, ...]) -> Any:
    """A copy of what an equation returned as it was given, such as the gradient: the caller may reuse that memory."""
    if not any(value is array for array in given):
        return value
    return value.clone() if is_torch(value) else value.copy()


def _read_only(array: Any) -> Any:
    """A view that an equation can't change in place, where the library has such a thing."""
    if not isinstance(array, np.ndarray):
        return array
    view = array.view()
    view.flags.writeable = False
    return cast("Any", view)
