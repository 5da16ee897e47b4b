"""How parameters on an accelerator are stored, and what stands in the way of the GPU engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ravine.engines.fused.storage import SIZES, Storage
from ravine.errors import with_article
from ravine.torch import accelerator, local
from ravine.torch.bucket import COUNTS, REAL, is_plain
from ravine.torch.layout import is_dense
from ravine.torch.method import Method
from ravine.torch.rounding import REMAINDER

DIGITS = (torch.int8,)
"""What a parameter's remainder is of."""


def make_counts(method: Method, p: Tensor, state: dict[str, Any], counts: torch.dtype) -> None:
    """The numbers of a new parameter, beside it."""
    start = {method.step: 0.0} if method.step is not None else {}
    start |= {key: float(method.start[name]) for name, key in method.scalars.items()}
    for key, value in start.items():
        if key not in state:
            kind = counts if key == method.step or method.counts_like_torch else torch.float64
            state[key] = torch.full((), value, dtype=kind, device=p.device)


def storage(
    p: Tensor, g: Tensor, state: Mapping[str, Any], method: Method, *, has_remainder: bool = False
) -> tuple[Storage, bool] | str:
    """How a parameter on an accelerator is stored, and whether its counts lie beside it; or why the engine can't.

    Raises RuntimeError where its gradient or state lies on a device of another kind.
    """
    beside_it = [REMAINDER] * has_remainder
    named = {"the parameter": p, "the gradient": g}
    named |= {key: state[key] for key in (*method.arrays.values(), *beside_it)}
    for name, a in named.items():
        if not isinstance(a, Tensor) or a.device != p.device:
            where = a.device if isinstance(a, Tensor) else with_article(type(a).__name__)
            raise RuntimeError(
                f"{name} of a parameter of shape {tuple(p.shape)} on {p.device} is on {where}: "
                f"all tensors of a parameter must be on its device"
            )
        if not is_plain(a, p.device) or a.dtype not in (DIGITS if name == REMAINDER else REAL):
            return f"{name} is of {a.dtype}, {a.layout}, class {type(a).__name__}"
        if a.shape != p.shape or a.is_complex() != p.is_complex():
            return f"{name} has shape {tuple(a.shape)} and {a.dtype}, the parameter {tuple(p.shape)} and {p.dtype}"
        if a.stride() != p.stride() and not (a.is_contiguous() and p.is_contiguous()):
            return f"{name} is laid out with strides {a.stride()}, the parameter with {p.stride()}"
    if not is_dense(p):
        return f"the parameter's memory has gaps or overlaps: strides {p.stride()} for shape {tuple(p.shape)}"
    counts = [state[key] for key in method.counters]
    for key, c in zip(method.counters, counts, strict=True):
        if not isinstance(c, Tensor) or c.numel() != 1 or c.dtype not in COUNTS or not is_plain(c, c.device):
            return f"{key} is no tensor of one float"
    beside = {accelerator.is_on(c) for c in counts}
    if len(beside) > 1:
        return "some of its counts are on the host and some beside it"
    types = [REAL[a.dtype] for name, a in named.items() if name != REMAINDER]
    kept = tuple(COUNTS[c.dtype] for c in counts)
    found = Storage(types[0], types[1], tuple(types[2:]), kept, has_remainder=has_remainder)
    if found.compute == "float64" and any(SIZES[kind] < 4 for kind in types):
        return "narrow numbers stand beside a float64 parameter"
    return found, beside == {True}


def parts(p: Any, g: Any, state: Mapping[str, Any], method: Method) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """This rank's part of a distributed parameter, its gradient and its state; others as they are."""
    if not local.is_distributed(p):
        return p, g, dict(state)
    return local.parts(p, g, dict(state), list(method.arrays.values()))
