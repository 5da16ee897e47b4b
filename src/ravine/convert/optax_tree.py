"""Where an optimizer is inside an optax state: in chains, and in the wrappers around it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import numpy as np

from ravine.errors import unknown

WRAPPERS = (
    *("inner_state", "inner_opt_state", "inner_states", "opt_state", "state"),  # what wraps another state
    *("base_state", "base_optimizer_state", "fast_state"),
    *("acc_grads", "mini_step", "skip_state", "notfinite_count", "last_finite", "total_notfinite"),
    *("hyperparams", "hyperparams_states", "ema", "loss_scale", "max_norm", "steps_since_sync"),
)
SLOTS = (
    *("mu", "nu", "nu_max", "trace", "e_g", "e_x", "sum_of_squares", "v_row", "v_col", "v"),
    *("z", "max_lr", "weight_sum", "grad_sum_sq", "s", "x0", "m1", "m2"),
)
"""The fields in which optax's own transformations keep what a rule keeps."""

CONSTANT = ("b1",)
INJECTED = "hyperparams"
"""Arguments that optax keeps in a state: Schedule-Free's, and those that `inject_hyperparams` takes out."""

NEXT = "step_count"
COUNT = re.compile(rf"(.*\.)?(count|count_m2|gradient_step|{NEXT})|(\d+\.)*t")
"""The leaves that count steps: Adam's, a schedule's, those of `MultiSteps` and `inject_hyperparams`; AdEMAMix's second
one, and Adan's t. Schedule-Free's has the number of the next step."""

LINK = rf"(?!(?:{'|'.join(SLOTS)})\.)[^.]+\.(?=(?:\d+|{'|'.join((*WRAPPERS, *SLOTS))})\.)"
"""A name that a chain gives to one of its links."""

PLACE = rf"(?:\d+\.|(?:{'|'.join(WRAPPERS)})\.|(?<=inner_states\.)[^.]+\.|{LINK})*"
LEAF = re.compile(rf"(?P<place>{PLACE})(?P<field>\w+)(?:\.(?P<param>.+))?")
"""The path of a leaf: where its state is, the field there, and the parameter."""

Leaf = tuple[str, str]
"""A field of an optimizer's own state, and a parameter."""


def ahead(name: str) -> int:
    """How many steps more than are finished a count of this name says."""
    return int(name.rpartition(".")[2] == NEXT)


def own_leaf(name: str) -> Leaf | None:
    """The field and the parameter of a leaf of an optimizer's own state, as ("mu", "weight"); None for others."""
    found = LEAF.fullmatch(name)
    return (found["field"], found["param"] or "") if found and found["field"] in SLOTS else None


def constant(name: str) -> str:
    """The argument of an optimizer's that a leaf is; empty for one that is something else."""
    found = LEAF.fullmatch(name)
    if found and found["field"] in CONSTANT and found["param"] is None:
        return found["field"]
    at, _, argument = name.rpartition(".")
    return argument if at.rpartition(".")[2] == INJECTED else ""


def place(name: str) -> str:
    """Where the state is whose leaf this is, as "1." for the second link of a chain."""
    found = LEAF.fullmatch(name)
    return found["place"] if found else ""


def is_beside(name: str) -> bool:
    """Whether a leaf is one that a wrapper keeps beside the state that it wraps."""
    found = LEAF.fullmatch(name)
    return found is not None and (found["field"] in WRAPPERS or bool(set(found["place"].split(".")) & set(WRAPPERS)))


def constants(tensors: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The arguments in a state that stay what they are. One that follows a schedule has a state of its own there."""
    scheduled = {
        n.rpartition(f"{INJECTED}_states.")[2].partition(".")[0] for n in tensors if f"{INJECTED}_states." in n
    }
    own = {argument: value for n, value in tensors.items() if (argument := constant(n)) and value.size == 1}
    return {n: float(value.item()) for n, value in own.items() if n not in scheduled}


def inside(tensors: Mapping[str, np.ndarray], keys: Collection[str]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The tensors of a state as the optimizer by itself would have them, under `keys` ("0.mu"), and what else there is:
    what wrappers keep, and other links of a chain.

    The optimizer's own count becomes "count", or else the largest of a schedule. Raises ValueError where one key is in
    two places of a tree for the same parameter.
    """
    by_field = {key.rpartition(".")[2]: key for key in keys}
    found: dict[str, np.ndarray] = {}
    left: list[str] = []
    unknown_ones: list[str] = []
    places: set[str] = set()
    counts: list[np.ndarray] = []
    for name, value in tensors.items():
        leaf = own_leaf(name)
        if COUNT.fullmatch(name):
            counts.append(value - ahead(name))
        elif constant(name):
            continue
        elif leaf is not None and leaf[0] in by_field:
            there = ".".join(filter(None, (by_field[leaf[0]], leaf[1])))
            if there in found:
                raise ValueError(f"{name!r} is in the state twice: convert one of the transformations at a time")
            found[there] = value
            places.add(place(name))
        elif leaf is None and is_beside(name) and not any(f"{name}.".startswith(f"{key}.") for key in keys):
            left.append(name)
        else:
            unknown_ones.append(name)
    for name in unknown_ones:
        if places and own_leaf(name) is None and not any(place(name).startswith(own) for own in places):
            left.append(name)
        else:
            found[name] = tensors[name]
    if counts:
        found["count"] = max(counts, key=lambda c: int(np.asarray(c).item()))
    return found, tuple(left)


TRAIN_STATE = "opt_state"
"""What flax's train states call the optimizer's."""


KNOWN = (TRAIN_STATE, "params", "step")
"""What a train state has beside nothing else: the model's parameters, and steps that the optimizer counts too."""


def beside_train_state(tensors: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """What else a train state keeps, as averages of the parameters or a scale of the loss."""
    parts = dict.fromkeys(n.partition(".")[0] for n in tensors)
    return tuple(n for n in parts if n not in KNOWN) if TRAIN_STATE in parts else ()


def of_train_state(tensors: Mapping[str, np.ndarray], key: str | None) -> dict[str, np.ndarray]:
    """The tensors of the state at `key`, by default a train state's "opt_state"; all where there is none.

    Raises ValueError for a key that is not there.
    """
    there = f"{key or TRAIN_STATE}."
    own = {n.removeprefix(there): value for n, value in tensors.items() if n.startswith(there)}
    if key is not None and not own:
        known = {at for n in tensors for at in (n.partition(".")[0], place(n).rstrip(".")) if at}
        raise unknown("place of an optimizer's state", key, known)
    return own or dict(tensors)
