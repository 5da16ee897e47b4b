"""Holds the GPU's table with state in few bits, and bfloat16 parameters with a remainder, to the reference in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ptx.cuda import Cuda, HostDevice
from ptx.hold import gradient, hyper_of
from ravine.engines import reference
from ravine.engines.fused.kernel import hyper_values
from ravine.engines.fused.storage import Storage
from ravine.engines.gpu.table import GpuTable
from ravine.engines.storage import bfloat16, noise
from ravine.engines.storage.codes import BLOCK, SHIFT, blocks, decode, encode
from ravine.rule import Rule
from ravine.trace.bounds import non_negative_slots

SIZES = ((1, 0), (37, 0), (0, 0), (256, 0), (264, 0), (1030, 0), (515, 3), (16391, 0))
"""Lengths of tensors, the last of two chunks, and by how many elements each misses a multiple of 64 bytes."""

KINDS = {"bfloat16": np.uint16}
"""What stands for a type that NumPy lacks."""

DRAWN = {"stochastic": 16, "remainder": 8}
"""The random bits by which a bfloat16 parameter is rounded."""


def coded(rule: Rule) -> dict[str, str]:
    """The kinds of a rule's array slots in 8 bits."""
    non_negative = non_negative_slots(rule)
    return {n: "uint8" if n in non_negative else "int8" for n, slot in rule.slots.items() if not slot.is_scalar}


class HeldNarrow:
    """Parameters of one rule and storage on the stand-in for a card. `kinds` has the types of array slots, and
    `rounding` says how bfloat16 parameters are rounded."""

    def __init__(
        self,
        rule: Rule,
        kinds: Mapping[str, str],
        x: str = "float32",
        g: str = "",
        *,
        rounding: str = "nearest",
        is_random: bool = True,
        has_counts: bool = False,
        sizes: tuple[tuple[int, int], ...] = SIZES,
        capability: tuple[int, int] = (9, 0),
        version: tuple[int, int] = (12, 4),
    ) -> None:
        self.rule, self.kinds, self.rounding, self.sizes = rule, dict(kinds), rounding, sizes
        self.rng, self.cuda = np.random.default_rng(0), Cuda(capability, version)
        self.scalars = [name for name, slot in rule.slots.items() if slot.is_scalar]
        self.narrow = [name for name, kind in kinds.items() if kind in ("int8", "uint8", "bfloat16")]
        self.storage = Storage(
            x,
            g or x,
            tuple(kinds.values()),
            ("float32",) + ("float64",) * len(self.scalars),
            is_stochastic=rounding == "stochastic",
            is_state_stochastic=is_random and bool(self.narrow),
            has_remainder=rounding == "remainder",
        )
        self.tensors = [self._tensor(n, offset) for n, offset in sizes]
        addresses = [[a.ctypes.data for a in tensor.values()] for tensor in self.tensors]
        lengths = [n for n, _ in sizes]
        self.table = GpuTable(rule, self.storage, lengths, addresses, HostDevice(self.cuda), has_counts=has_counts)

    def _tensor(self, n: int, offset: int) -> dict[str, np.ndarray]:
        """The arrays of a parameter in the order of a table's columns."""
        s = self.storage
        made = {"x": self._array(n, s.x, offset), "g": self._array(n, s.g, offset, is_written=False)}
        made |= {name: self._array(n, kind, offset) for name, kind in self.kinds.items()}
        if s.has_remainder:
            made["remainder"] = self._array(n, "int8", offset)
        for name, kind in self.kinds.items():
            if kind in ("int8", "uint8"):  # scales need no more than the alignment of one
                made[f"{name} scale"] = self._array(blocks(n), "float32", 1)
        made["t"] = self._array(1, "float32", 0)
        made |= {name: self._array(1, "float64", 0) for name in self.scalars}
        start = {name: np.full(made[name].size, self.rule.slots[name].start) for name in (*self.kinds, *self.scalars)}
        self._put(made, {"x": self.rng.standard_normal(n), **start}, None)
        return made

    def _array(self, n: int, kind: str, offset: int, *, is_written: bool = True) -> np.ndarray:
        raw = np.zeros(n + offset + 64, KINDS.get(kind, kind))
        skip = -raw.ctypes.data % 64 // raw.itemsize + offset
        made = raw[skip : skip + n]
        self.cuda.memory.own_array(made, is_written=is_written)
        return made

    def _put(self, tensor: dict[str, Any], values: Mapping[str, np.ndarray], seed: int | None) -> None:
        """Store numbers as the reference does: by chance where there is a seed."""
        is_random = seed is not None and self.storage.is_state_stochastic
        for name, value in values.items():
            kind = self.storage.x if name == "x" else self.kinds.get(name, "float64")
            n = value.size
            if name == "x" and kind == "bfloat16":
                bits = DRAWN.get(self.rounding)
                random = None if seed is None or bits is None else noise.draw(n, seed, False, bits)
                if self.storage.has_remainder:
                    tensor["x"][:], tensor["remainder"][:] = bfloat16.split(value, random)
                else:
                    tensor["x"][:] = bfloat16.encode(value, random)
            elif kind in ("int8", "uint8", "bfloat16"):
                draw = noise.slot_seed(seed, self.narrow.index(name)) if is_random else None
                if kind == "bfloat16":
                    tensor[name][:] = bfloat16.encode(value, None if draw is None else noise.draw(n, *draw, 16))
                else:
                    random = None if draw is None else noise.draw_by_block(n, BLOCK, *draw, SHIFT)
                    tensor[name][:], tensor[f"{name} scale"][:] = encode(value, kind, random)
            else:
                tensor[name][:] = value

    def _wide(self, tensor: dict[str, Any], name: str) -> np.ndarray:
        """An array in the compute type."""
        kind = {"x": self.storage.x, "g": self.storage.g}.get(name) or self.kinds[name]
        if name == "x" and self.storage.has_remainder:
            values = bfloat16.join(tensor["x"], tensor["remainder"])
        elif kind == "bfloat16":
            values = bfloat16.decode(tensor[name])
        elif kind in ("int8", "uint8"):
            values = decode(tensor[name], tensor[f"{name} scale"])
        else:
            values = tensor[name]
        return values.astype(self.storage.compute)

    def _wanted(self, tensor: dict[str, Any], seed: int) -> dict[str, np.ndarray]:
        """What the reference makes of a tensor's arrays."""
        t = int(tensor["t"][0]) + 1
        slots = {n: float(tensor[n][0]) if n in self.scalars else self._wide(tensor, n) for n in self.rule.slots}
        x, g = self._wide(tensor, "x"), self._wide(tensor, "g")
        new_x, new = reference.step(self.rule, x, g, slots, t, hyper_of(self.rule))
        wanted = {name: a.copy() for name, a in tensor.items()}
        wanted["t"][:] = t
        with np.errstate(over="ignore"):  # what a narrower type can't hold becomes infinite
            self._put(wanted, {"x": new_x, **{n: np.asarray(v) for n, v in new.items()}}, seed)
        return wanted

    def steps(self, count: int) -> HeldNarrow:
        """Steps at gradients of every kind, each held to the reference; every second tensor is three steps ahead."""
        hyper = hyper_values(self.rule, hyper_of(self.rule))
        for tensor in self.tensors[1::2]:
            tensor["t"][:] = 3.0
        for t in range(1, count + 1):
            seeds = [noise.seed(5, t, number) for number in range(len(self.tensors))]
            for tensor in self.tensors:
                self._put_gradient(tensor["g"], t)
            wanted = [self._wanted(*pair) for pair in zip(self.tensors, seeds, strict=True)]
            self.table.set_seeds(seeds)
            self.table.step(hyper)
            for number, (tensor, new) in enumerate(zip(self.tensors, wanted, strict=True)):
                for name, value in new.items():
                    where = f"{name} of {self.rule.name}, step {t}, tensor {number} of {self.sizes[number]}"
                    got = tensor[name]
                    if value.dtype == np.uint16:  # a NaN equals any NaN
                        got, value = bfloat16.decode(got), bfloat16.decode(value)
                    np.testing.assert_array_equal(got, value, err_msg=where)
        return self

    def _put_gradient(self, g: np.ndarray, t: int) -> None:
        """Of every kind, and in every second step of all magnitudes."""
        values = gradient(t, g.size, self.rng).numpy()
        if t % 2 == 0 and t < 7:
            values *= (10.0 ** self.rng.integers(-9, 1, g.size)).astype(np.float32)
            values[::7] = 0
        with np.errstate(over="ignore"):
            g[:] = bfloat16.encode(values) if self.storage.g == "bfloat16" else values
