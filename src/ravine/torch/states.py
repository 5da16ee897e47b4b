"""The state of parameters: what is missing of it is made; and a step of one parameter by torch's operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ravine.engines import eager
from ravine.engines.storage import noise
from ravine.torch import codes, local, narrow, rounding
from ravine.torch.method import Method
from ravine.torch.rounding import NEAREST, How


def complete(
    method: Method,
    p: Tensor,
    state: dict[str, Any],
    counts: torch.dtype,
    unfinished: dict[int, Tensor],
    how: How = NEAREST,
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
        if method.slot_dtype(name, p) in codes.KINDS:
            new = narrow.made(method, name, p, key, start)
            if method.step is None:
                scale = new[narrow.scale_key(key)]
                unfinished[id(scale)] = scale
            state.update(new)
            continue
        made = torch.full_like(
            p if (shape := method.rule.slot_shape(name, tuple(p.shape))) == p.shape else p.detach().new_empty(shape),
            complex(start, start) if p.is_complex() else start,
            dtype=method.slot_dtype(name, p),
            requires_grad=False,
            memory_format=torch.preserve_format,
        )
        if method.step is None:
            unfinished[id(made)] = made  # first, in case of an interrupt between the two
        state[key] = made
    if how.of(p) == rounding.REMAINDER and state.get(rounding.REMAINDER) is None:
        state[rounding.REMAINDER] = torch.zeros_like(p, dtype=torch.int8, requires_grad=False)
    return bool(missing) or any(_is_untouched(a) for a in state.values() if id(a) in unfinished)


def are_inference_tensors(method: Method, params: Sequence[Tensor], states: Sequence[dict[str, Any]]) -> bool:
    """Whether any that is written is an inference tensor. Raises what torch raises for it outside inference mode."""
    keys = [*method.arrays.values(), *method.counters]
    written = [a for p, s in zip(params, states, strict=True) for a in (p, *(s[key] for key in keys))]
    found = [a for a in written if isinstance(a, Tensor) and a.is_inference()]
    if found and not torch.is_inference_mode_enabled():
        with torch.no_grad():
            found[0].copy_(found[0])
    return bool(found)


def _is_untouched(array: Tensor) -> bool:
    own = local.part(array)
    values = torch.view_as_real(own) if own.is_complex() else own
    return not bool(values.any()) and bool(values.signbit().all())


def counts_type(*, is_fused: bool) -> torch.dtype:
    """The type of step counts, as torch keeps them: float64 where that is the default type, but not with fused=True."""
    return torch.float64 if torch.get_default_dtype() is torch.float64 and not is_fused else torch.float32


def eager_step(
    method: Method,
    x: Tensor,
    g: Tensor,
    state: dict[str, Any],
    hyper: tuple[float, ...],
    *,
    is_first: bool,
    how: How = NEAREST,
    seed: int = 0,
) -> None:
    """One step of one tensor x with gradient g by the eager engine; where something is rounded at random, by a seed."""
    t: float = 1.0 if is_first else 2.0
    if method.step is not None:
        state[method.step] += 1
        if method.rule.graph.depends_on_t:  # a number that is read can't be a part of a traced graph
            t = float(state[method.step])
    slots = {n: _wide(state, key, how) for n, key in method.arrays.items()}
    slots.update({n: float(state[key]) for n, key in method.scalars.items()})
    slots = {n: slots[n] for n in method.rule.slots}
    wide = x
    if how.of(x) != "nearest":
        wide = x.detach().float() if how.of(x) == "stochastic" else rounding.join(x, state[rounding.REMAINDER])
    with torch.no_grad():
        named = dict(zip(method.rule.hyperparameters, hyper, strict=True))
        new = eager.step(method.rule, wide, g, slots, t, named, method.products)
        in_order = any(narrow.is_coded(state, key) for key in method.arrays.values())
        numbers: Any = rounding.places(x, in_order=in_order) if how.is_seeded else None
        _store(method, state, slots, numbers, seed, is_random=how.is_state_random)
        if how.of(x) == "stochastic":
            x.copy_(rounding.stochastic(wide, numbers, seed))
        elif how.of(x) == rounding.REMAINDER:
            upper, remainder = rounding.split(wide, numbers, seed)
            x.copy_(upper)
            state[rounding.REMAINDER].copy_(remainder)
        for name, value in new.items():
            state[method.scalars[name]].fill_(value)


def _wide(state: dict[str, Any], key: str, how: How) -> Any:
    """What a slot holds; in float32 where the engine does not round it as it is to be rounded."""
    if narrow.is_coded(state, key):
        return codes.decode(state[key], state[narrow.scale_key(key)])
    return state[key].float() if how.is_state_random and state[key].dtype is torch.bfloat16 else state[key]


def _store(
    method: Method, state: dict[str, Any], slots: dict[str, Any], numbers: Any, seed: int, *, is_random: bool
) -> None:
    """Round the new values of slots that were widened, at random by the numbers of the parameter's elements."""
    is_narrow = (torch.bfloat16, *codes.KINDS)
    rounded = [(name, key) for name, key in method.arrays.items() if state[key].dtype in is_narrow]
    for k, (name, key) in enumerate(rounded):
        if narrow.is_coded(state, key):
            kind = codes.KINDS[state[key].dtype]
            array, scale = codes.encode(slots[name], kind, seed if is_random else None, k)
            state[key].copy_(array)
            state[narrow.scale_key(key)].copy_(scale)
        elif is_random:
            own, is_lower = noise.slot_seed(seed, k)
            places = numbers if slots[name].shape == numbers.shape else rounding.places(slots[name])
            state[key].copy_(rounding.stochastic(slots[name], places, own, is_lower=is_lower))
