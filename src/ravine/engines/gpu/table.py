"""The tensors that one launch on a GPU updates; the interface is `ravine.engines.fused.kernel.Table`'s."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from ravine.engines.fused.kernel import coefficients
from ravine.engines.fused.storage import ADDRESSES, LENGTH, Storage
from ravine.engines.gpu import frame, prepare
from ravine.engines.gpu.counts import counts
from ravine.engines.gpu.device import Device, words
from ravine.engines.gpu.target import SMALL, THREADS
from ravine.rule import Rule

Hyper = float | tuple[int, bool]
"""A hyperparameter: its value, or the address of a number on the device and whether that is a float64."""


class GpuTable:
    """The addresses of some tensors of equal storage on one device, cut into chunks; `step` updates all of them.

    `lengths` and `addresses` are as for the CPU's table. `has_counts` says that step counts and scalar slots lie on the
    device; else their addresses are the host's. Whoever makes a table keeps the memory alive.
    """

    is_brief = False  # there is no step without Python: a launch takes its current stream

    def __init__(
        self,
        rule: Rule,
        storage: Storage,
        lengths: Sequence[int],
        addresses: Any,
        device: Device,
        *,
        has_counts: bool = False,
    ) -> None:
        device.refuse_capture()
        if not rule.graph.is_elementwise:
            raise NotImplementedError(f"the GPU engine steps elementwise rules: {rule.name}")
        self.rule, self.storage, self.device, self.has_counts = rule, storage, device, has_counts
        self.coefficients = coefficients(rule)
        self.size = len(lengths)
        self.rows = np.zeros((self.size, storage.columns), np.int64)
        self.rows[:, LENGTH] = lengths
        self._width = frame.numbers(rule.graph, storage)
        room = frame.capacity(rule.graph, storage, SMALL)
        if self.size > room:
            room = frame.capacity(rule.graph, storage, device.target.parameter_bytes)
        self.room = room
        self._run = device.function(frame.source(rule.graph, storage, device.target, room), "run")
        self._prepare = device.function(prepare.source(rule.graph, storage, list(rule.hyperparameters)), "prepare")
        chunks = np.maximum(-(-self.rows[:, LENGTH] // frame.CHUNK), 0)
        tensor = np.repeat(np.arange(self.size), chunks)
        start = (np.arange(len(tensor)) - np.repeat(np.cumsum(chunks) - chunks, chunks)) * frame.CHUNK
        self._ends = [0, *np.cumsum(chunks).tolist()]
        self._table = device.array(max(self.rows.size, 1), "int64")
        self._chunks = device.array(max(2 * len(tensor), 1), "int64")
        self._c = device.array(max(self.size * self._width, 1), storage.compute)
        if len(tensor):
            device.upload(np.stack([tensor, start], axis=1), self._chunks)
        self._streams = {device.stream()}
        self.set_addresses(addresses)
        self._seeds = np.zeros(self.size, np.int32)
        self._scale: tuple[float, ...] = ()
        self._scale_at = self._found_at = 0
        self._counts = None if has_counts or not storage.scalars else counts(storage)
        self._number = ctypes.c_double if storage.compute == "float64" else ctypes.c_float

    def set_gradients(self, addresses: Sequence[int]) -> None:
        """Point to new gradients: they come with the launch, so nothing is copied."""
        self.rows[:, ADDRESSES + 1] = addresses

    def set_addresses(self, addresses: Any) -> None:
        """Point to arrays and counts that all may lie elsewhere. Raises RuntimeError in a capture."""
        self.device.refuse_capture()
        self.rows[:, ADDRESSES : self.storage.seed_column] = addresses
        if self.size:
            self.device.upload(self.rows, self._table)

    def set_seeds(self, seeds: Sequence[int]) -> None:
        """The 32-bit seeds of the next step's rounding, one a tensor."""
        self._seeds = np.array(seeds, np.uint32).view(np.int32)

    def set_scale(self, scale: float) -> None:
        """What the next step divides its gradients by, where the storage says that they are scaled."""
        self._scale = (scale,)

    def set_scaler(self, scale: int, found: int) -> None:
        """The addresses, on the device, of a float that `step_on_device` divides gradients by, and of one that is not 0
        where nothing is to be stepped; 0 for none."""
        self._scale_at, self._found_at = scale, found

    def step(self, hyper: tuple[Any, ...], threads: int = 1) -> None:
        """One step of every tensor, each by its step count and scalar slots, which advance too."""
        if self._counts is None:
            self.step_on_device(hyper)
            return
        if self.device.is_capturing():
            raise RuntimeError(
                "a step whose counts are on the host can't be captured, as every replay would be at the same count: "
                "make the optimizer with capturable=True"
            )
        found = self._counts.read(self.rows)
        distinct, which = np.unique(found, axis=0, return_inverse=True)
        pairs = [(t + 1.0, scalars) for t, *scalars in distinct.tolist()]
        new = self.step_rows(pairs, which.reshape(-1), hyper)
        numbers = [(t, *scalars) for (t, _), scalars in zip(pairs, new, strict=True)]
        self._counts.write(self.rows, np.array(numbers, np.float64)[which.reshape(-1)])

    def step_at(
        self, t: float, scalars: Sequence[float], hyper: tuple[Any, ...], threads: int = 1
    ) -> tuple[float, ...]:
        """One step of every tensor at the same t and scalar slots. Returns the new scalar slots."""
        values, new = self.coefficients.evaluate(t, scalars, *hyper)
        self._launch(values + self._scale, 0)
        return new

    def step_rows(
        self, pairs: Sequence[tuple[float, Sequence[float]]], which: Any, hyper: tuple[Any, ...], threads: int = 1
    ) -> list[tuple[float, ...]]:
        """One step in which tensor i is at pairs[which[i]] = (t, scalar slots). Returns new scalar slots by row."""
        if len(pairs) == 1:
            return [self.step_at(*pairs[0], hyper)]
        rows = [self.coefficients.evaluate(t, scalars, *hyper) for t, scalars in pairs]
        if rows and self._width:
            self.device.refuse_capture()
            values = np.array([values + self._scale for values, _ in rows], np.float64)
            self.device.upload(values[which].astype(self.storage.compute), self._c)
        self._launch((), self._c.data_ptr())
        return [new for _, new in rows]

    def step_on_device(self, hyper: Sequence[Hyper], t: float = 0.0) -> None:
        """One step by two launches, in which no number comes to the host: coefficients from what lies on the device.

        `t` is the step count where the storage has none.
        """
        if not self.size:
            return
        values, places = (ctypes.c_double * max(len(hyper), 1))(), (ctypes.c_int64 * max(len(hyper), 1))()
        for k, given in enumerate(hyper):
            if isinstance(given, tuple):
                places[k] = given[0] + given[1]
            else:
                values[k] = given
        fixed = words(self._table.data_ptr(), self.size, self._found_at, self._scale_at, self._c.data_ptr())
        self._start(self._prepare, -(-self.size // THREADS), [*fixed, ctypes.c_double(t), values, places])
        self._launch((), self._c.data_ptr(), self._found_at)

    def _launch(self, values: tuple[float, ...], rows: int, found: int = 0) -> None:
        """Run the kernel on coefficients by value, or on rows of them on the device."""
        numbers = (self._number * max(self._width, 1))(*values)
        for first in range(0, self.size, self.room):
            last = min(first + self.room, self.size)
            begin, blocks = self._ends[first], self._ends[last] - self._ends[first]
            if blocks:
                fixed = words(self._table.data_ptr(), self._chunks.data_ptr(), first, begin, found, rows)
                moving = self._moving(first, last)
                self._start(self._run, blocks, [*fixed, numbers, moving])

    def _moving(self, first: int, last: int) -> Any:
        """What comes by value for some tensors: their gradients' addresses and their seeds."""
        is_seeded = self.storage.is_seeded
        held = np.zeros(self.room * (8 + 4 * is_seeded) + 7 & -8, np.uint8)
        held[: 8 * self.room].view(np.int64)[: last - first] = self.rows[first:last, ADDRESSES + 1]
        if is_seeded:
            held[8 * self.room : 12 * self.room].view(np.int32)[: last - first] = self._seeds[first:last]
        return held

    def _start(self, function: Any, grid: int, parameters: list[Any]) -> None:
        stream = self.device.stream()
        if stream not in self._streams:
            self.device.use_on(stream, [self._table, self._chunks, self._c])
            self._streams.add(stream)
        places = [p.ctypes.data if isinstance(p, np.ndarray) else ctypes.addressof(p) for p in parameters]
        self.device.launch(function, grid, THREADS, (ctypes.c_void_p * len(places))(*places))
