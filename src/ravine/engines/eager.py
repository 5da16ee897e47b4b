"""Eager torch: a rule's graph on torch tensors, for every device, layout and mode that a kernel can't take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ravine.rule import Rule
from ravine.trace.graph import OPERATIONS, evaluate


def step(
    rule: Rule,
    x: Any,
    g: Any,
    slots: Mapping[str, Any],
    t: float,
    hyper: Mapping[str, Any],
    products: str = "float32",
) -> dict[str, Any]:
    """One update of the tensor x and its array slots, in place. Returns the new scalar slots by name.

    `products` is "bfloat16" where matrices are to be multiplied in that.

    Complex tensors are treated as pairs of reals. Everything is computed in float64 for a float64 parameter, in float32
    for every narrower one, whatever the other types are, and rounded once when stored.
    """
    import torch

    if torch.is_complex(x) and not rule.graph.is_elementwise:
        raise TypeError(
            f"{rule.name} is for real matrices, and the parameter is complex: give it to an elementwise rule"
        )

    if not rule.graph.is_elementwise and not x.numel():  # such a matrix has no norm, and nothing that could move
        return {n: s for n, s in slots.items() if rule.slots[n].is_scalar}

    def real(tensor: Any) -> Any:
        return torch.view_as_real(tensor) if torch.is_complex(tensor) else tensor

    def wide(name: str, tensor: Any) -> Any:
        found = tensor.to(compute)
        return found if rule.graph.is_elementwise else found.reshape(rule.seen_as(name, tuple(x.shape)))

    x, g = real(x), real(g.resolve_conj().resolve_neg())  # autograd hands out conjugates that are not computed yet
    compute = torch.float64 if x.dtype is torch.float64 else torch.float32
    arrays = {n: s if rule.slots[n].is_scalar else real(s) for n, s in slots.items()}
    inputs = {n: s if rule.slots[n].is_scalar else wide(n, s) for n, s in arrays.items()}
    values = {**hyper, **inputs, "x": wide("x", x), "g": wide("g", g), "t": t, **rule.sizes(tuple(x.shape))}
    operations = OPERATIONS | {"div": _divide}
    if products == "bfloat16":
        operations |= {op: _in_bfloat16(OPERATIONS[op]) for op in ("matmul", "newton_schulz")}
    delta, *new = evaluate(rule.graph.outputs, values, operations)
    moved = values["x"] + delta
    scalars = {}
    for (name, old), value in zip(arrays.items(), _unshared(new, inputs), strict=True):
        if rule.slots[name].is_scalar:
            scalars[name] = value
        else:
            old.copy_(value if rule.graph.is_elementwise else value.reshape(old.shape))
    x.copy_(moved if rule.graph.is_elementwise else moved.reshape(x.shape))
    return scalars


def _unshared(new: Sequence[Any], slots: Mapping[str, Any]) -> list[Any]:
    """New slots, copied where they are old ones, since those are overwritten one after the other."""
    old = [id(s) for s in slots.values() if not isinstance(s, (int, float))]
    return [value.clone() if id(value) in old else value for value in new]


def _in_bfloat16(product: Callable[..., Any]) -> Callable[..., Any]:
    """A product of matrices that are rounded to bfloat16 first; so is what comes of it, and then widened again."""

    def rounded(*operands: Any) -> Any:
        return product(*(a if isinstance(a, (int, float)) else a.bfloat16() for a in operands)).to(operands[0].dtype)

    return rounded


def _divide(a: Any, b: Any) -> Any:
    """a / b rounded once: for a number over a tensor torch itself multiplies by the reciprocal, which rounds twice."""
    return b.new_full((), a) / b if isinstance(a, (int, float)) and not isinstance(b, (int, float)) else a / b
