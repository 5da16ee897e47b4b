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


def filled(x: Any, value: float, shape: tuple[int, ...]) -> Any:
    """An array like x that holds one value, of x's shape or of another."""
    library = np if isinstance(x, np.ndarray) else importlib.import_module("torch" if is_torch(x) else "jax.numpy")
    if tuple(x.shape) == shape:
        return library.full_like(x, value)
    return library.full(shape, value, dtype=x.dtype, **({"device": x.device} if is_torch(x) else {}))


def step(
    rule: Rule, x: Any, g: Any, slots: Mapping[str, Any], t: int, hyper: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """One update: (new x, new slots). Nothing given is changed.

    x and g of one shape and one floating type; each array slot of any type, in the shape that `rule.slot_shape` gives.
    Results are rounded once, to the types given.
    """
    compute = compute_type(x)

    def given(name: str, array: Any) -> Any:
        wide = _read_only(convert(array, compute))
        return wide if rule.graph.is_elementwise else wide.reshape(rule.seen_as(name, tuple(x.shape)))

    inputs = {n: s if rule.slots[n].is_scalar else given(n, s) for n, s in slots.items()}
    wide, gradient = given("x", x), given("g", g)
    with np.errstate(all="ignore"):  # overflow is an honest infinity, as in every other engine
        delta, *new = rule.apply(wide, gradient, tuple(inputs.values()), t, hyper)
        result = _array(convert(wide + delta, x.dtype))
        own = (wide, gradient, *inputs.values())
        stored = {
            n: value if rule.slots[n].is_scalar else _array(convert(_own(value, own), slots[n].dtype))
            for n, value in zip(slots, new, strict=True)
        }
    if rule.graph.is_elementwise:
        return result, stored
    return result.reshape(x.shape), {
        n: value if rule.slots[n].is_scalar else value.reshape(slots[n].shape) for n, value in stored.items()
    }


def read_out(rule: Rule, x: Any, slots: Mapping[str, Any], hyper: Mapping[str, Any]) -> Any:
    """The point to evaluate after at least one step, in the shape and type of x; nothing given is changed."""
    compute = compute_type(x)

    def given(name: str, array: Any) -> Any:
        wide = _read_only(convert(array, compute))
        return wide if rule.graph.is_elementwise else wide.reshape(rule.seen_as(name, tuple(x.shape)))

    inputs = {n: s if rule.slots[n].is_scalar else given(n, s) for n, s in slots.items()}
    wide = given("x", x)
    with np.errstate(all="ignore"):
        found = rule.read_out(wide, inputs, hyper)
        return _array(convert(_own(found, (wide, *inputs.values())), x.dtype)).reshape(x.shape)


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
