"""Holds the GPU's table with bfloat16 parameters and their remainders to the reference in NumPy, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from ptx.cuda import Cuda, HostDevice
from ptx.hold import gradient, hyper_of
from ravine.engines import reference
from ravine.engines.fused.kernel import hyper_values
from ravine.engines.fused.storage import Storage
from ravine.engines.gpu.table import GpuTable
from ravine.engines.storage import bfloat16, noise
from ravine.rule import Rule

SIZES = ((1, 0), (37, 0), (264, 0), (1030, 0), (515, 3), (16391, 0))
"""Lengths of tensors, the last of two chunks, and by how many elements each misses a multiple of 64 bytes."""


class HeldRemainder:
    """Parameters of float24 with float32 gradients and state, on the stand-in for a card."""

    def __init__(self, rule: Rule, capability: tuple[int, int] = (9, 0), version: tuple[int, int] = (12, 4)) -> None:
        self.rule, self.rng, self.cuda = rule, np.random.default_rng(0), Cuda(capability, version)
        names = list(rule.slots)
        assert not any(slot.is_scalar for slot in rule.slots.values())
        self.storage = Storage("bfloat16", "float32", ("float32",) * len(names), has_remainder=True)
        self.tensors: list[dict[str, np.ndarray]] = []
        for n, offset in SIZES:
            kinds = {"x": np.uint16, "g": np.float32, **dict.fromkeys(names, np.float32), "remainder": np.int8}
            made: dict[str, Any] = {name: self._array(n, kind, offset, name) for name, kind in kinds.items()}
            for name in names:
                made[name][:] = float(rule.slots[name].start)
            made["x"][:], made["remainder"][:] = bfloat16.split(self.rng.standard_normal(n).astype(np.float32))
            self.tensors.append(made)
        addresses = [[a.ctypes.data for a in tensor.values()] for tensor in self.tensors]
        self.table = GpuTable(rule, self.storage, [n for n, _ in SIZES], addresses, HostDevice(self.cuda))

    def _array(self, n: int, kind: type, offset: int, name: str) -> np.ndarray:
        raw = np.zeros(n + offset + 64, kind)
        skip = -raw.ctypes.data % 64 // raw.itemsize + offset
        made = raw[skip : skip + n]
        self.cuda.memory.own_array(made, is_written=name != "g")
        return made

    def steps(self, count: int) -> HeldRemainder:
        """Steps at gradients of every kind, each held to the reference."""
        hyper = hyper_of(self.rule)
        for t in range(1, count + 1):
            seeds = [noise.seed(5, t, number) for number in range(len(self.tensors))]
            wanted = []
            for tensor, seed in zip(self.tensors, seeds, strict=True):
                n = tensor["x"].size
                tensor["g"][:] = gradient(t, n, self.rng).numpy()
                slots = {name: tensor[name].copy() for name in self.rule.slots}
                x = bfloat16.join(tensor["x"], tensor["remainder"])
                x, new = reference.step(self.rule, x, tensor["g"].copy(), slots, t, hyper)
                upper, lower = bfloat16.split(x, noise.draw(n, seed, False, 8))
                wanted.append({"x": upper, "remainder": lower, **new})
            self.table.set_seeds(seeds)
            self.table.step_at(float(t), (), hyper_values(self.rule, hyper))
            for number, (tensor, new) in enumerate(zip(self.tensors, wanted, strict=True)):
                for name, value in new.items():
                    where = f"{name} of {self.rule.name}, step {t}, tensor {number} of {SIZES[number]}"
                    np.testing.assert_array_equal(tensor[name], value, err_msg=where)
        return self
