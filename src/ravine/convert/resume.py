"""Going on in torch from another program's optimizer, by that optimizer's own arithmetic."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ravine.convert import shares
from ravine.convert.kept import RAVINE
from ravine.convert.loading import load_groups
from ravine.convert.names import Tensors, write
from ravine.convert.state import SCHEDULER, OptimizerState, move, renamed
from ravine.convert.torch_state import into_torch
from ravine.errors import unknown
from ravine.recipe_set import one_rule
from ravine.schedules import scheduler

if TYPE_CHECKING:
    import torch


def resume(
    path: str | Path,
    params: Iterable[Any],
    framework: str,
    *,
    optimizer: str | None = None,
    step: int | None = None,
    key: str | None = None,
    rename: Mapping[str, str] | None = None,
    transpose: Collection[str] = (),
) -> torch.optim.Optimizer:
    """A torch optimizer over `params` that goes on from a state file just as the program that wrote it would.

    Its arithmetic is that of the file's optimizer, whatever torch's class of that name computes. `params` are
    (name, tensor) pairs, as `model.named_parameters()`, or tensors, whose names are their numbers; the file's names are
    turned into theirs by `rename`, and matrices named in `transpose` turned round. The rest is as in `load_groups`.
    Parameters that the file has no state for (frozen or new ones) start anew, in the first group, and are warned of; so
    is what the source kept or did around the optimizer, which does not go on: sums of gradients, a scale of the loss.
    Raises ValueError as `load_groups` does, for a parameter of the file that is not among `params`, where groups follow
    different rules, and for an optimizer of Keras's or optax's that has a schedule in it: take `resume_scheduled`.
    """
    made, states, _ = _resumed(path, params, framework, optimizer, step, key, rename, transpose, None)
    for state in states:
        if state.schedule is not None and framework not in ("torch", RAVINE):
            raise ValueError(f"the learning rate follows {state.schedule!r}: take resume_scheduled, which gives it too")
    return made


def resume_scheduled(
    path: str | Path,
    params: Iterable[Any],
    framework: str,
    *,
    optimizer: str | None = None,
    schedule: str | None = None,
    step: int | None = None,
    key: str | None = None,
    rename: Mapping[str, str] | None = None,
    transpose: Collection[str] = (),
    steps_per_epoch: int | None = None,
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """As `resume`, with a torch scheduler that goes on with the file's schedule: call its step() after each step.

    The schedule is in the optimizer's call, in the file, or for torch in `schedule`, a call such as
    "CosineAnnealingLR(optimizer, T_max=1000)"; `steps_per_epoch` says how many steps it counts as one, where it was
    stepped once an epoch (here step() is called after each step all the same). Raises ValueError as `resume` does, and
    where there is none.
    """
    how = optimizer, step, key, rename, transpose, schedule, steps_per_epoch
    made, states, said = _resumed(path, params, framework, *how)
    follows = [state.schedule for state in states]
    if None in follows:
        raise ValueError(
            said or f"{path} tells no schedule: give it in the optimizer's call, or for torch's files as schedule"
        )
    return made, scheduler([f for f in follows if f is not None], made, max(state.t or 0 for state in states))


def _resumed(
    path: str | Path,
    params: Iterable[Any],
    framework: str,
    optimizer: str | None,
    step: int | None,
    key: str | None,
    rename: Mapping[str, str] | None,
    transpose: Collection[str],
    schedule: str | None,
    steps_per_epoch: int | None = None,
) -> tuple[torch.optim.Optimizer, list[OptimizerState], str]:
    """The optimizer, the state of each of its groups, and what is said of a scheduler that is left behind."""
    from ravine.torch import from_recipe

    given = list(params)
    named = _named(given)
    model = [(n, tuple(p.shape)) for n, p in named.items()] if given and isinstance(given[0], tuple) else []
    loaded = load_groups(Path(path), framework, optimizer, step, key, model, schedule, steps_per_epoch)
    states = renamed([each.state for each in loaded], rename or {}, transpose)
    for param in (p for state in states for p in state.slots):
        if param not in named:
            raise unknown("parameter", param, named)
    states = [_of_shapes(state, {n: tuple(p.shape) for n, p in named.items()}) for state in states]
    moved = [move(state, RAVINE).state for state in states]
    recipes = one_rule([state.recipe for state in moved])
    places = {p: k for k, state in enumerate(moved) for p in state.slots}
    groups: list[dict[str, Any]] = [{"params": [], **r.hyper} for r in recipes]
    for name, p in named.items():
        groups[places.get(name, 0)]["params"].append((name, p))
    made = from_recipe(groups, recipes[0])
    tensors: Tensors = {n: v for state in moved for n, v in write(state).items()}
    made.load_state_dict(into_torch(tensors, made.state_dict()))
    if left := list(dict.fromkeys(n for state in moved for n in (*state.left, *state.beside) if n != SCHEDULER)):
        listed = ", ".join(left[:5]) + ", …" * (len(left) > 5)
        warnings.warn(f"left behind, or to be done beside the optimizer: {listed}", stacklevel=3)
    said = next((each.notes[-1] for each in loaded if SCHEDULER in each.state.left), "")
    return made, moved, said


def _of_shapes(state: OptimizerState, there: Mapping[str, tuple[int, ...]]) -> OptimizerState:
    """The state of parameters of these shapes. Raises ValueError for one of another shape."""
    slots = {p: shares.oriented(state.kept, own, there[p]) for p, own in state.slots.items()}
    for p, own in slots.items():
        found = shares.shape(state.recipe.rule, own)
        if len(found) and found not in (there[p], state.recipe.rule.seen(there[p])):
            raise ValueError(f"the state of {p!r} has shape {found}, but the parameter has {there[p]}")
    return replace(state, slots=slots)


def _named(params: Iterable[Any]) -> dict[str, Any]:
    """The parameters by name, numbers where they have none."""
    return dict(p if isinstance(p, tuple) else (str(i), p) for i, p in enumerate(params))
