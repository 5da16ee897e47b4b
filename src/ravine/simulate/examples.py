"""Data that a surface's loss is a mean over, and the order in which batches of it come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ravine.simulate.noise import Noise, bits
from ravine.trace.graph import Node

FOLDER = Path(__file__).parent / "data"


@dataclass(frozen=True, eq=False)
class Examples:
    """What a loss is a mean over: for each example its inputs, and the output that is wanted.

    `inputs` are the names that the model's expression has for its inputs, with what they are called on a picture;
    `rows` has an example in each row, the inputs first and what is wanted last: a number, or −1 or 1 for the two
    classes, whose names are `classes` (none where a number is wanted). `output` is the model's output as an
    expression of the surface's coordinates, its parameters and the inputs: a number, or what is above zero for the
    second class. `wanted` names a number that is wanted.
    """

    title: str
    inputs: Mapping[str, str]
    wanted: str
    classes: tuple[str, ...]
    rows: Any
    output: Node

    @property
    def columns(self) -> dict[str, Any]:
        """The data by the names that expressions have for them, each of shape (examples,)."""
        return dict(zip([*self.inputs, WANTED], self.rows.T, strict=True))


WANTED = "wanted"
"""The name that a loss's expression has for the output that is wanted."""


def table(name: str) -> Any:
    """A file of `data/`, without its heading: an array (rows, columns) of float64."""
    return np.loadtxt(FOLDER / f"{name}.csv", delimiter=",", skiprows=1)


def mean(terms: Any, members: Any = None) -> Any:
    """The mean over the first axis in one order, from the first example to the last; `members` says who counts.

    `terms` has shape (examples, n); so has `members`, of true and false, with as many true in each column. Whoever adds
    in that order gets the same bits.
    """
    if members is None:
        return (0.0 + np.add.accumulate(terms, axis=0)[-1]) / len(terms)
    return (0.0 + np.add.accumulate(np.where(members, terms, 0.0), axis=0)[-1]) / members.sum(axis=0)


def batches(noise: Noise, streams: Any, count: int) -> Callable[[int], Any]:
    """A function from the step t (from 1) to who is in its batch: true and false, of shape (examples, streams).

    The scale of the noise is the size of a batch. Every epoch has each example once, sorted by
    bits(seed, stream, epoch, 0, example); what is left over at its end makes a smaller batch.
    """
    size = min(count, max(1, round(noise.scale)))
    an_epoch = -(-count // size)
    stream = np.asarray(streams, dtype=np.uint32)[:, None]
    kept: dict[int, Any] = {}

    def members(t: int) -> Any:
        epoch, number = divmod(t - 1, an_epoch)
        if epoch not in kept:
            keys = bits(noise.seed, stream, epoch, 0, np.arange(count, dtype=np.uint32))
            order = np.argsort(keys, axis=-1, kind="stable")
            kept.clear()
            kept[epoch] = np.argsort(order, axis=-1, kind="stable").T  # each example's place
        return kept[epoch] // size == number

    return members
