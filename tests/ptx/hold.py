"""Holds the GPU's table, run by the machine, to the reference: parameters, state, counts, bit for bit, step-locked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ptx.cuda import Cuda, HostDevice
from ravine.engines import reference
from ravine.engines.fused.kernel import hyper_values
from ravine.engines.fused.lower import array_slots, scalar_slots
from ravine.engines.fused.storage import Storage
from ravine.engines.gpu.table import GpuTable
from ravine.rule import Rule

TYPES = {"float64": torch.float64, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
BITS = {8: torch.int64, 4: torch.int32, 2: torch.int16}
STEPS = 8
SPECIAL = {"weight_decay": 0.01, "clip_value": 0.5, "dampening": 0.1, "lr_decay": 0.001, "mu": 0.8}

SIZES = ((1, 0), (37, 0), (0, 0), (131, 1), (1030, 0), (260, 0), (515, 3))
"""Lengths of tensors, and by how many elements they miss an address that is a multiple of 64."""


def storage_of(rule: Rule, x: str, g: str = "", slots: str | Mapping[str, str] = "", **more: Any) -> Storage:
    """A storage for a rule; what is not given is as x. Slots are of one type, or each of its own. Counts as torch keeps
    them."""
    names, scalars = array_slots(rule.graph), len(scalar_slots(rule.graph))
    given = {"scalars": ("float32",) + ("float64",) * scalars, **more}
    return Storage(x, g or x, tuple((slots or x) if isinstance(slots, str) else slots[n] for n in names), **given)


def hyper_of(rule: Rule) -> dict[str, float]:
    return {n: SPECIAL.get(n, h.default) for n, h in rule.hyperparameters.items()}


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal bits; a NaN equals any NaN."""
    kind = BITS[a.element_size()]
    return a.dtype == b.dtype and bool(((a.view(kind) == b.view(kind)) | (a.isnan() & b.isnan())).all())


def roots(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """`torch._foreach_sqrt` correctly rounded: torch's root on the CPU is at times an ulp off."""
    with np.errstate(invalid="ignore"):
        return [torch.from_numpy(np.sqrt(t.numpy())) for t in tensors]


def gradient(t: int, size: int, rng: np.random.Generator) -> torch.Tensor:
    """A kind for each step: of the size of ε, random, flipped, tiny, zero, random, huge, mixed with subnormals, ∞, NaN.

    The last two make averages infinite for good, so that what comes after them would show nothing.
    """
    base = rng.standard_normal(size)
    mixed = rng.choice([0.0, -0.0, 1e30, -1e-30, 1e-42, 1.0, np.inf, np.nan], size)
    with np.errstate(invalid="ignore"):
        small = 1e-7 * np.where(rng.random(size) < 0.2, 0.0, base)
        kinds = [small, base, -0.1 * base, 1e-30 * base, 0 * base, 3 * base, 1e30 * base, mixed * base]
        return torch.from_numpy(kinds[(t - 1) % len(kinds)].astype(np.float32))


@dataclass
class Tensors:
    """One parameter with gradient, slots and counts, in memory that the kernel may touch."""

    x: torch.Tensor
    g: torch.Tensor
    slots: list[torch.Tensor]
    counts: list[torch.Tensor]

    def addresses(self) -> list[int]:
        return [a.data_ptr() for a in (self.x, self.g, *self.slots, *self.counts)]


@dataclass
class Held:
    """A table on the stand-in with tensors of its own. `steps` holds it to the reference, of `judge` where given."""

    rule: Rule
    storage: Storage
    sizes: tuple[tuple[int, int], ...] = SIZES
    has_counts: bool = False
    capability: tuple[int, int] = (9, 0)
    version: tuple[int, int] = (12, 4)
    judge: Rule | None = None
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def __post_init__(self) -> None:
        self.cuda = Cuda(self.capability, self.version)
        self.device = HostDevice(self.cuda)
        self.names, self.scalars = array_slots(self.rule.graph), scalar_slots(self.rule.graph)
        self.tensors = [self._tensors(n, offset) for n, offset in self.sizes]
        lengths, addresses = [n for n, _ in self.sizes], [t.addresses() for t in self.tensors]
        self.table = GpuTable(self.rule, self.storage, lengths, addresses, self.device, has_counts=self.has_counts)

    def array(self, size: int, kind: str, offset: int = 0, *, is_written: bool = True) -> torch.Tensor:
        """A tensor that misses a multiple of 64 bytes by some elements."""
        raw = torch.zeros(size + offset + 64, dtype=TYPES[kind])
        skip = -raw.data_ptr() % 64 // raw.element_size() + offset
        made = raw[skip : skip + size]
        self.cuda.memory.own(made.data_ptr(), size * raw.element_size(), is_written=is_written)
        return made

    def _tensors(self, size: int, offset: int) -> Tensors:
        s = self.storage
        slots = [self.array(size, kind, offset) for kind in s.slots]
        for name, slot in zip(self.names, slots, strict=True):
            slot.fill_(float(self.rule.slots[name].start))
        x = self.array(size, s.x, offset).copy_(torch.from_numpy(self.rng.standard_normal(size)))
        g = self.array(size, s.g, offset, is_written=s.is_scaled)
        counts = [self.array(1, kind) for kind in s.scalars]
        for count, name in zip(counts[1:], self.scalars, strict=False):
            count.fill_(float(self.rule.slots[name].start))
        return Tensors(x, g, slots, counts)

    def wanted(self, tensors: Tensors, t: int, hyper: dict[str, float], scale: float | None) -> tuple[Any, ...]:
        """The reference's x and slots in the types of storage, and its scalar slots."""
        compute = TYPES[self.storage.compute]

        def wide(a: torch.Tensor) -> np.ndarray:
            return a.to(compute).numpy().copy()

        own: dict[str, Any] = dict(zip(self.names, map(wide, tensors.slots), strict=True))
        own |= {n: c.item() for n, c in zip(self.scalars, tensors.counts[1:], strict=True)}
        g = wide(tensors.g)
        if scale is not None:
            with np.errstate(all="ignore"):
                g = g / g.dtype.type(scale)
        x, new = reference.step(
            self.judge or self.rule, wide(tensors.x), g, {n: own[n] for n in self.rule.slots}, t, hyper
        )
        rounded = [
            torch.from_numpy(np.array(new[n])).to(a.dtype) for n, a in zip(self.names, tensors.slots, strict=True)
        ]
        return torch.from_numpy(np.array(x)).to(tensors.x.dtype), rounded, [new[n] for n in self.scalars]

    def step(self, t: int, scale: float | None = None) -> None:
        """One step at a fresh gradient of a kind that goes with t."""
        hyper = hyper_of(self.judge or self.rule)
        for tensors in self.tensors:  # the gradient lies elsewhere in every step
            moved = self.array(*self._place(tensors), is_written=self.storage.is_scaled)
            tensors.g = moved.copy_(gradient(t, moved.numel(), self.rng))
        self.table.set_gradients([tensors.g.data_ptr() for tensors in self.tensors])
        counted = [int(tensors.counts[0].item()) + 1 for tensors in self.tensors]
        wanted = [self.wanted(*pair, hyper, scale) for pair in zip(self.tensors, counted, strict=True)]
        self.table.step(hyper_values(self.rule, hyper))
        for number, (tensors, (x, slots, scalars)) in enumerate(zip(self.tensors, wanted, strict=True)):
            where = f"{self.rule.name}, step {t}, tensor {number} of {self.sizes[number]}"
            assert same(tensors.x, x), f"x of {where}: {tensors.x[:8]}, wanted {x[:8]}"
            for name, got, slot in zip(self.names, tensors.slots, slots, strict=True):
                assert same(got, slot), f"{name} of {where}: {got[:8]}, wanted {slot[:8]}"
            assert [c.item() for c in tensors.counts] == [counted[number], *scalars], f"counts of {where}"

    def _place(self, tensors: Tensors) -> tuple[int, str, int]:
        number = next(k for k, t in enumerate(self.tensors) if t is tensors)
        return (self.sizes[number][0], self.storage.g, self.sizes[number][1])

    def steps(self, count: int = STEPS) -> Held:
        """Steps from the first on; half the tensors are three steps ahead of the others."""
        for tensors in self.tensors[1::2]:
            tensors.counts[0].fill_(3.0)
        for t in range(1, count + 1):
            self.step(t)
        return self
