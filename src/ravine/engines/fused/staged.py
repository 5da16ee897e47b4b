"""Rules that read more than one element at a time: the matrices of some parameters, stepped stage by stage.

`engines/stages.py` says what the stages are, `passes.py` what each is to a processor, `phases.py` how threads share
them. Matrices are taken in groups, so that what one stage has read is still in the caches for the next, and that all
groups have one work space.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ravine.engines.fused import phases
from ravine.engines.fused.kernel import WORTH_A_TEAM, coefficients
from ravine.engines.fused.layout import ACTIVE, COEFFICIENTS, SCALARS, SEED
from ravine.engines.fused.lower import array_slots, scalar_slots
from ravine.engines.fused.lower import coefficients as coefficient_nodes
from ravine.engines.fused.matrices import ALIGNMENT, Chunk, Matrix, Part, matrices
from ravine.engines.fused.program import program
from ravine.engines.fused.storage import Storage
from ravine.engines.stages import ALL, Cut
from ravine.rule import Rule
from ravine.trace.graph import Node

Multiply = Callable[[Cut, list[Node], dict[Node, Any], dict[Node, float]], None]
"""What computes products of a cut: nodes, their arrays in work space, and the values of coefficients by node."""

Phase = tuple[list[Chunk], int]
"""What threads do before they wait for each other, and how many elements that is."""

CLAIM = 1 << 13
"""Elements that a thread takes at once at least, of chunks that are shorter."""

SHORTEST = 1 << 6
"""How many elements' time a chunk takes in any case: what a call costs."""

_ONE_PAIR = np.zeros(1, np.int64)
"""The pairs of count and size where all parameters have the same."""


@dataclass
class Run:
    """Phases that threads go through in one call, and the part, group and time of the products that come then."""

    phases: Any
    alive: list[Any]
    part: Part | None
    group: Sequence[Matrix]
    time: int


class StagedTable:
    """The matrices of some parameters of equal storage; `step` updates all of them.

    `shapes` are the parameters'; `addresses` has a row a parameter: x, g, the array slots, then (where the storage has
    them) the step count and the scalar slots. `multiply` computes products. Whoever makes a table keeps the memory
    alive.
    """

    is_brief = False

    def __init__(
        self, rule: Rule, storage: Storage, shapes: Sequence[tuple[int, ...]], addresses: Any, multiply: Multiply
    ) -> None:
        self.storage, self.size, self.multiply = storage, len(shapes), multiply
        self.coefficients = coefficients(rule)
        self._nodes = coefficient_nodes(rule.graph)
        self._reads_size = any(n.op == "size" for n in rule.graph.nodes)
        names = ["x", "g", *array_slots(rule.graph)]
        self.lengths = np.array([[math.prod(rule.seen_as(n, tuple(s))) for n in names] for s in shapes], np.int64)
        self.given = np.zeros((self.size, len(storage.arrays) + len(storage.scalars)), np.int64)
        by_one: dict[frozenset[str], list[Matrix]] = {}
        for m in matrices(rule, shapes):
            by_one.setdefault(m.one, []).append(m)
        self.parts = [Part(program(rule, storage, one), ms) for one, ms in by_one.items()]
        self._matrices = [m for part in self.parts for m in part.matrices]
        self._parameters = np.array([m.parameter for m in self._matrices], np.int64)
        known = {s: k for k, s in enumerate(dict.fromkeys((m.rows, m.columns) for m in self._matrices))}
        self._sizes = list(known) if self._reads_size else list(known)[:1]
        self._kinds = np.array([known[m.rows, m.columns] * self._reads_size for m in self._matrices], np.int64)
        kind = np.float64 if storage.compute == "float64" else np.float32
        self._c = np.zeros((len(self._matrices), max(len(self._nodes), 1)), kind)
        self._scalars = np.zeros((len(self._matrices), 1 + len(scalar_slots(rule.graph))), np.float64)
        self._place()
        self.set_addresses(addresses)
        self._is_whole = False
        self.take(None)
        self._runs = list(self._make_runs())
        chunks = [(p.program.read, p.address(m), 0, 0) for p in self.parts for m in p.matrices]
        self._reading = _run([(chunks, 0)])
        self.traffic = sum(m.rows * m.columns for m in self._matrices) * storage.bytes_per_element

    @property
    def work_bytes(self) -> int:
        """The bytes of work space."""
        return int(self._work.nbytes)

    def _place(self) -> None:
        """Tell each row where its coefficients, its scalars and its work space lie."""
        needs = [(p, *p.work(group)) for p in self.parts for group in p.groups]
        self._work = np.zeros(max((n for _, n, _ in needs), default=0) + ALIGNMENT, np.uint8)
        start = -(-self._work.ctypes.data // ALIGNMENT) * ALIGNMENT
        for part, _, cells in needs:
            for (row, column), at in cells.items():
                part.rows[row, column] = start + at
        first = 0
        for part in self.parts:
            own = np.arange(first, first + len(part.matrices))
            part.rows[:, COEFFICIENTS] = self._c.ctypes.data + own * self._c.strides[0]
            part.rows[:, SCALARS] = self._scalars.ctypes.data + own * self._scalars.strides[0]
            first += len(part.matrices)

    def _make_runs(self) -> Iterable[Run]:
        """What is to be done, with as few calls as products allow."""
        waiting: list[Phase] = []
        for part in self.parts:
            made, program = part.program.layout.made, part.program
            for group in part.groups:
                for time in range(len(program.passes)):
                    for passes in program.phases(time):
                        elements = sum(m.size(p.stage.shape) for p in passes for m in group)
                        chunks = part.chunks(passes, group)
                        waiting.append((chunks[::-1] if time % 2 else chunks, elements))  # back by what is still near
                        joins = [program.joins[p.number] for p in passes if p.stage.kind == ALL]
                        waiting.append(([(f, part.address(m), 0, 0) for m in group for f in joins], 0))
                    if time < len(made.products) and made.products[time]:
                        yield _run(waiting, part, group, time)
                        waiting = []
                waiting.append(([(program.keep, part.address(m), 0, 0) for m in group], 0))
            empty = [m for m in part.matrices if not m.rows * m.columns]
            waiting.append(([(program.keep, part.address(m), 0, 0) for m in empty], 0))
        if waiting:
            yield _run(waiting)

    def take(self, rows: Sequence[int] | None) -> None:
        """Have the next steps be of these parameters only; None for all."""
        if rows is None and self._is_whole:
            return
        self._is_whole = rows is None
        self._active = np.ones(len(self._matrices), bool)
        if rows is not None:
            self._active = np.isin(self._parameters, np.array(rows, np.int64))
        first = 0
        for part in self.parts:
            part.rows[:, ACTIVE] = self._active[first : first + len(part.matrices)]
            first += len(part.matrices)

    def set_gradients(self, addresses: Sequence[int], rows: Sequence[int] | None = None) -> None:
        """Point to new gradients, of some parameters or (None) of all."""
        self.given[slice(None) if rows is None else rows, 1] = addresses
        self._spread()

    def set_addresses(self, addresses: Any, rows: Sequence[int] | None = None) -> None:
        """Point to arrays and counts that all may lie elsewhere, as in the constructor; of some parameters or all."""
        self.given[slice(None) if rows is None else rows] = addresses
        self._spread()

    def _spread(self) -> None:
        for part in self.parts:
            part.set_addresses(self.given)

    def set_seeds(self, seeds: Sequence[int], rows: Sequence[int] | None = None) -> None:
        """The 32-bit seeds of the next step's rounding, one a parameter, of some or of all."""
        own = np.zeros(self.size, np.int64)
        own[slice(None) if rows is None else rows] = seeds
        for part in self.parts:
            part.rows[:, SEED] = own[part.parameters]

    def step(self, hyper: tuple[float, ...], threads: int) -> None:
        """One step of every parameter that was taken, by the count and scalar slots in its own memory, which advance.

        Raises ZeroDivisionError where a coefficient divides by zero.
        """
        phases.run(self._reading.phases, self, 1)
        self._scalars[:, 0] += 1.0
        self._step(hyper, threads)

    def step_at(self, t: float, scalars: Sequence[float], hyper: tuple[float, ...], threads: int) -> tuple[float, ...]:
        """One step of every parameter at the same t and scalar slots. Returns the new scalar slots."""
        self._scalars[:] = (t, *scalars)
        self._step(hyper, threads)
        found: tuple[float, ...] = tuple(self._scalars[0, 1:].tolist())
        return found

    def step_rows(
        self, counts: Sequence[tuple[float, Sequence[float]]], which: Any, hyper: tuple[float, ...], threads: int
    ) -> None:
        """One step in which parameter i is at counts[which[i]] = (t, scalar slots)."""
        self._scalars[:] = np.array([(t, *scalars) for t, scalars in counts])[np.asarray(which)[self._parameters]]
        self._step(hyper, threads)

    def _step(self, hyper: tuple[float, ...], threads: int) -> None:
        """One step at the counts and scalar slots that stand in `_scalars`, where the new ones stand then."""
        if not self._active.any():
            return
        found, numbers = self._prepare(hyper)
        if self.traffic < WORTH_A_TEAM:
            threads = 1
        for run in self._runs:
            if len(run.phases):
                phases.run(run.phases, (self, run.alive), threads)
            if run.part is not None:
                self._multiply(run, run.part, found, numbers)

    def _prepare(self, hyper: tuple[float, ...]) -> tuple[list[tuple[float, ...]], Any]:
        """Compute the coefficients and new scalars of the matrices in the step. Returns the coefficients there are, and
        for each matrix the number of its own."""
        before = self._scalars[self._active]
        counts, which = before[:1], np.zeros(len(before), np.int64)
        if (before != before[0]).any():
            counts, which = np.unique(before, axis=0, return_inverse=True)
        pairs, own = _ONE_PAIR, which
        if len(counts) > 1 or len(self._sizes) > 1:
            pairs = which.reshape(-1) * len(self._sizes) + self._kinds[self._active]
            pairs, own = np.unique(pairs, return_inverse=True)
        found, new = [], []
        for pair in pairs.tolist():
            (t, *scalars), size = counts[pair // len(self._sizes)].tolist(), self._sizes[pair % len(self._sizes)]
            # of a matrix without elements nothing is computed by its size
            values, kept = self.coefficients.evaluate(t, scalars, *hyper, *(float(n or 1) for n in size))
            found.append(values)
            new.append((t, *kept))
        numbers = np.zeros(len(self._matrices), np.int64)
        numbers[self._active] = own.reshape(-1)
        self._scalars[self._active] = np.array(new)[own]
        if self._nodes:
            with np.errstate(over="ignore"):
                self._c[self._active] = np.array(found)[own]
        return found, numbers

    def _multiply(self, run: Run, part: Part, found: list[tuple[float, ...]], numbers: Any) -> None:
        """Compute the products that stand behind a run, of each stack of neighbours that are in the step."""
        layout = part.program.layout
        first = sum(len(p.matrices) for p in self.parts[: self.parts.index(part)])
        for stack in part.active(run.group):
            values = found[numbers[first + stack[0].row]]
            arrays = {n: self._view(part, stack, k) for k, n in enumerate(layout.work)}
            coefficients = dict(zip(self._nodes, values, strict=True))
            self.multiply(layout.made, layout.made.products[run.time], arrays, coefficients)

    def _view(self, part: Part, stack: list[Matrix], k: int) -> Any:
        """What lies in work space for a node by its number, as an array of (matrices, rows, columns)."""
        layout, m = part.program.layout, stack[0]
        shape = layout.made.shape(layout.work[k])
        size = (len(stack), m.size((shape[0], "1")), m.size(("1", shape[1])))
        at = int(part.rows[m.row, layout.first_work + k]) - self._work.ctypes.data
        kind = np.dtype(layout.storage.compute)
        return self._work[at : at + math.prod(size) * kind.itemsize].view(kind).reshape(size)


def _run(waiting: list[Phase], part: Part | None = None, group: Sequence[Matrix] = (), time: int = 0) -> Run:
    found = [(np.array(chunks, np.int64), n // len(chunks)) for chunks, n in waiting if chunks]
    rows = [(chunks.ctypes.data, len(chunks), CLAIM // max(n, SHORTEST)) for chunks, n in found]
    table = np.array(rows, np.int64).reshape(-1, phases.PHASE_COLUMNS)
    return Run(table, [chunks for chunks, _ in found], part, group, time)
