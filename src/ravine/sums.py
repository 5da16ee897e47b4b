"""The one order in which every engine adds: so sums, means and norms have the same bits everywhere.

A sum's numbers are widened to float64. While there are more than `LANES`, they are cut into blocks of `DEPTH` rows of
`LANES`, and each lane of a block is added from its first row to its last; the lanes' sums, block after block, are the
numbers of the next round. The last ones are added from the first on. All start at +0. The sum is rounded once, to the
type of what was added, after what is done to it still: the division of a mean, the root of a norm.

So a processor adds 16 lanes at a time, threads and blocks of a GPU share the first round, and of a sum in float32 no
more is lost than its last rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LANES, DEPTH = 16, 64
"""Neighbours added side by side, and how many rows of them make a block."""

KINDS = ("total", "mean", "norm", "rms")
"""Sum, mean, root of the sum of squares, root of their mean; squares are taken in float64."""


def reduce(kind: str, wide: Any, axis: int | None, add: Callable[[Any], Any], sqrt: Callable[[Any], Any]) -> Any:
    """A reduction of float64 arrays of shape (…, r, c): over the rows (`axis` 0) to (…, 1, c), over the columns (1) to
    (…, r, 1), or over both (None) to (…, 1, 1). `add` sums the last axis in order. Of nothing every kind is 0."""
    if kind in ("norm", "rms"):
        wide = wide * wide
    if axis is None:
        flat = wide.reshape(*wide.shape[:-2], 1, wide.shape[-2] * wide.shape[-1])
    else:
        flat = wide.swapaxes(-1, -2) if axis == 0 else wide
    found = add(flat)
    if kind in ("mean", "rms"):
        found = found / max(flat.shape[-1], 1)
    if kind in ("norm", "rms"):
        found = sqrt(found)
    return found[..., None, :] if axis == 0 else found[..., None]


def with_operators(flat: Any, zeros: Callable[[tuple[int, ...]], Any], join: Callable[[list[Any]], Any]) -> Any:
    """The sum along the last axis by +, row by row, for a library whose own sum has no order to rely on.

    `zeros` makes an array of a shape, `join` puts arrays behind each other along the last axis.
    """
    head = flat.shape[:-1]
    while (n := flat.shape[-1]) > LANES:
        rows = min(DEPTH, -(-n // LANES))
        blocks = -(-n // (rows * LANES))
        missing = blocks * rows * LANES - n
        cut = (join([flat, zeros((*head, missing))]) if missing else flat).reshape(*head, blocks, rows, LANES)
        added = zeros((*head, blocks, LANES))
        for row in range(rows):
            added = added + cut[..., row, :]
        flat = added.reshape(*head, blocks * LANES)
    result = zeros(head)
    for place in range(flat.shape[-1]):
        result = result + flat[..., place]
    return result


def with_numpy(flat: Any) -> Any:
    """The same for NumPy, whose reduction over an axis that is not the last goes row by row."""
    import numpy as np

    head = flat.shape[:-1]
    while (n := flat.shape[-1]) > LANES:
        rows = min(DEPTH, -(-n // LANES))
        blocks = -(-n // (rows * LANES))
        cut = np.zeros((*head, blocks * rows * LANES))
        cut[..., :n] = flat
        flat = np.add.reduce(cut.reshape(-1, rows, LANES), axis=1, initial=0.0).reshape(*head, blocks * LANES)
    result = np.zeros(head)
    for place in range(flat.shape[-1]):
        result = result + flat[..., place]
    return result
