"""The judge for narrow state: the reference's step between decoding and encoding, in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ravine.engines import reference
from ravine.engines.storage import bfloat16, codes, noise
from ravine.rule import Rule


@dataclass(frozen=True, eq=False)
class Stored:
    """A slot in few bits: `kind` is "bfloat16", "int8" or "uint8", `data` what lies in memory (uint16 for bfloat16),
    `scale` a float32 for each block of 256 elements, None for bfloat16. It has the shape of what it stands for. `seed`
    is that of a run whose roundings are random, None where they are to the nearest.
    """

    kind: str
    data: Any
    scale: Any = None
    seed: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the slot."""
        found: tuple[int, ...] = self.data.shape
        return found

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return int(self.data.nbytes) + (0 if self.scale is None else int(self.scale.nbytes))

    def decode(self) -> Any:
        """The values, float32."""
        return bfloat16.decode(self.data) if self.scale is None else codes.decode(self.data, self.scale)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.decode().astype(dtype or np.float32, copy=False)


def run_seed(slots: Mapping[str, Any], t: int) -> int | None:
    """The seed of step t (from 1) of a run, as its narrow slots have it; None where nothing is random."""
    seeds = [s.seed for s in slots.values() if isinstance(s, Stored) and s.seed is not None]
    return noise.seed(seeds[0], t, 0) if seeds else None


def store(values: Any, kind: str, draw: tuple[int, bool] | None = None, seed: int | None = None) -> Stored:
    """float32 numbers in few bits: by chance, with the seed and the half of the hash that are given, or the nearest."""
    n = values.size
    if kind == "bfloat16":
        return Stored(kind, bfloat16.encode(values, None if draw is None else noise.draw(n, *draw, 16)), None, seed)
    random = None if draw is None else noise.draw_by_block(n, codes.BLOCK, *draw, codes.SHIFT)
    return Stored(kind, *codes.encode(values, kind, random), seed)


def step(
    rule: Rule, x: Any, g: Any, slots: Mapping[str, Any], t: int, hyper: Mapping[str, Any], seed: int | None
) -> tuple[Any, dict[str, Any]]:
    """One update: (new x, new slots). Slots that are `Stored` are decoded to float32, and encoded in the same kind.

    `seed`, of 32 bits, is that of the step; None rounds to the nearest. Each slot draws other bits of it.
    """
    narrow = [n for n, s in slots.items() if isinstance(s, Stored)]
    wide = {n: s.decode() if isinstance(s, Stored) else s for n, s in slots.items()}
    new_x, new = reference.step(rule, x, g, wide, t, hyper)
    for k, name in enumerate(narrow):
        draw = None if seed is None else noise.slot_seed(seed, k)
        new[name] = store(new[name], slots[name].kind, draw, slots[name].seed)
    return new_x, new
