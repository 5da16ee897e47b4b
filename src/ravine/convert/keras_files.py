"""Optimizers in the files that Keras writes: .keras, .h5 and .weights.h5, read with h5py.

.h5 has the variables by name. The other two have them by number: the iteration, the learning rate (unless it is a
schedule), then for each set of slots that the class makes together all slots of a parameter, parameter by parameter
(keras/src/optimizers/*.py). There the parameters have numbers, in the order of `model.trainable_variables`.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ravine import dialects
from ravine.convert.kept import Kept, kept
from ravine.convert.names import Tensors, join
from ravine.errors import missing

KINDS = (".keras", ".h5", ".hdf5")
WEIGHTS = "model.weights.h5"
LARGEST = 1 << 36
"""More bytes than this in an archive are taken for a bomb."""

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
}
"""The slots that a class's `build` makes together, in its order."""


def load(path: Path, call: str | None) -> tuple[Tensors, str]:
    """The optimizer's tensors by Keras's names, and its call; `call` where the file doesn't say.

    Raises ValueError for a damaged file, one without an optimizer's variables, and one that doesn't say which it is.
    """
    try:
        import h5py
    except ImportError as error:
        raise missing("reading Keras's files", error) from error
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                config = json.loads(_read(archive, "config.json", path))
                weights: Any = io.BytesIO(_read(archive, WEIGHTS, path))
            told = (config.get("compile_config") or {}).get("optimizer")
        else:
            weights, told = path, None
        with h5py.File(weights, "r") as file:
            if "optimizer_weights" in file:
                told = json.loads(file.attrs["training_config"])["optimizer_config"]
                return _named(file["optimizer_weights"]), call or spelled(told)
            if "optimizer/vars" not in file:
                raise ValueError(f"{path} holds no optimizer's variables: was the model saved after a step?")
            variables = [np.array(file["optimizer/vars"][str(i)]) for i in range(len(file["optimizer/vars"]))]
    except (OSError, KeyError, EOFError, zipfile.BadZipFile, json.JSONDecodeError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged, or not a file of Keras's: {error}") from error
    if call is None and told is None:
        raise ValueError(f"{path} doesn't say its optimizer: give it, as in --optimizer 'keras.Adam(0.01)'")
    call = call or spelled(told)
    # A schedule's rate is no variable.
    has_rate = len(variables) > 1 and variables[1].shape == () and variables[1].dtype.kind == "f"
    return numbered(variables, kept(call), has_rate=has_rate), call


def _read(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    if archive.getinfo(name).file_size > LARGEST:
        raise ValueError(f"{path}: {name} is larger than any model")
    return archive.read(name)


def spelled(config: Any) -> str:
    """The call of a serialised optimizer. Raises ValueError for one of no dialect, and for a schedule."""
    name, given = config["class_name"].rpartition(">")[2], dict(config["config"])
    framework = "keras_legacy" if LEGACY & given.keys() else "keras"
    known = dialects.constructors(framework)
    if name not in known:
        raise ValueError(f"the file's optimizer is {framework}.{name}, which no rule of Ravine's is")
    if isinstance(given.get("learning_rate"), dict):
        raise ValueError(
            f"the file's learning rate is the schedule {given['learning_rate'].get('class_name')}: give the optimizer "
            f"with the rate that it goes on with, as in --optimizer 'keras.{name}(0.01, …)'"
        )
    defaults = known[name].defaults
    chosen = {n: v for n, v in given.items() if n in defaults and n != "name" and v != defaults[n]}
    # Keras keeps the rate in float32, the legacy optimizers all but ε; those that were meant are the shortest.
    meant = {
        n: float(np.format_float_positional(np.float32(v))) for n, v in chosen.items() if _is_kept(n, v, framework)
    }
    chosen = {n: v for n, v in (chosen | meant).items() if v != defaults[n]}
    return known[name].call(chosen)


def _is_kept(name: str, value: Any, framework: str) -> bool:
    return isinstance(value, float) and name != "epsilon" and (name == "learning_rate" or framework == "keras_legacy")


def _named(group: Any) -> Tensors:
    """The variables of an .h5 file, by the last part of their path."""
    import h5py

    found: Tensors = {}

    def visit(name: str, value: Any) -> None:
        if isinstance(value, h5py.Dataset):
            # Keras 3 has its variables' names in the last part; the legacy optimizers have paths, from their own name.
            path = name.removesuffix(":0")
            is_legacy = name.endswith(":0")
            found[path.partition("/")[2] if is_legacy else path.rpartition("/")[2]] = np.array(value)

    group.visititems(visit)
    return found


def numbered(variables: list[np.ndarray], optimizer: Kept, *, has_rate: bool) -> Tensors:
    """The variables of the other files under Keras's names, with numbers for the parameters."""
    found: Tensors = {"iteration": variables[0]}
    rest = variables[1 + has_rate :]
    keys = {k.lstrip("-") for n, k in optimizer.form.state.items() if not optimizer.recipe.rule.slots[n].is_scalar}
    scalars = len(optimizer.recipe.rule.slots) - len(keys)
    assert optimizer.constructor is not None
    blocks = [[k for k in block if k in keys] for block in LAYOUT[optimizer.constructor.name]]
    count, odd = divmod(len(rest) - scalars, len(keys) or 1)
    if odd or count < 0 or (rest and not keys):
        raise ValueError(
            f"{len(rest)} variables are no whole number of {', '.join(sorted(keys)) or 'none'}: the optimizer is "
            f"another one than {optimizer}, or keeps averages or sums of gradients beside"
        )
    names = [join("keras", str(number), key) for block in blocks for number in range(count) for key in block]
    return found | dict(zip([*names, *["variable"] * scalars], rest, strict=True))
