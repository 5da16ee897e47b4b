"""The schedules in torch checkpoints: which scheduler a state dict is of, told by its keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ravine.dialects.lines import read_schedule
from ravine.schedules import Schedule

BY_KEYS = {
    ("T_max", "eta_min"): "CosineAnnealingLR",
    ("step_size", "gamma"): "StepLR",
    ("milestones", "gamma"): "MultiStepLR",
    ("gamma",): "ExponentialLR",
    ("start_factor", "end_factor", "total_iters"): "LinearLR",
    ("factor", "total_iters"): "ConstantLR",
    ("total_iters", "power"): "PolynomialLR",
}
"""The arguments that torch's schedulers keep in their state dicts."""

EVERY = ("base_lrs", "last_epoch")


def schedulers(value: Any, optimizer: Any) -> Iterator[Mapping[str, Any]]:
    """The state dicts of schedulers in a checkpoint."""
    if isinstance(value, dict) and value is not optimizer:
        if all(n in value for n in EVERY):
            yield value
            return
        for own in value.values():
            yield from schedulers(own, optimizer)
    elif isinstance(value, list | tuple):
        for own in value:
            yield from schedulers(own, optimizer)


def schedule_of(state: Mapping[str, Any], steps: int) -> tuple[str | None, str]:
    """The scheduler's call, if it is known and counts the optimizer's steps; or a sentence on why it is not."""
    if state["last_epoch"] != steps:
        return None, f"A scheduler in the file has counted {state['last_epoch']}, not the {steps} steps: left behind."
    found = call(state)
    said = "A scheduler in the file does not say what it computes: give it (schedule), or the rate stays."
    return found, "" if found else said


def call(state: Mapping[str, Any]) -> str | None:
    """The scheduler's call as text, None for one that its keys don't tell, as functions of the user's own."""
    for keys, name in BY_KEYS.items():
        if set(keys) <= state.keys():
            own = {n: _plain(state[n]) for n in keys}
            return f"torch.{name}(optimizer, {', '.join(f'{n}={v!r}' for n, v in own.items())})"
    return None


def _plain(value: Any) -> Any:
    return sorted(value.elements()) if hasattr(value, "elements") else value  # MultiStepLR counts its milestones


def of_group(text: str, group: Mapping[str, Any]) -> Schedule:
    """The schedule that a scheduler of this call is for a parameter group: it multiplies the group's first lr."""
    lr = group.get("initial_lr", group.get("lr"))
    return read_schedule(text, {}, float(lr) if lr is not None else None)
