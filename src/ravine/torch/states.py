"""The state of parameters: what is missing of it is made; and a step of one parameter by torch's operations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ravine.engines import eager
from ravine.torch import local
from ravine.torch.method import Method


def complete(
    method: Method, p: Tensor, state: dict[str, Any], counts: torch.dtype, unfinished: dict[int, Tensor]
) -> bool:
    """Make what is missing of a parameter's state. Where no count tells, returns whether its first step is to come.

    That is so where an array was missing, or was made in a step that was interrupted before it was written: such
    arrays are in `unfinished`, by their ids, and start as −0.
    """
    if method.step is not None and method.step not in state:
        state[method.step] = torch.tensor(0.0, dtype=counts, device="cpu")
    for name, key in method.scalars.items():
        if key not in state:
            kind = counts if method.counts_like_torch else torch.float64
            state[key] = torch.tensor(method.start[name], dtype=kind, device="cpu")
    missing = [(name, key) for name, key in method.arrays.items() if state.get(key) is None]
    for name, key in missing:
        start = method.start[name] if method.step is not None else -0.0
        made = torch.full_like(
            p if (shape := method.rule.slot_shape(name, tuple(p.shape))) == p.shape else p.detach().new_empty(shape),
            complex(start, start) if p.is_complex() else start,
            dtype=None if p.is_complex() else method.dtype,
            requires_grad=False,
            memory_format=torch.preserve_format,
        )
        if method.step is None:
            unfinished[id(made)] = made  # first, in case of an interrupt between the two
        state[key] = made
    return bool(missing) or any(_is_untouched(a) for key in method.arrays.values() if id(a := state[key]) in unfinished)


def _is_untouched(array: Tensor) -> bool:
    own = local.part(array)
    values = torch.view_as_real(own) if own.is_complex() else own
    return not bool(values.any()) and bool(values.signbit().all())


def counts_type(*, is_fused: bool) -> torch.dtype:
    """The type of step counts, as torch keeps them: float64 where that is the default type, but not with fused=True."""
    return torch.float64 if torch.get_default_dtype() is torch.float64 and not is_fused else torch.float32


def eager_step(
    method: Method, x: Tensor, g: Tensor, state: dict[str, Any], hyper: tuple[float, ...], *, is_first: bool
) -> None:
    """One step of one tensor x with gradient g by the eager engine."""
    t: float = 1.0 if is_first else 2.0
    if method.step is not None:
        state[method.step] += 1
        if method.rule.graph.depends_on_t:  # a number that is read can't be a part of a traced graph
            t = float(state[method.step])
    slots: dict[str, Any] = {n: state[key] for n, key in method.arrays.items()}
    slots.update({n: float(state[key]) for n, key in method.scalars.items()})
    slots = {n: slots[n] for n in method.rule.slots}
    with torch.no_grad():
        new = eager.step(method.rule, x, g, slots, t, dict(zip(method.rule.hyperparameters, hyper, strict=True)))
        for name, value in new.items():
            state[method.scalars[name]].fill_(value)
