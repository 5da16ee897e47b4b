"""The schedules in torch checkpoints: which scheduler a state dict is of, told by its keys."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ravine.dialects.lines import read_schedule
from ravine.schedules import Schedule

BY_KEYS = {
    ("T_0", "T_mult", "eta_min"): "CosineAnnealingWarmRestarts",
    ("T_max", "eta_min"): "CosineAnnealingLR",
    ("step_size", "gamma"): "StepLR",
    ("milestones", "gamma"): "MultiStepLR",
    ("gamma",): "ExponentialLR",
    ("start_factor", "end_factor", "total_iters"): "LinearLR",
    ("factor", "total_iters"): "ConstantLR",
    ("total_iters", "power"): "PolynomialLR",
}
"""The arguments that torch's schedulers keep in their state dicts."""

CYCLIC, PLATEAU, CHAINED = "step_ratio", "num_bad_epochs", "_schedulers"
NOT_ONE = {
    CYCLIC: "CyclicLR",
    PLATEAU: "ReduceLROnPlateau, which follows the losses",
    CHAINED: "ChainedScheduler",
}
"""Keys of schedulers that are no schedule here."""

PHASES, MILESTONES = "_schedule_phases", "_milestones"
"""What OneCycleLR and SequentialLR keep."""

CLOSE = 1e-6
"""How near a schedule must come to the rate that the file has."""

Group = Mapping[str, Any]


def schedulers(value: Any, optimizer: Any) -> Iterator[Mapping[str, Any]]:
    """The state dicts of schedulers in a checkpoint."""
    if isinstance(value, dict) and value is not optimizer:
        if ("last_epoch" in value and {"base_lrs", PLATEAU, MILESTONES} & value.keys()) or CHAINED in value:
            yield value
            return
        for own in value.values():
            yield from schedulers(own, optimizer)
    elif isinstance(value, list | tuple):
        for own in value:
            yield from schedulers(own, optimizer)


def counted(state: Mapping[str, Any], steps: int | None, per_epoch: int | None) -> str:
    """A sentence on why a scheduler has not counted the steps, or the epochs of so many; empty where it has."""
    count = state.get("last_epoch")
    if count is not None and steps is None:
        return (
            f"A scheduler in the file has counted {count}, and the optimizer counts no steps. Say how "
            f"many are done (step), which is {count} unless it counts epochs (then steps_per_epoch too)."
        )
    if count is None or steps is None or count == steps // (per_epoch or 1):
        return ""
    if per_epoch is not None:
        return (
            f"A scheduler in the file has counted {count}, and {steps} steps are {steps // per_epoch} epochs of "
            f"{per_epoch}."
        )
    return (
        f"A scheduler in the file has counted {count}, not the {steps} steps. If it counts epochs, say of "
        f"how many steps (steps_per_epoch){_guess(count, steps)}."
    )


def _guess(count: int, steps: int) -> str:
    """Which numbers of steps an epoch may have."""
    if not 0 < count < steps:
        return ""
    least, most = steps // (count + 1) + 1, steps // count
    return f", {most}" if least >= most else f", {least} to {most}"


def call(state: Mapping[str, Any], group: Group) -> str | None:
    """The scheduler's call as text, None for one that its keys don't tell, as functions of the user's own."""
    if MILESTONES in state:
        own = [call(s, group) for s in state[CHAINED]]
        listed = ", ".join(map(str, own))
        return (
            f"torch.SequentialLR(optimizer, [{listed}], milestones={state[MILESTONES]!r})" if None not in own else None
        )
    if any(key in state for key in NOT_ONE):
        return None
    if PHASES in state:
        return _one_cycle(state, group)
    for keys, name in BY_KEYS.items():
        if set(keys) <= state.keys():
            known = {n: _plain(state[n]) for n in keys}
            return f"torch.{name}(optimizer, {', '.join(f'{n}={v!r}' for n, v in known.items())})"
    return None


def _one_cycle(state: Mapping[str, Any], group: Group) -> str | None:
    """OneCycleLR keeps its rates in the parameter group."""
    if not {"initial_lr", "max_lr", "min_lr"} <= group.keys():
        return None
    first, phases = float(group["initial_lr"]), state[PHASES]
    known = {
        "max_lr": float(group["max_lr"]),
        "total_steps": state["total_steps"],
        "pct_start": (phases[0]["end_step"] + 1) / state["total_steps"],
        "anneal_strategy": state.get("_anneal_func_type", "cos"),
        "cycle_momentum": state.get("cycle_momentum", True),
        "div_factor": float(group["max_lr"]) / first,
        "final_div_factor": first / float(group["min_lr"]),
        "three_phase": len(phases) == 3,
    }
    return f"torch.OneCycleLR(optimizer, {', '.join(f'{n}={v!r}' for n, v in known.items())})"


def untold(state: Mapping[str, Any], folder_says: str = "") -> str:
    """A sentence on a scheduler that does not say what it computes, or is no schedule of the steps."""
    for key, name in NOT_ONE.items():
        if key in state and MILESTONES not in state:
            return f"The scheduler in the file is {name}: it is no schedule here."
    is_function = "lr_lambdas" in state
    kind = " (a LambdaLR: torch saves nothing of its function)" if is_function else ""
    return (
        f"A scheduler in the file does not say what it computes{kind}: give it (schedule){folder_says}, or the rate "
        "stays."
    )


def _plain(value: Any) -> Any:
    return sorted(value.elements()) if hasattr(value, "elements") else value  # MultiStepLR counts its milestones


def of_group(text: str, group: Group, per_epoch: int | None = None) -> Schedule:
    """The schedule that a scheduler of this call is for a parameter group: it multiplies the group's first lr."""
    lr = group.get("initial_lr", group.get("lr"))
    found = read_schedule(text, {}, float(lr) if lr is not None else None)
    return found if per_epoch is None else replace(found.by_epoch(per_epoch), call=found.call)


def check(schedule: Schedule, state: Mapping[str, Any], number: int, steps: int) -> None:
    """Raise ValueError where a schedule that was given is not what the scheduler in the file has come to."""
    rates = state.get("_last_lr", [])
    if number >= len(rates) or state.get("last_epoch") != steps // schedule.every:
        return
    there, here = float(rates[number]), schedule(steps)
    if not math.isclose(there, here, rel_tol=CLOSE, abs_tol=CLOSE * schedule(0) if schedule(0) else 1e-12):
        raise ValueError(
            f"after {steps} steps the scheduler in the file has the rate {there:g}, and {schedule!r} gives {here:g}: "
            "it is another one"
        )
