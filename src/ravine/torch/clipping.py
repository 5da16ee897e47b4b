"""Clipping all gradients of an optimizer together to one norm, before it steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ravine.torch.local import is_distributed, part

CLIP = "clip_global_norm"
"""The key of a group, and the transform of rules and its hyperparameter."""


def check(group: Mapping[str, Any]) -> None:
    """Raise TypeError or ValueError for a bound that is no positive number."""
    bound = group.get(CLIP, 1.0)
    if isinstance(bound, bool) or not isinstance(bound, (int, float)):
        raise TypeError(f"{CLIP} must be a number, got {bound!r} of type {type(bound).__name__}")
    if not bound > 0:
        raise ValueError(f"{CLIP} must be positive, got {bound!r}")


def clip(groups: Sequence[Mapping[str, Any]]) -> None:
    """Multiply all gradients in place by c/max(‖g‖, c), ‖g‖ being over all of them together.

    No number is read from a device. Raises ValueError where not all groups have the same bound c.
    """
    bounds = [group.get(CLIP) for group in groups]
    for group in groups:
        check(group)
    if len(set(bounds)) > 1:
        raise ValueError(f"{CLIP} is for all parameters together, and the groups have {', '.join(map(repr, bounds))}")
    grads = [p.grad for group in groups for p in group["params"] if p.grad is not None]
    if not grads:
        return
    with torch.no_grad():
        norms = torch.stack([_norm(g).to(grads[0].device) for g in grads])
        factor = bounds[0] / torch.linalg.vector_norm(norms).clamp(min=bounds[0])
        on_device: dict[torch.device, Tensor] = {}
        for g in grads:
            part(g).mul_(on_device.setdefault(g.device, factor.to(g.device)))


def _norm(grad: Tensor) -> Tensor:
    """A gradient's norm in float64, of a distributed one that of the whole."""
    values = grad.detach()
    if values.layout is not torch.strided:
        values = values.coalesce().values()
    if values.is_complex():
        values = torch.view_as_real(values)
    wide = torch.float64 if values.device.type != "mps" else torch.float32
    norm: Any = torch.linalg.vector_norm(values, dtype=wide)
    whole: Tensor = norm.full_tensor() if is_distributed(norm) else norm
    return whole
