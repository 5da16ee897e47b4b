"""The state of `recipe.optax()`, under the names that `recipe.torch()` has for the same: "slots.m.w" is "w.m"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np

SLOT = re.compile(r"(?P<place>(?:[^.]+\.)*?)slots\.(?P<slot>\w+)(?:\.(?P<param>.+))?")
COUNT = "count"
STEP = "step"


def is_inside(names: Iterable[str]) -> bool:
    """Whether such a state is in a tree with leaves of these names."""
    return any(map(SLOT.fullmatch, names))


def own_names(tensors: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The tensors of a tree under their own names, and what else the tree keeps. Raises ValueError for two states."""
    found: dict[str, np.ndarray] = {}
    numbers: dict[str, np.ndarray] = {}
    places = {place["place"] for n in tensors if (place := SLOT.fullmatch(n))}
    if len(places) > 1:
        raise ValueError(f"there are several states, at {', '.join(sorted(places))}: convert one at a time (key)")
    (at,) = places
    for name, value in tensors.items():
        if place := SLOT.fullmatch(name):
            if place["param"] is None and value.shape == ():
                numbers[place["slot"]] = value
            else:
                found[own_name(place)] = value
    params = dict.fromkeys(n.rpartition(".")[0] for n in found)
    numbers[STEP] = tensors[f"{at}{COUNT}"]
    found |= {f"{p}.{n}" if p else n: value for p in params for n, value in numbers.items()}
    left = [n for n in tensors if not SLOT.fullmatch(n) and n != f"{at}{COUNT}"]
    return found, tuple(left)


def own_name(place: re.Match[str]) -> str:
    """The name of a slot's tensor, from the place of its leaf."""
    return ".".join(filter(None, (place["param"], place["slot"])))


def leaf(name: str, tensors: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """What goes to the leaf of this name in a tree; None for one that is no part of such a state.

    Raises ValueError where it is missing.
    """
    place = SLOT.fullmatch(name)
    ending = name.rpartition(".")[2]
    if place is None and ending != COUNT:
        return None
    own = own_name(place) if place else STEP
    if own in tensors:
        return tensors[own]
    # A number that the tree keeps once is kept here for each parameter.
    each = [value for n, value in tensors.items() if n.endswith(f".{own}") and value.size == 1]
    if place is not None and (place["param"] is not None or not each):
        raise ValueError(f"{own!r} is missing")
    return max(each, key=lambda v: float(v.item()), default=None)
