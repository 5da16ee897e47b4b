"""Matrices that are stepped by one program: their rows of a table, their groups, and their work space."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ravine.engines.fused.layout import ACTIVE, ADDRESSES, COLUMNS, PLACE, ROWS, SHARE, STRIP
from ravine.engines.fused.lower import array_slots
from ravine.engines.fused.passes import BY_COLUMNS, BY_ROWS, Pass
from ravine.engines.fused.program import Program
from ravine.engines.fused.storage import SIZES
from ravine.rule import Rule
from ravine.sums import LANES
from ravine.trace.shapes import Shape

GROUP = 1 << 18
"""Elements of small matrices that go through the stages together: 1 MB of each array in float32."""

ALIGNMENT = 64
"""Bytes at a multiple of which each part of work space begins."""

Chunk = tuple[int, int, int, int]
"""A function, the address of a row, and a share of the matrix: what `phases.py` hands to threads."""


@dataclass
class Matrix:
    """One matrix: the number of its parameter, its own in that one's stack, its size, and its row."""

    parameter: int
    place: int
    rows: int
    columns: int
    row: int = 0

    def size(self, shape: Shape) -> int:
        """The number of elements of a shape."""
        known = {"1": 1, "r": self.rows, "c": self.columns}
        return known[shape[0]] * known[shape[1]]

    @property
    def one(self) -> frozenset[str]:
        """Which of its sizes makes a vector of it."""
        return frozenset("c" if self.columns == 1 else "r" if self.rows == 1 else "")


def matrices(rule: Rule, shapes: Sequence[tuple[int, ...]]) -> list[Matrix]:
    """Those of parameters of some shapes; a parameter without elements has one, since its step count advances too."""
    found = []
    for number, shape in enumerate(shapes):
        *stack, rows, columns = rule.seen(tuple(shape))
        count = math.prod(stack)
        found += [Matrix(number, place, rows, columns) for place in range(count)] or [Matrix(number, 0, 0, columns)]
    return found


class Part:
    """Matrices with one program, in rows of one table, in groups that are stepped one after the other."""

    def __init__(self, program: Program, matrices: list[Matrix]) -> None:
        self.program, self.matrices = program, matrices
        self.rows = np.zeros((len(matrices), program.layout.columns), np.int64)
        for k, m in enumerate(matrices):
            m.row = k
            self.rows[k, [ROWS, COLUMNS, PLACE]] = m.rows, m.columns, m.place
        self.parameters = np.array([m.parameter for m in matrices])
        storage = program.layout.storage
        names = ["x", "g", *array_slots(program.layout.made.graph)]
        self._offsets = np.zeros((len(matrices), len(names) + len(storage.scalars)), np.int64)
        for k, (name, kind) in enumerate(zip(names, storage.arrays, strict=True)):
            shape = program.layout.made.input_shape(name)
            self._offsets[:, k] = [m.place * m.size(shape) * SIZES[kind] for m in matrices]
        self.groups = _groups(matrices, has_products=any(program.layout.made.products))

    def set_addresses(self, given: Any) -> None:
        """Point to arrays and counts, a row of addresses for each parameter."""
        self.rows[:, ADDRESSES : self.program.layout.first_work] = given[self.parameters] + self._offsets

    def work(self, group: list[Matrix]) -> tuple[int, dict[tuple[int, int], int]]:
        """The bytes that a group needs, and where in them each cell of the table begins, by row and column."""
        layout, found, at = self.program.layout, {}, 0
        size = SIZES[layout.storage.compute]
        for k, n in enumerate(layout.work):
            at = -(-at // ALIGNMENT) * ALIGNMENT
            for m in group:
                found[m.row, layout.first_work + k] = at
                at += m.size(layout.made.shape(n)) * size
        for k, n in enumerate(layout.sums):
            at = -(-at // ALIGNMENT) * ALIGNMENT
            for m in group:
                found[m.row, layout.first_sum + k] = at
                at += -(-m.size(layout.made.shape(n.args[0])) // SHARE) * LANES * 8
        return at, found

    def chunks(self, passes: Iterable[Pass], group: list[Matrix]) -> list[Chunk]:
        """What threads take: matrix after matrix, so that what one stage has read of it is near for the next."""
        found = []
        for m in group:
            for p in passes:
                shape = p.stage.shape
                rows, columns = m.size((shape[0], "1")), m.size(("1", shape[1]))
                count, step = rows * columns, SHARE
                if p.unit == BY_ROWS:
                    count, step = rows, max(SHARE // columns, 1)
                elif p.unit == BY_COLUMNS:
                    count, step = columns, STRIP
                function, row = self.program.functions[p.number], self.address(m)
                found += [(function, row, start, min(step, count - start)) for start in range(0, count, step)]
        return found

    def active(self, group: Sequence[Matrix]) -> Iterable[list[Matrix]]:
        """The matrices of a group that are in the step, in runs of neighbours, which lie side by side in work space."""
        found: list[Matrix] = []
        for m in group:
            if self.rows[m.row, ACTIVE]:
                found.append(m)
            elif found:
                yield found
                found = []
        if found:
            yield found

    def address(self, m: Matrix) -> int:
        """Where a matrix's row lies."""
        found: int = self.rows.ctypes.data + m.row * self.rows.strides[0]
        return found


def _groups(matrices: list[Matrix], *, has_products: bool) -> list[list[Matrix]]:
    """Matrices to step together, of those that have elements: neighbours while they are small; for products only
    such as have one size."""
    found: list[list[Matrix]] = []
    full = 0
    order = [m for m in matrices if m.rows and m.columns]
    if has_products:
        order.sort(key=lambda m: (m.rows, m.columns))
    for m in order:
        n = m.rows * m.columns
        is_new = not found or full + n > GROUP
        if has_products and found:
            is_new |= (found[-1][0].rows, found[-1][0].columns) != (m.rows, m.columns)
        if is_new:
            found.append([])
            full = 0
        found[-1].append(m)
        full += n
    return found
