"""Optimizers in the files that Keras writes: .keras, .h5 and .weights.h5, read with h5py.

.h5 has the variables by name. The other two have them by number: the iteration, the learning rate (unless it is a
schedule), then for each set of slots that the class makes together all slots of a parameter, parameter by parameter
(keras/src/optimizers/*.py). There the parameters have numbers, in the order of `model.trainable_variables`.
"""

from __future__ import annotations

import inspect
import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ravine import dialects
from ravine.convert import files
from ravine.convert.kept import ACCUMULATION, Kept, apart, kept, unscheduled
from ravine.convert.names import Tensors, join
from ravine.dialects import schedules
from ravine.dialects.terms import AVERAGE
from ravine.errors import missing
from ravine.schedules import Schedule

KINDS = (".keras", ".h5", ".hdf5")
WEIGHTS = "model.weights.h5"
KEPT_BESIDE = {"use_ema": AVERAGE, ACCUMULATION: "gradient_accumulator"}
"""What is kept for each parameter beside its slots, in this order and before them, and the argument that says so."""

SCALES = ("step_counter", "dynamic_scale")
"""A loss scale's variables."""

LEGACY = {"decay", "schedule_decay"}
"""What only the legacy optimizers' configurations have."""

ADAM = (("momentum", "velocity"), ("velocity_hat",))
LAYOUT = {
    "RMSprop": (("velocity",), ("momentum",), ("average_gradient",)),
    "Adadelta": (("accumulated_grad", "accumulated_delta_var"),),
    "Adamax": (("momentum", "norm"),),
    **dict.fromkeys(("Adam", "AdamW", "Nadam"), ADAM),
    **dict.fromkeys(("SGD", "Lion"), (("momentum",),)),
    "Adagrad": (("accumulator",),),
    "Ftrl": (("accumulator", "linear"),),
    "Lamb": (("momentum", "velocity"),),
    "Adafactor": (("r", "c", "velocity"),),
    "ScheduleFreeAdamW": (("momentum", "velocity"),),
}
"""The slots that a class's `build` makes together, in its order."""


@dataclass(frozen=True)
class Found:
    """An optimizer's tensors by Keras's names, and its call; what else was kept, and what is done beside the equation.

    `step` is the number of updates, where that is not the number of calls.
    """

    tensors: Tensors
    call: str
    left: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    step: int | None = None


def load(path: Path, call: str | None) -> Found:
    """The optimizer in a file; `call` is its call where the file doesn't say.

    Raises ValueError for a damaged file, one without an optimizer's variables, and one that doesn't say which it is.
    """
    try:
        import h5py
    except ImportError as error:
        raise missing("reading Keras's files", error) from error
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                files.check_archive(archive, path)
                config = json.loads(archive.read("config.json"))
                weights: Any = io.BytesIO(archive.read(WEIGHTS))
            told = (config.get("compile_config") or {}).get("optimizer")
        else:
            weights, told = path, None
        with h5py.File(weights, "r") as file:
            _check_links(file, ("optimizer_weights", "optimizer", "inner_optimizer", "vars"), path)
            if "optimizer_weights" in file:
                told = json.loads(file.attrs["training_config"])["optimizer_config"]
                _check_backend(told if call is None else {}, str(file.attrs.get("backend", "")), path)
                return _found(_named(file["optimizer_weights"], path), call, told, path)
            _check_backend(told if call is None else {}, "", path)
            group = file.get("optimizer/inner_optimizer/vars", file.get("optimizer/vars"))  # inside a loss scale
            if group is None:
                raise ValueError(f"{path} holds no optimizer's variables: was the model saved after a step?")
            _check_links(group, [str(i) for i in range(len(group))], path)
            return _found([_value(group[str(i)], path) for i in range(len(group))], call, told, path)
    except (OSError, KeyError, EOFError, zipfile.BadZipFile, json.JSONDecodeError, RuntimeError, zlib.error) as error:
        raise ValueError(f"{path} is damaged, or not a file of Keras's: {error}") from error


def _check_backend(told: Mapping[str, Any] | None, backend: str, path: Path) -> None:
    """Raise ValueError for an optimizer whose arithmetic hangs on Keras's backend, where that may not be JAX."""
    if told and str(told["class_name"]).rpartition(">")[2] == "ScheduleFreeAdamW" and backend != "jax":
        which = (
            f"was written with the backend {backend}" if backend else "does not say with which backend it was written"
        )
        raise ValueError(
            f"{path} {which}: there ScheduleFreeAdamW trains the plain average of z, which no rule of Ravine's does, "
            "and with JAX alone what it is meant to. To go on so, give it: --optimizer 'keras.ScheduleFreeAdamW(…)'"
        )


def _found(variables: Tensors | list[np.ndarray], call: str | None, told: Any, path: Path) -> Found:
    """What variables by name or by number are, of the optimizer that is given or told."""
    if call is None and told is None:
        raise ValueError(f"{path} doesn't say its optimizer: give it, as in --optimizer 'keras.Adam(0.01)'")
    is_scaled = told is not None and told["class_name"].endswith("LossScaleOptimizer")
    call = call or spelled(told["config"]["inner_optimizer"] if is_scaled else told)
    if isinstance(variables, dict):
        call, beside = _known(call)
        blocks = tuple(f"_{name}" for argument, name in KEPT_BESIDE.items() if argument in beside)
        left = sorted(n for n in variables if n.endswith(blocks))
        tensors = {n: v for n, v in variables.items() if n not in left and n not in SCALES}
        found = _made(tensors, call, left, beside)
    else:
        # A schedule's rate is no variable.
        is_rate = len(variables) > 1 and variables[1].shape == () and variables[1].dtype.kind == "f"
        found = by_number(variables, call, has_rate=is_rate and unscheduled(call)[1] is None)
    return replace(found, beside=(*found.beside, *["LossScaleOptimizer"] * is_scaled))


def by_number(variables: list[np.ndarray], call: str, *, has_rate: bool) -> Found:
    """What numbered variables are, of the optimizer that is spelled so; the iteration is the first of them.

    `has_rate` says whether the second is the learning rate. Raises ValueError for variables that are not this one's.
    """
    call, beside = _known(call)
    left = [name for argument, name in KEPT_BESIDE.items() if beside.get(argument)]
    tensors = numbered(variables, kept(unscheduled(call)[0]), has_rate=has_rate, besides=len(left))
    return _made(tensors, call, left, beside)


def _known(call: str) -> tuple[str, dict[str, object]]:
    """The call without what is done beside the equation, and that. Raises ValueError for one that is two optimizers."""
    if "keras.Muon" in call:
        raise ValueError(
            "keras.Muon steps all but matrices, and embeddings, by Adam and keeps Adam's averages for them: no one "
            "recipe goes on with both"
        )
    return apart(call)


def _made(tensors: Tensors, call: str, left: Sequence[str], beside: Mapping[str, object]) -> Found:
    every = beside.get(ACCUMULATION)
    step = int(tensors["iteration"]) // every if isinstance(every, int) else None
    return Found(tensors, call, tuple(left), tuple(f"{n}={v!r}" for n, v in beside.items()), step)


def _check_links(group: Any, names: Iterable[str], path: Path) -> None:
    """Raise ValueError for a name, in a group or in those of these names inside, that leads to another file."""
    import h5py

    for name in names:
        if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
            raise ValueError(f"{path} leads to another file, at {name!r}")
        inside = group.get(name)
        group = inside if isinstance(inside, h5py.Group) else group


def _value(dataset: Any, path: Path) -> np.ndarray:
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{path} has its numbers in another file, at {dataset.name!r}")
    files.check_size(dataset.nbytes, path)
    return np.array(dataset)


def spelled(config: Any) -> str:
    """The call of a serialised optimizer. Raises ValueError for one of no dialect, and for a schedule."""
    name, given = config["class_name"].rpartition(">")[2], dict(config["config"])
    framework = "keras_legacy" if LEGACY & given.keys() else "keras"
    known = dialects.constructors(framework)
    if name not in known:
        raise ValueError(f"the file's optimizer is {framework}.{name}, which no rule of Ravine's is")
    if isinstance(given.get("learning_rate"), dict):
        given["learning_rate"] = _schedule(given["learning_rate"], f"{framework}.{name}")
    defaults = known[name].defaults
    chosen = {n: v for n, v in given.items() if n in defaults and n != "name" and v != defaults[n]}
    # Keras keeps the rate in float32, the legacy optimizers all but ε; those that were meant are the shortest.
    meant = {
        n: float(np.format_float_positional(np.float32(v))) for n, v in chosen.items() if _is_kept(n, v, framework)
    }
    chosen = {n: v for n, v in (chosen | meant).items() if v != defaults[n]}
    return known[name].call(chosen)


def _schedule(config: Mapping[str, Any], optimizer: str) -> Schedule:
    """The schedule of a serialised one. Raises ValueError for one that is not Keras's own, or not supported."""
    name = str(config.get("class_name")).rpartition(">")[2]
    if name not in schedules.BY_FRAMEWORK["keras"]:
        raise ValueError(
            f"the file's learning rate is the schedule {name}, which is none of "
            f"{', '.join(schedules.BY_FRAMEWORK['keras'])}: give the optimizer with the rate that it goes on with, as "
            f"in --optimizer '{optimizer}(0.01, …)'"
        )
    defaults = {n: p.default for n, p in inspect.signature(schedules.KNOWN[name]).parameters.items()}
    given = {n: v for n, v in config["config"].items() if n != "name" and v != defaults.get(n)}
    return schedules.made(name, (), given)


def _is_kept(name: str, value: Any, framework: str) -> bool:
    return isinstance(value, float) and name != "epsilon" and (name == "learning_rate" or framework == "keras_legacy")


def _named(group: Any, path: Path) -> Tensors:
    """The variables of an .h5 file, by the last part of their path."""
    import h5py

    found: Tensors = {}

    def visit(name: str, value: Any) -> None:
        if isinstance(value, h5py.Dataset):
            # Keras 3 has its variables' names in the last part; the legacy optimizers have paths, from their own name.
            place = name.removesuffix(":0")
            is_legacy = name.endswith(":0")
            found[place.partition("/")[2] if is_legacy else place.rpartition("/")[2]] = _value(value, path)

    group.visititems(visit)
    return found


def numbered(variables: list[np.ndarray], optimizer: Kept, *, has_rate: bool, besides: int = 0) -> Tensors:
    """The variables of the other files under Keras's names, with numbers for the parameters.

    `besides` is how many are kept for each parameter before the slots: averages and sums of gradients.
    """
    found: Tensors = {"iteration": variables[0]}
    rest = variables[1 + has_rate :]
    slots = optimizer.recipe.rule.slots
    keys = {optimizer.form.state[n].lstrip("-") for n, slot in slots.items() if not slot.is_scalar}
    scalars = len(slots) - len(keys)
    keys |= {optimizer.form.whole} - {""}
    assert optimizer.constructor is not None
    if optimizer.constructor.name not in LAYOUT:
        raise ValueError(f"which of the file's numbered variables are {optimizer}'s is not known")
    blocks = [[k for k in block if k in keys] for block in ((AVERAGE,), *LAYOUT[optimizer.constructor.name])]
    count, odd = divmod(len(rest) - scalars, len(keys) + besides or 1)
    if odd or count < 0 or (rest and not keys and not besides):
        raise ValueError(
            f"{len(rest)} variables are no whole number of {', '.join(sorted(keys)) or 'none'}: the optimizer is "
            f"another one than {optimizer}, or keeps averages or sums of gradients beside"
        )
    names = [join("keras", str(number), key) for block in blocks for number in range(count) for key in block]
    return found | dict(zip([*names, *["variable"] * scalars], rest[besides * count :], strict=True))
