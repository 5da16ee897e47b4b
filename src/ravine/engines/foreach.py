"""A rule's graph on lists of torch tensors by torch's foreach operations: for devices that no kernel of ours serves.

Each operation is one launch for many tensors, where torch has it for a device. Arrays between operations cost memory,
so each is let go after its last use. The bits are the reference's where the device's operations are correctly rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ravine.engines.fused.kernel import coefficients as scalar_part
from ravine.engines.fused.kernel import hyper_values
from ravine.engines.fused.lower import array_slots, coefficients, scalar_slots
from ravine.math import rough_inverse_cbrt
from ravine.rule import Rule
from ravine.trace.graph import CONDITIONS, Node, node

Value = Any
"""A list or tuple of tensors, or a number."""


def step(
    rule: Rule,
    xs: Sequence[Any],
    gs: Sequence[Any],
    slots: Mapping[str, Sequence[Any]],
    t: float,
    scalars: Mapping[str, float],
    hyper: Mapping[str, float],
) -> dict[str, float]:
    """One update in place of the tensors xs and of their array slots, lists by name, all at one t and scalar slots.

    Returns the new scalar slots by name. All tensors on one device; computed in float64 where the parameters are
    float64, else in float32, and rounded once when stored, so the parameters must be all float64 or none.
    """
    import torch

    graph = rule.graph
    compute = torch.float64 if xs and xs[0].dtype is torch.float64 else torch.float32
    values, new_scalars = scalar_part(rule).evaluate(
        t, [scalars[n] for n in scalar_slots(graph)], *hyper_values(rule, hyper)
    )
    known: dict[Node, Value] = dict(zip(coefficients(graph), values, strict=True))
    inputs = {"x": xs, "g": gs, **slots}
    for name, tensors in inputs.items():
        known[node("array", name=name)] = _wide(tensors, compute)
    outputs = [graph.step, *(graph.slots[n] for n in array_slots(graph))]
    last = _last_uses(graph.array_nodes, outputs)
    for number, n in enumerate(graph.array_nodes):
        known[n] = _operation(n, [a.value if a.op == "const" else known[a] for a in n.args])
        for a in n.args:
            if last.get(a) == number and a.op != "array":
                known[a] = None
    old = [known[node("array", name=name)] for name in ("x", *array_slots(graph))]
    delta = known.get(graph.step, graph.step.value)
    moved = _binary("add", old[0], delta)
    new = [known[graph.slots[name]] for name in array_slots(graph)]
    # An old value that is the new one of another is overwritten with the others.
    new = [[t.clone() for t in value] if any(value is o for o in old) else value for value in new]
    _store(xs, moved)
    for name, value in zip(array_slots(graph), new, strict=True):
        _store(slots[name], value)
    return dict(zip(scalar_slots(graph), new_scalars, strict=True))


def _last_uses(nodes: Sequence[Node], outputs: Sequence[Node]) -> dict[Node, int]:
    """The number of the node that reads each array for the last time; none for what is stored at the end."""
    last = {a: number for number, n in enumerate(nodes) for a in n.args if a.is_array}
    return {a: number for a, number in last.items() if a not in outputs}


def _wide(tensors: Sequence[Any], compute: Any) -> list[Any]:
    import torch

    if all(t.dtype is compute for t in tensors):
        return list(tensors)
    wide = [torch.empty_like(t, dtype=compute) for t in tensors]
    torch._foreach_copy_(wide, list(tensors))
    return wide


def _store(tensors: Sequence[Any], values: Value) -> None:
    import torch

    if not _is_many(values):
        values = [torch.full_like(t, values) for t in tensors]
    if tensors:
        torch._foreach_copy_(list(tensors), list(values))


def _operation(n: Node, args: list[Value]) -> Value:
    import torch

    if n.op in ("add", "sub", "mul", "div"):
        return _binary(n.op, *args)
    if n.op in CONDITIONS:
        return _each(getattr(torch, n.op), *args)
    match n.op:
        case "neg":
            return torch._foreach_neg(args[0])
        case "abs":
            return torch._foreach_abs(args[0])
        case "sqrt":
            return torch._foreach_sqrt(args[0])
        case "rough_inverse_cbrt":
            return _each(rough_inverse_cbrt, *args)
        case "sign":  # torch's is 0 for NaN; 0 · clamp is 0 for all else
            nothing = torch._foreach_mul(torch._foreach_clamp_max(torch._foreach_clamp_min(args[0], -1.0), 1.0), 0.0)
            return torch._foreach_add(torch._foreach_sign(args[0]), nothing)
        case "maximum" | "minimum":
            return _extreme(n.op, *args)
        case "where":
            if _is_many(args[0]):
                return _each(torch.where, *args)
            chosen, other = (args[1], args[2]) if args[0] else (args[2], args[1])
            return chosen if _is_many(chosen) else [torch.full_like(t, chosen) for t in other]
    raise NotImplementedError(f"the foreach engine has no code for the operation {n.op!r}")


def _binary(op: str, a: Value, b: Value) -> Value:
    import torch

    function: Callable[..., Any] = getattr(torch, f"_foreach_{op}")
    if _is_many(a):
        return function(a, b)
    if op == "sub":  # a − b = −b + a, also in the sign of a zero
        return torch._foreach_add(torch._foreach_neg(b), a)
    if op == "div":
        return function([torch.full((), a, dtype=t.dtype, device=t.device).expand_as(t) for t in b], b)
    return function(b, a)


def _extreme(op: str, a: Value, b: Value) -> Value:
    """maximum or minimum; NaN where either is NaN."""
    import torch

    if _is_many(a) and _is_many(b):
        function: Callable[..., Any] = getattr(torch, f"_foreach_{op}")
        return function(a, b)
    tensors, bound = (a, b) if _is_many(a) else (b, a)
    return (torch._foreach_clamp_min if op == "maximum" else torch._foreach_clamp_max)(tensors, bound)


def _is_many(value: Value) -> bool:
    return isinstance(value, (list, tuple))


def _each(function: Callable[..., Any], *args: Value) -> list[Any]:
    """An operation that torch has no foreach form of, tensor by tensor."""
    import torch

    count = next(len(a) for a in args if _is_many(a))
    like = next(a for a in reversed(args) if _is_many(a))
    columns = [a if _is_many(a) else [torch.full((), a, dtype=t.dtype, device=t.device) for t in like] for a in args]
    return [function(*(column[k] for column in columns)) for k in range(count)]
