"""Eager torch: a rule's graph on torch tensors, for every device, layout and mode that a kernel can't take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ravine.rule import Rule
from ravine.trace.graph import OPERATIONS, evaluate


def step(rule: Rule, x: Any, g: Any, slots: Mapping[str, Any], t: float, hyper: Mapping[str, Any]) -> dict[str, Any]:
    """One update of the tensor x and its array slots, in place. Returns the new scalar slots by name.

    Complex tensors are treated as pairs of reals. Everything is computed in float64 for a float64 parameter, in float32
    for every narrower one, whatever the other types are, and rounded once when stored.
    """
    import torch

    def real(tensor: Any) -> Any:
        return torch.view_as_real(tensor) if torch.is_complex(tensor) else tensor

    def wide(tensor: Any) -> Any:
        return tensor.to(compute)

    x, g = real(x), real(g.resolve_conj().resolve_neg())  # autograd hands out conjugates that are not computed yet
    compute = torch.float64 if x.dtype is torch.float64 else torch.float32
    arrays = {n: s if rule.slots[n].is_scalar else real(s) for n, s in slots.items()}
    inputs = {n: s if rule.slots[n].is_scalar else wide(s) for n, s in arrays.items()}
    values = {**hyper, **inputs, "x": wide(x), "g": wide(g), "t": t}
    delta, *new = evaluate(rule.graph.outputs, values, OPERATIONS | {"div": _divide})
    scalars = {}
    for (name, old), value in zip(arrays.items(), new, strict=True):
        if rule.slots[name].is_scalar:
            scalars[name] = value
        else:
            old.copy_(value)
    x.copy_(wide(x) + delta)
    return scalars


def _divide(a: Any, b: Any) -> Any:
    """a / b rounded once: for a number over a tensor torch itself multiplies by the reciprocal, which rounds twice."""
    return b.new_full((), a) / b if isinstance(a, (int, float)) and not isinstance(b, (int, float)) else a / b
