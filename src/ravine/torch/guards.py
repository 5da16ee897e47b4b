"""What a step is held up by: gradients that are not finite, and the protocol of torch.amp.GradScaler.

A guard is a key of the parameter groups, there only where it was asked for, so that groups are otherwise torch's.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ravine.engines.storage import policy
from ravine.errors import unknown
from ravine.torch import accelerator, clipping, delegate, local
from ravine.torch.clipping import CLIP

if TYPE_CHECKING:
    from ravine.torch.stepper import Stepper

ON_NONFINITE = ("propagate", "skip", "error")
ROUNDING = ("nearest", "stochastic", "remainder")
STATE_ROUNDING = ("stochastic", "nearest")
PRODUCTS = ("float32", "bfloat16")

LEGAL: dict[str, tuple[str, ...]] = {
    "on_nonfinite": ON_NONFINITE,
    "rounding": ROUNDING,
    "state_rounding": STATE_ROUNDING,
    "products": PRODUCTS,
}
"""The choices of each, the default first."""

STORED = ("state", "state_rounding")
"""Of the following, what a group's own choice decides, whatever is loaded."""

KEYS = (CLIP, "on_nonfinite", "skipped_steps", "rounding", "rounding_seed", "rounding_steps", *STORED, "products")
"""The keys of a group that torch's classes don't have."""

OPTIONS = tuple(
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
    for name, default, annotation in (
        ("on_nonfinite", "propagate", "str"),
        ("rounding", "nearest", "str"),
        ("rounding_seed", 0, "int"),
        ("state", None, "str | None"),
        ("state_rounding", "stochastic", "str"),
        ("products", "float32", "str"),
        (CLIP, None, "float | None"),
    )
)
"""What every constructor accepts beyond torch's options."""


def options(
    on_nonfinite: str,
    rounding: str,
    rounding_seed: int,
    state: str | None,
    state_rounding: str,
    products: str,
    clip: float | None,
) -> dict[str, Any]:
    """The group keys that were asked for; none by default."""
    asked: dict[str, Any] = {}
    if on_nonfinite != "propagate":
        asked["on_nonfinite"] = on_nonfinite
    if rounding != "nearest":
        asked["rounding"] = rounding
    if state is not None:
        asked["state"] = state
    if state_rounding != "stochastic":
        asked["state_rounding"] = state_rounding
    if products != "float32":
        asked["products"] = products
    if clip is not None:
        asked[CLIP] = clip
    if rounding_seed != 0 or rounding != "nearest":
        asked["rounding_seed"] = rounding_seed
    return asked


def complete(group: MutableMapping[str, Any]) -> None:
    """Check a group's guards and start their counts. Raises ValueError or TypeError for an illegal value."""
    for key, legal in LEGAL.items():
        if group.get(key, legal[0]) not in legal:
            raise unknown(key, str(group[key]), legal)
    clipping.check(group)
    if "state" in group:
        policy.check(group["state"])
    if _is_guarded(group):
        group.setdefault("skipped_steps", 0)
    is_narrow = group.get("state", "float32") != "float32" and group.get("state_rounding") != "nearest"
    if is_narrow or group.get("rounding", "nearest") != "nearest":
        count_rounding(group)


def count_rounding(group: MutableMapping[str, Any]) -> None:
    """Start the count of what is rounded at random. Raises TypeError for a seed that is no integer."""
    seed = group.setdefault("rounding_seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"rounding_seed must be an integer, got {seed!r} of type {type(seed).__name__}")
    group.setdefault("rounding_steps", 0)


def are_asked_for(groups: list[dict[str, Any]]) -> bool:
    """Whether some group wants its gradients looked at, or clipped: then they are divided by a scale before."""
    return any(_is_guarded(group) or CLIP in group for group in groups)


def _is_guarded(group: Mapping[str, Any]) -> bool:
    return bool(group.get("on_nonfinite", "propagate") != "propagate")


def look(optimizer: Stepper) -> tuple[bool, float | Tensor | None, Tensor | None]:
    """As `_looked`, with the gradients clipped where that is asked for."""
    is_allowed, scale, found_inf = _looked(optimizer)
    if not is_allowed or not any(CLIP in group for group in optimizer.param_groups):
        return is_allowed, scale, found_inf
    if scale is None and found_inf is None and _is_captured(optimizer):
        scale = getattr(optimizer, "grad_scale", None)
    if scale is not None:
        _divide(optimizer, scale)
    clipping.clip(optimizer.param_groups)
    return True, None, found_inf


def _looked(optimizer: Stepper) -> tuple[bool, float | Tensor | None, Tensor | None]:
    """(whether a step may be taken now, by what it must divide the gradients, what says on a device whether to step).

    The second is None if gradients are not scaled, the third if it has been looked at.

    Where gradients are looked at here, they are divided before, since dividing may make one infinite. Where torch's own
    class captures the whole step, it is left to that: reading a number would break the capture. Where all counts lie on
    a GPU, numbers are left there as well: then the scale is a tensor.
    """
    guarded = list(filter(_is_guarded, optimizer.param_groups))
    for group in guarded:
        complete(group)
    if not guarded and _is_captured(optimizer):
        return True, None, None
    found_inf, given = getattr(optimizer, "found_inf", None), getattr(optimizer, "grad_scale", None)
    if not guarded and all(accelerator.keeps_numbers(g, p) for g in optimizer.param_groups if (p := _with_gradient(g))):
        return True, given, found_inf
    if found_inf is not None and found_inf.item():
        return False, None, None
    scale = None if given is None else float(given)
    if guarded and scale is not None:
        _divide(optimizer, scale)
        scale = None
    for group in guarded:
        params = _with_gradient(group)
        bad = next((p for p in params if not _is_finite(local.part(p.grad))), None)
        if local.on_any_rank(bad is not None, [p.grad for p in params]):
            if group["on_nonfinite"] == "error":
                raise FloatingPointError(_complaint(optimizer, bad))
            for each in guarded:
                each["skipped_steps"] += 1
            return False, None, None
    return True, scale, None


def _is_captured(optimizer: Stepper) -> bool:
    return all(delegate.is_captured(g, p) for g in optimizer.param_groups if (p := _with_gradient(g)))


def _divide(optimizer: Stepper, scale: float | Tensor) -> None:
    """Divide all gradients in place."""
    with torch.no_grad():
        for group in optimizer.param_groups:
            for p in _with_gradient(group):
                p.grad.div_(scale.to(p.grad.device) if isinstance(scale, Tensor) else scale)


def _with_gradient(group: Mapping[str, Any]) -> list[Any]:
    return [p for p in group["params"] if p.grad is not None]


def _is_finite(grad: Tensor) -> bool:
    """Whether all elements are finite, found in one pass that makes no array.

    A sum is finite only if they all are; where it is not, it may have overflown, and the largest magnitude decides.
    """
    values = grad.detach()
    if values.layout is not torch.strided:
        values = values.coalesce().values()
    if values.is_complex():
        values = torch.view_as_real(values)
    if values.sum(dtype=torch.float32 if values.dtype is torch.float16 else None).isfinite():
        return True
    return bool(torch.linalg.vector_norm(values, torch.inf).isfinite())


def _complaint(optimizer: Stepper, bad: Tensor | None) -> str:
    where = "of a parameter on another rank"
    for number, group in enumerate(optimizer.param_groups):
        for place, p in enumerate(group["params"]):
            if bad is not None and p is bad:
                name = f"{group['param_names'][place]!r}, " if "param_names" in group else ""
                where = f"of {name}parameter {place} of group {number}, of shape {tuple(p.shape)},"
    return (
        f"the gradient {where} is not finite; nothing was changed "
        f"(on_nonfinite='error'; 'skip' would leave such a step out, 'propagate' take it)"
    )


def signature(kind: type[torch.optim.Optimizer]) -> inspect.Signature | None:
    """The signature of a class's constructor with the guards in it; None for a class that inherits its parent's."""
    if "__init__" in vars(kind):
        _, *given = inspect.signature(vars(kind)["__init__"]).parameters.values()
        rest = [p for p in given if p.kind is p.VAR_KEYWORD]
        passed_on = OPTIONS if rest else ()
        others = [] if kind.__module__.startswith("ravine.") else rest  # what a user's class takes, only it knows
        return inspect.Signature([*(p for p in given if p not in rest), *passed_on, *others])
    if kind.__module__.startswith("ravine."):
        parent = next(k for k in kind.__mro__ if k.__module__.startswith("torch."))
        return inspect.Signature([*inspect.signature(parent).parameters.values(), *OPTIONS])
    return None
