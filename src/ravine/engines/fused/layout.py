"""Where the machine code of a rule's stages finds things: the rows of its table, a matrix each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ravine.engines.fused.storage import Storage
from ravine.engines.stages import ALL, Cut
from ravine.sums import DEPTH, LANES
from ravine.trace.graph import REDUCTIONS, Node

# A row of the table: whether the matrix is in the step; its size; its number in a stack; a seed; where its coefficients
# and its new scalars lie; then the addresses of x, g and the slots, of its counts, of work space and of sums' shares.
ACTIVE, ROWS, COLUMNS, PLACE, SEED, COEFFICIENTS, SCALARS, ADDRESSES = range(8)

BLOCK = LANES * DEPTH
"""Elements that are added lane by lane before their sums are added."""

SHARE = BLOCK * DEPTH
"""Elements whose sum is one row of lanes in the second round: what a thread takes of a sum over all."""

STRIP = 128
"""Columns that are added side by side, down their rows: their lanes fit into the nearest cache."""

LEVELS = 5
"""Rounds of a sum, each of which has at most `DEPTH` times as many rows as the one behind: 2³⁴ elements."""


@dataclass(frozen=True)
class Layout:
    """The columns of a table for one cut and storage."""

    made: Cut
    storage: Storage

    @cached_property
    def work(self) -> list[Node]:
        """The nodes in work space: what is kept, reduced or multiplied."""
        made, nodes = self.made, self.made.graph.array_nodes
        found = [n for n in nodes if n in made.kept or (made.is_stored(n) and not made.is_view(n))]
        return found + [n for n in made.graph.nodes if n.op == "array" and n in made.kept]

    @cached_property
    def sums(self) -> list[Node]:
        """The reductions to one number, whose shares lie in work space too."""
        nodes = self.made.graph.array_nodes
        return [n for n in nodes if n.op in REDUCTIONS and self.made.kind(n) == ALL]

    @property
    def counts(self) -> int:
        """The column of the first count."""
        return ADDRESSES + len(self.storage.arrays)

    @property
    def first_work(self) -> int:
        """The first column of work space."""
        return self.counts + len(self.storage.scalars)

    @property
    def first_sum(self) -> int:
        """The first column of the shares of sums."""
        return self.first_work + len(self.work)

    @property
    def columns(self) -> int:
        """The length of a row."""
        return self.first_sum + len(self.sums)

    def column(self, register: str) -> int:
        """Where the address behind a register stands: x, g, slot0, slot1, …, and w0, w1, … in work space."""
        if register in ("x", "g"):
            return ADDRESSES + (register == "g")
        if register.startswith("slot"):
            return ADDRESSES + 2 + int(register[4:])
        return self.first_work + int(register[1:])
