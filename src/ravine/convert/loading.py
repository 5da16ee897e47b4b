"""State files of every kind: read, written, and converted from one framework to another."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ravine.convert import files, flax_files, keras_files, orbax_files, sharded, tensorflow_files, torch_files
from ravine.convert.kept import RAVINE, apart, at_rate, kept, spelled, unscheduled
from ravine.convert.names import Tensors, read, write
from ravine.convert.optax_tree import beside_train_state, of_train_state
from ravine.convert.recognise import Recognised
from ravine.convert.state import SCHEDULER, OptimizerState, Outcome, move
from ravine.convert.torch_names import Entry, named
from ravine.convert.torch_schedules import call as scheduler_call
from ravine.convert.torch_schedules import check, counted, of_group, untold
from ravine.convert.torch_state import Group, groups, has_numbers
from ravine.schedules import Schedule

FOLDERS = (*torch_files.OPTIMIZERS[:2], sharded.METADATA, "*.index", "variables/variables.index", orbax_files.METADATA)
"""What makes a folder a checkpoint."""


def load(path: Path, framework: str, call: str | None = None, step: int | None = None) -> OptimizerState:
    """The state in a file; `call` spells the optimizer where the file does not say.

    Raises ValueError, as `read` does, and for a file that holds several groups: `load_groups` takes it.
    """
    found = load_groups(path, framework, call, step)
    if len(found) > 1:
        raise ValueError(f"{path}: the parameter groups have different options: convert them one by one (load_groups)")
    return found[0].state


@dataclass(frozen=True)
class Loaded:
    """The state of a file, or of one of its parameter groups, and what its optimizer was taken for, in words.

    `notes` are sentences on where the parameters' names come from.
    """

    state: OptimizerState
    taken_for: str
    notes: tuple[str, ...] = ()


def load_groups(
    path: Path,
    framework: str,
    call: str | None = None,
    step: int | None = None,
    key: str | None = None,
    model: Sequence[Entry] = (),
    schedule: str | None = None,
    steps_per_epoch: int | None = None,
) -> list[Loaded]:
    """The states in a file or folder, one for each group of parameters with settings of its own.

    `key` is the place of the optimizer in a file that holds more than one, as "optimizer_states.0" or "opt_state";
    `model` are the names and shapes of the model's parameters, in order, for a torch file that has only numbers (by
    default those of a model's state dict in it); `schedule` is the call of a torch scheduler that the file does not
    tell, and `steps_per_epoch` how many steps it counts as one, where it was stepped once an epoch. Raises ValueError
    for a file that is damaged, that is another framework's, or that does not say which optimizer it is from, and for a
    schedule that the scheduler in the file does not follow.
    """
    if path.suffix in torch_files.KINDS if path.is_file() else torch_files.is_folder(path):
        if framework not in ("torch", RAVINE):
            raise ValueError(f"{path} is torch's, not {framework}'s")
        if steps_per_epoch is not None and steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch must be at least 1, got {steps_per_epoch}")
        found = torch_files.load(path, key)
        return _scheduled(*_torch(found, call, step, model), found, schedule, steps_per_epoch)
    if schedule is not None or steps_per_epoch is not None:
        name = "schedule" if schedule is not None else "steps_per_epoch"
        raise ValueError(f"{name} is for torch's files: elsewhere a schedule stands in the optimizer's call")
    if (prefix := tensorflow_files.prefix(path)) is not None:
        call, follows = unscheduled(spelled(call, framework)) if call else (None, None)
        call = _own(path, call, framework) if call else None
        own = tensorflow_files.load(prefix, framework, call, key)
        loaded = _loaded(own.tensors, Recognised(own.call, own.call), own.step if step is None else step, {})
        return [_follow(_with_beside(loaded, own.left, own.beside), follows)]
    in_orbax = orbax_files.folder(path)
    if path.is_dir() and in_orbax is None:
        raise ValueError(f"{path} is a folder with no checkpoint in it that is known: none of {', '.join(FOLDERS)}")
    metadata: dict[str, Any] = {}
    call = spelled(call, framework) if call else None
    left: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    if path.suffix in keras_files.KINDS:
        own = keras_files.load(path, call)
        tensors, call, left, beside = own.tensors, own.call, own.left, own.beside
        step = own.step if step is None else step
    elif in_orbax is not None:
        tensors = orbax_files.load(in_orbax)
    elif path.suffix in flax_files.KINDS:
        tensors = flax_files.load(path)
    else:
        tensors, metadata = files.load(path)
    if framework in ("optax", RAVINE):
        left = () if key else beside_train_state(tensors)
        tensors = of_train_state(tensors, key)
    call = call or metadata.get("optimizer")
    if not isinstance(call, str):
        raise ValueError(
            f"{path} doesn't say which optimizer it is from: give it, as in --optimizer '{framework}.…(…)'"
        )
    call, around = apart(call)
    beside = (*beside, *(f"{n}={v!r}" for n, v in around.items()))
    call, follows = unscheduled(call)
    if follows is None and "schedule" in metadata:
        follows = Schedule.from_data(metadata["schedule"])
    source = kept(_own(path, call, framework))
    known = metadata.get("step")
    if framework == "tensorflow" and step is None:
        step = known  # its powers of β tell the step only until they underflow
    loaded = _loaded(
        tensors, Recognised(call, call if source.constructor else str(source.recipe)), step, metadata.get("types") or {}
    )
    loaded = _with_beside(loaded, left, beside)
    state = loaded.state
    return [_follow(loaded if state.t is not None else replace(loaded, state=replace(state, t=known)), follows)]


def _with_beside(loaded: Loaded, left: tuple[str, ...], beside: tuple[str, ...]) -> Loaded:
    """With what the source kept and did beside the equation."""
    return replace(loaded, state=replace(loaded.state, left=(*loaded.state.left, *left), beside=beside))


def _follow(loaded: Loaded, schedule: Schedule | None) -> Loaded:
    """The state with its learning rate after the steps that it has taken. Raises ValueError where these are unknown."""
    if schedule is None:
        return loaded
    state = loaded.state
    if state.t is None:
        raise ValueError(f"the learning rate follows {schedule!r}, and the file counts no steps: give them (step)")
    if state.kept.constructor is not None:
        state = replace(state, call=at_rate(state.call, schedule(state.t)))
        loaded = replace(loaded, taken_for=state.call)
    taken_for = f"{loaded.taken_for} with the learning rate {schedule!r}: {schedule}"
    return replace(loaded, state=replace(state, schedule=schedule), taken_for=taken_for)


def _own(path: Path, call: str, framework: str) -> str:
    """The call, if it is the framework's. Raises ValueError otherwise."""
    if (source := kept(apart(call)[0])).framework != framework:
        raise ValueError(f"{path} is from {source}, not from {framework}")
    return call


def _torch(
    found: torch_files.Found, call: str | None, step: int | None, model: Sequence[Entry]
) -> tuple[list[Loaded], list[Group]]:
    """The groups of a torch optimizer, with the model's names where they can be told."""
    names: dict[int, str] | None = None
    notes: tuple[str, ...] = ()
    known = model or found.model
    if known and has_numbers(found.state_dict):
        names = named(found.state_dict, known)
        if names is None and model:
            raise ValueError(
                "the parameters have numbers, and those of the model fit them in no way or in several: convert the "
                "file with names first (rename)"
            )
        if names is None:
            notes = ("The parameters have numbers: the names of the model in the file fit in no way, or in several.",)
        elif not model:
            notes = ("The names are those of the model's state dict, told by order and shape.",)
    if not known and has_numbers(found.state_dict):
        notes = (
            "The parameters have numbers, group by group: rename gives them names, and resume takes the live model's. "
            "(A model's .safetensors sorts its names, which tells no order.)",
        )
    each = groups(found.state_dict, call, names)
    return [_of_group(g, step, notes) for g in each], each


def _of_group(group: Group, step: int | None, notes: tuple[str, ...]) -> Loaded:
    loaded = _loaded(group.tensors, group.optimizer, step, {})
    return replace(loaded, state=replace(loaded.state, beside=group.beside), notes=notes)


def _scheduled(
    loaded: list[Loaded], each: list[Group], found: torch_files.Found, given: str | None, per_epoch: int | None
) -> list[Loaded]:
    """The groups with the schedule that is given, or that the scheduler in the file is, where it can be told."""
    if per_epoch is not None and given is None and found.scheduler is None:
        raise ValueError("steps_per_epoch is for a scheduler, and there is none in the file: give it (schedule)")
    steps, state = max((own.state.t for own in loaded if own.state.t is not None), default=None), found.scheduler
    calls = [given] * len(each)
    if state is not None and given is None:
        calls = [scheduler_call(state, g.options) for g in each]
    said = "" if state is None else counted(state, steps, per_epoch)
    if state is not None and None in calls and not said:
        said = untold(state, found.hint)
    follows: list[Schedule] = []
    if not said:
        try:
            follows = [of_group(t, g.options, per_epoch) for t, g in zip(calls, each, strict=True) if t is not None]
            for number, own in enumerate(follows if state is not None else []):
                check(own, state or {}, each[number].number, steps or 0)
        except ValueError as error:
            if given is not None:
                raise
            said = f"The scheduler in the file is not supported: {error}."
    if said and given is not None:
        raise ValueError(said)
    if said or not follows:
        return [_without_scheduler(own, said) for own in loaded] if said else loaded
    # A parameter group has the learning rate of its next step, whatever the schedule's arithmetic.
    return [
        replace(
            own, state=replace(own.state, schedule=f), taken_for=f"{own.taken_for} with the learning rate {f!r}: {f}"
        )
        for own, f in zip(loaded, follows, strict=True)
    ]


def _without_scheduler(loaded: Loaded, said: str) -> Loaded:
    left = (*loaded.state.left, SCHEDULER)
    return replace(loaded, state=replace(loaded.state, left=left), notes=(*loaded.notes, said))


def _loaded(tensors: Tensors, told: Recognised, step: int | None, types: Mapping[str, str]) -> Loaded:
    return Loaded(read(tensors, told.call, step=step, types=types), told.taken_for)


def save(path: Path, state: OptimizerState) -> None:
    """Write a state file, whole or not at all."""
    metadata: dict[str, Any] = {"optimizer": state.call, "step": state.t, "types": dict(state.types)}
    if state.schedule is not None:
        metadata["schedule"] = state.schedule.to_data()
    files.save(path, write(state), metadata)


def convert(
    source: Path,
    target: Path,
    *,
    source_framework: str,
    target_framework: str,
    call: str | None = None,
    step: int | None = None,
    rename: Mapping[str, str] | None = None,
    transpose: Collection[str] = (),
    allow_rounding: bool = False,
) -> Outcome:
    """Convert a state file. Raises ValueError, and writes nothing, where it can't be done exactly."""
    state = load(source, source_framework, call, step).renamed(rename or {}, transpose)
    outcome = move(state, target_framework, allow_rounding=allow_rounding)
    save(target, outcome.state)
    return outcome


def targets(target: Path, count: int) -> list[Path]:
    """Where the states of so many groups go: one to `target`, several to names with their numbers."""
    return [target] if count == 1 else [target.with_name(f"{target.stem}.{n}{target.suffix}") for n in range(count)]
