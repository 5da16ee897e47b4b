"""A rule compiled for some storage types, and the table of tensors that it steps in one launch."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ravine.engines.fused import frame, jit, openmp, pool
from ravine.engines.fused.coefficients import Coefficients
from ravine.engines.fused.storage import ADDRESSES, COEFFICIENTS, CONTROL_SIZE, LENGTH, MORE, Storage
from ravine.engines.storage.codes import BLOCK
from ravine.rule import Rule

CHUNKS = 64
"""Pieces that the elements of a table are cut into, so that threads finish together,"""

SMALLEST_CHUNK, LARGEST_CHUNK = 1 << 14, 1 << 18
"""within these bounds: a thread that reads on in one place is faster (docs/fused.md)."""

WORTH_A_TEAM, WORTH_A_THREAD = 1 << 24, 1 << 24
"""Bytes of memory traffic below which the help of torch's OpenMP team, and of a thread of our own, costs more than it
saves (docs/fused.md)."""

LATER = 2.0
"""The t of a step prepared by machine code where the storage keeps no count: any but the first."""

_pointer = ctypes.c_void_p


class Kernel:
    """Machine code for one rule and storage: `run` and `prepare` of the generated module."""

    def __init__(self, source: str, storage: Storage) -> None:
        self.storage = storage
        self._compiled = jit.compile_source(source)
        word = ctypes.c_int64
        self.run = self._compiled.function(
            "run", None, _pointer, _pointer, word, _pointer, _pointer, _pointer, ctypes.c_bool
        )
        self.team = self._compiled.address("team")
        self.run_alone = self._compiled.function("run_alone", None, _pointer, _pointer, word, _pointer, _pointer)
        self.prepare = self._compiled.function("prepare", ctypes.c_bool, _pointer, word, *[_pointer] * 3)
        self.addresses = tuple(map(self._compiled.address, ("prepare", "run_alone")))
        self.number = ctypes.c_double if storage.compute == "float64" else ctypes.c_float


_by_source: dict[str, Kernel] = {}
_by_rule: WeakKeyDictionary[Rule, dict[Storage, Kernel]] = WeakKeyDictionary()
_coefficients: WeakKeyDictionary[Rule, Coefficients] = WeakKeyDictionary()


def kernel(rule: Rule, storage: Storage) -> Kernel:
    """The rule's kernel, compiled when it is first asked for."""
    known = _by_rule.setdefault(rule, {})
    if storage not in known:
        source = frame.source(rule, storage)
        if source not in _by_source:
            _by_source[source] = Kernel(source, storage)
        known[storage] = _by_source[source]
    return known[storage]


def coefficients(rule: Rule) -> Coefficients:
    """The rule's scalar part."""
    if rule not in _coefficients:
        _coefficients[rule] = Coefficients(rule.graph, rule.hyperparameters)
    return _coefficients[rule]


class Table:
    """The addresses of some tensors of equal storage, cut into chunks; `step` updates all of them at once.

    `lengths` are the numbers of elements; `addresses` has a row a tensor: x, g, the array slots, then (where the
    storage has them) the parameter's remainder, the scales of slots, the step count and the scalar slots.
    Whoever makes a table keeps the memory alive.
    """

    def __init__(self, rule: Rule, storage: Storage, lengths: Sequence[int], addresses: Any) -> None:
        self.kernel = kernel(rule, storage)
        self.coefficients = coefficients(rule)
        self.size = len(lengths)
        self.rows = np.zeros((self.size, storage.columns), np.int64)
        self.rows[:, LENGTH] = lengths
        self.set_addresses(addresses)
        self.chunks = _chunks(self.rows[:, LENGTH], BLOCK if storage.scales else 1)
        elements = int(self.rows[:, LENGTH].sum())
        self.traffic = elements * storage.bytes_per_element
        # Of short chunks a thread claims several at once, so that threads don't wait for the counter that they share.
        self._more = SMALLEST_CHUNK // 2 * len(self.chunks) // max(elements, 1)
        self.is_brief = self.traffic < WORTH_A_TEAM
        self._fixed = (self.rows.ctypes.data, self.chunks.ctypes.data, len(self.chunks))
        self._left_out: Any = None
        self._prepared: tuple[Any, Any, Any, Any] = (None, None, None, None)
        count = self.coefficients.count + storage.is_scaled
        self._c = np.empty((self.size, count), np.float64 if storage.compute == "float64" else np.float32)
        self._scalars = np.empty((self.size, len(storage.scalars)), np.float64)
        self._hyper = (ctypes.c_double * (len(rule.hyperparameters) + 2))(LATER)
        self._numbers = (self._c.ctypes.data, self._scalars.ctypes.data)
        self._prepare_arguments = (self._fixed[0], self.size, ctypes.addressof(self._hyper), *self._numbers)
        self.launch = np.array(
            [*self.kernel.addresses, *self._prepare_arguments[:3], *self._fixed[1:], *self._numbers], np.int64
        )

    def take(self, rows: Sequence[int] | None) -> None:
        """Have the next steps be of these tensors only; None for all."""
        self._left_out = None if rows is None else np.setdiff1d(np.arange(self.size), rows)

    def set_hyper(self, hyper: tuple[float, ...]) -> None:
        """What `launch` takes for the hyperparameters."""
        self._hyper[1:-1] = list(hyper)

    def set_gradients(self, addresses: Sequence[int], rows: Sequence[int] | None = None) -> None:
        """Point to new gradients, of some tensors or (None) of all."""
        self.rows[slice(None) if rows is None else rows, ADDRESSES + 1] = addresses

    def set_addresses(self, addresses: Any, rows: Sequence[int] | None = None) -> None:
        """Point to arrays and counts that all may lie elsewhere, as in the constructor; of some tensors or of all."""
        self.rows[slice(None) if rows is None else rows, ADDRESSES : self.kernel.storage.seed_column] = addresses

    def set_seeds(self, seeds: Sequence[int], rows: Sequence[int] | None = None) -> None:
        """The 32-bit seeds of the next step's rounding, one a tensor, of some or of all."""
        self.rows[slice(None) if rows is None else rows, self.kernel.storage.seed_column] = seeds

    def set_scale(self, scale: float) -> None:
        """What the next step divides its gradients by, where the storage says that they are scaled."""
        self._hyper[-1] = scale

    def step(self, hyper: tuple[float, ...], threads: int) -> None:
        """One step of every tensor, each by the step count and scalar slots in its own memory, which advance too.

        Raises ZeroDivisionError where a coefficient divides by zero.
        """
        self.set_hyper(hyper)
        self._assign(0)
        if not self.kernel.prepare(*self._prepare_arguments):
            self._evaluate_in_python(hyper)
        self._run(*self._numbers, threads)

    def _evaluate_in_python(self, hyper: tuple[float, ...]) -> None:
        """Where machine code found a quotient that is not finite, have Python say what it says to it."""
        storage = self.kernel.storage
        kinds = [ctypes.c_float if kind == "float32" else ctypes.c_double for kind in storage.scalars]
        for row in self.rows[self.rows[:, COEFFICIENTS] >= 0].tolist():
            places = row[storage.seed_column - len(kinds) : storage.seed_column]
            t, *scalars = (kind.from_address(place).value for kind, place in zip(kinds, places, strict=True))
            self.coefficients.evaluate(t + 1.0, scalars, *hyper)

    def step_at(self, t: float, scalars: Sequence[float], hyper: tuple[float, ...], threads: int) -> tuple[float, ...]:
        """One step of every tensor at the same t and scalar slots. Returns the new scalar slots."""
        values, new = self.coefficients.evaluate(t, scalars, *hyper)
        self._run(*self._place(values + self._scale(), (t, *new)), threads)
        return new

    def step_rows(
        self, counts: Sequence[tuple[float, Sequence[float]]], which: Any, hyper: tuple[float, ...], threads: int
    ) -> list[tuple[float, ...]]:
        """One step in which tensor i is at counts[which[i]] = (t, scalar slots). Returns new scalar slots by row."""
        rows = [self.coefficients.evaluate(t, scalars, *hyper) for t, scalars in counts]
        values = tuple(v for row, _ in rows for v in row + self._scale())
        numbers = tuple(v for (t, _), (_, new) in zip(counts, rows, strict=True) for v in (t, *new))
        self._run(*self._place(values, numbers, which), threads)
        return [new for _, new in rows]

    def _scale(self) -> tuple[float, ...]:
        return (self._hyper[-1],) if self.kernel.storage.is_scaled else ()

    def _assign(self, which: Any) -> None:
        """Say which row of coefficients each tensor has; those that the step leaves out have none."""
        column = self.rows[:, COEFFICIENTS]
        column[:] = which
        if self._left_out is not None:
            column[self._left_out] = -1

    def _place(self, values: tuple[float, ...], numbers: tuple[float, ...], which: Any = 0) -> tuple[int, int]:
        """The addresses of rows of coefficients and new scalars; tensor i has row which[i], or all have one."""
        self._assign(which)
        known_values, known_numbers, c, new_scalars = self._prepared
        if values != known_values or numbers != known_numbers:
            c = (self.kernel.number * len(values))(*values)
            new_scalars = (ctypes.c_double * len(numbers))(*numbers)
            self._prepared = (values, numbers, c, new_scalars)  # at once: an interrupt leaves the old or the new
        return ctypes.addressof(c), ctypes.addressof(new_scalars)

    def _run(self, c: int, new_scalars: int, threads: int) -> None:
        """Run the kernel on rows of coefficients and new scalars that lie at these addresses."""
        team = openmp.team() if threads > 1 and self.traffic >= WORTH_A_TEAM else None
        if team is None and (threads == 1 or self.traffic < WORTH_A_THREAD):
            self.kernel.run_alone(*self._fixed, c, new_scalars)
            return
        control = (ctypes.c_int64 * CONTROL_SIZE)()
        control[MORE] = self._more
        threads = min(threads, len(self.chunks))
        if team is not None:
            parallel, thread_number = team
            arguments = (ctypes.c_int64 * 7)(*self._fixed, ctypes.addressof(control), c, new_scalars, thread_number)
            parallel(self.kernel.team, ctypes.addressof(arguments), threads, 0)
            return
        shared = (*self._fixed, control, c, new_scalars)
        pool.help(self.kernel.run, (*shared, False), self, threads - 1)
        self.kernel.run(*shared, True)


def _chunks(lengths: Any, multiple: int) -> Any:
    """Rows of (tensor, first element, how many). An empty tensor has one chunk too: its step count advances.

    A tensor is cut at multiples of `multiple` elements.
    """
    size = min(max(int(lengths.sum()) // CHUNKS, SMALLEST_CHUNK), LARGEST_CHUNK) // multiple * multiple
    counts = np.maximum(-(-lengths // size), 1)
    tensor = np.repeat(np.arange(len(lengths)), counts)
    start = (np.arange(len(tensor)) - np.repeat(np.cumsum(counts) - counts, counts)) * size
    return np.ascontiguousarray(np.stack([tensor, start, np.minimum(lengths[tensor] - start, size)], axis=1), np.int64)


def hyper_values(rule: Rule, hyper: Mapping[str, float]) -> tuple[float, ...]:
    """The hyperparameters in the rule's order, as `Table` takes them."""
    return tuple(hyper[name] for name in rule.hyperparameters)
