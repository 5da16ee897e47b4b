"""Optimizers in TensorFlow's checkpoints: those of TensorFlow 1's Saver, of `tf.train.Checkpoint`, and saved models.

The Saver names a slot by the variable and the optimizer's own name: `w/RMSProp`, then `w/RMSProp_1`. A checkpoint of
objects names it by the way there: `model/w/.OPTIMIZER_SLOT/optimizer/rms/.ATTRIBUTES/VARIABLE_VALUE` for Keras's legacy
optimizers, and by number, `optimizer/_variables/2/.ATTRIBUTES/VARIABLE_VALUE`, for Keras's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ravine import dialects
from ravine.convert import bundle, keras_files
from ravine.convert.keras_files import Found
from ravine.convert.names import Tensors, join

SLOTS = {
    "RMSPropOptimizer": ("rms", "mg", "momentum"),
    "MomentumOptimizer": ("momentum",),
    "AdamOptimizer": ("m", "v"),
    "AdagradOptimizer": ("accumulator",),
    "AdadeltaOptimizer": ("accum", "accum_update"),
    "GradientDescentOptimizer": (),
}
"""What TensorFlow 1's optimizers make for each variable, in their order; `mg` only when centred."""

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
SLOT = re.compile(rf"(?P<param>.+)/\.OPTIMIZER_SLOT/(?P<optimizer>.+)/(?P<slot>[^/]+){VALUE}")
ITERATIONS = re.compile(rf"(?P<optimizer>.+)/(?:_iterations|iter){VALUE}")


def prefix(path: Path) -> Path | None:
    """A checkpoint's path without ".index": of that file, of the path itself, or of a folder's newest. None for others.

    Raises ValueError for a folder with several that does not say which is the newest.
    """
    if path.suffix == ".index":
        return path.with_suffix("")
    if path.with_name(f"{path.name}.index").is_file():
        return path
    if not path.is_dir():
        return None
    if (path / "variables" / "variables.index").is_file():  # a saved model
        return path / "variables" / "variables"
    known = sorted(p.with_suffix("") for p in path.glob("*.index"))
    if (path / "checkpoint").is_file():
        said = re.search(r'^model_checkpoint_path: "(.*)"', (path / "checkpoint").read_text(errors="replace"), re.M)
        newest = path / Path(said[1]).name if said else None  # it may have been written elsewhere, or moved
        if newest in known:
            return newest
    if len(known) > 1:
        raise ValueError(f"{path} holds several checkpoints, {', '.join(p.name for p in known)}: name one of them")
    return known[0] if known else None


def load(path: Path, framework: str, call: str | None, key: str | None = None) -> Found:
    """The optimizer's tensors by the framework's names, its call, and the step where a variable beside counts it.

    Values that the file has (`optimizer/learning_rate`, …) complete a call that doesn't give them. Raises ValueError
    for a damaged file, one without this optimizer, one with several where `key` doesn't say which, and for no `call`.
    """
    variables = bundle.load(path)
    if call is None:
        example = {"tensorflow": "tensorflow.AdamOptimizer(0.001)", "keras": "keras.Adam(0.01)"}.get(framework)
        raise ValueError(
            f"{path} doesn't say which optimizer it is from{_guess(variables)}: give it, as in --optimizer "
            f"'{example or 'keras_legacy.Adam'}'"
        )
    if framework == "tensorflow":
        step = variables.get("global_step")
        return Found(_saved(path, variables, call), call, step=None if step is None else int(step))
    owners = {m["optimizer"] for n in variables for p in (SLOT, ITERATIONS) if (m := p.fullmatch(n))}
    owner = _owner(path, owners, key)
    own = {n.removeprefix(owner + "/").removesuffix(VALUE): v for n, v in variables.items() if n.startswith(owner)}
    if framework == "keras":
        return keras_files.by_number(_in_order(own), call, has_rate=False)
    return Found(_by_slot(variables, own, owner), _completed(call, own))


def _saved(path: Path, variables: Mapping[str, np.ndarray], call: str) -> Tensors:
    """The slots of TensorFlow 1's optimizer. Variables without them are the model's, or another optimizer's."""
    constructor, given = dialects.parse(call)
    optimizer = constructor.arguments(**given)["name"]
    slots = [s for s in SLOTS[constructor.name] if s != "mg" or given.get("centered")]
    found: Tensors = {n: v for n, v in variables.items() if re.fullmatch(r"beta[12]_power", n)}
    for number, slot in enumerate(slots):
        ending = f"/{optimizer}" + f"_{number}" * (number > 0)
        found |= {
            join("tensorflow", n.removesuffix(ending), slot): v for n, v in variables.items() if n.endswith(ending)
        }
    odd = [n for n in variables if n.endswith(f"/{optimizer}_{len(slots)}")]
    if slots and (odd or not any(n.endswith(f"/{optimizer}") for n in variables)):
        has = f"has {odd[0]!r}, which it does not make" if odd else f"has no variable that ends in '/{optimizer}'"
        raise ValueError(f"{path} is not of {call}: it {has}{_guess(variables)}. (An optimizer may have a name=…)")
    return found


def _guess(variables: Mapping[str, np.ndarray]) -> str:
    """What the names of the slots look like, in words."""
    ends = sorted({m[1] for n in variables if (m := re.fullmatch(r".+/(\w+?)(?:_\d)?", n)) and m[1][0].isupper()})
    return f" (its slots are named {', '.join(ends)})" if ends else ""


def _owner(path: Path, owners: set[str], key: str | None) -> str:
    if key is not None and key in owners:
        return key
    if not owners or key is not None:
        raise ValueError(f"{path} has no optimizer{'' if key is None else f' at {key!r}'}: {sorted(owners) or 'none'}")
    if len(owners) > 1:
        raise ValueError(f"{path} holds several optimizers, at {', '.join(sorted(owners))}: say which (key)")
    return next(iter(owners))


def _in_order(own: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    numbers = sorted(int(n.rpartition("/")[2]) for n in own if re.fullmatch(r"_variables/\d+", n))
    return [own["_iterations"], *(own[f"_variables/{n}"] for n in numbers)]


def _by_slot(variables: Mapping[str, np.ndarray], own: Mapping[str, np.ndarray], owner: str) -> Tensors:
    found: Tensors = {n: own[n] for n in ("iter", "momentum_cache") if n in own}
    for name, value in variables.items():
        if (place := SLOT.fullmatch(name)) and place["optimizer"] == owner:
            found[join("keras_legacy", place["param"], place["slot"])] = value
    return found


def _completed(call: str, own: Mapping[str, np.ndarray]) -> str:
    """The call with the numbers that the checkpoint has and the call doesn't give."""
    constructor, given = dialects.parse(call)
    known = dict(_numbers(own, constructor.defaults, given))
    return constructor.call({**given, **known})


def _numbers(
    own: Mapping[str, np.ndarray], known: Mapping[str, object], given: Mapping[str, object]
) -> Iterator[tuple[str, float]]:
    for name, value in own.items():
        if name in known and name not in given and value.shape == ():
            number = float(np.format_float_positional(np.float32(value)))
            if number != known[name]:
                yield name, number
