"""What a kernel is told about memory: the storage types, and the layout of the tables it reads."""

from __future__ import annotations

from dataclasses import dataclass

from ravine.engines.storage.codes import TOP

SIZES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int8": 1, "uint8": 1}
"""Bytes of each storage type."""

MEMORY = {"float64": "double", "float32": "float", "float16": "half", "bfloat16": "i16", "int8": "i8", "uint8": "i8"}
"""The storage types in LLVM's words."""

CODED = frozenset(TOP)
"""The storage types that need a scale for each block."""

NARROW = CODED | {"bfloat16"}
"""The storage types of slots that can be rounded at random."""

# A row of the table: the number of elements, the row of coefficients (below 0: the tensor is left out of the step),
# then the addresses of arrays and scalars.
LENGTH, COEFFICIENTS, ADDRESSES = 0, 1, 2
# A row of the chunks: which tensor, the first element, how many.
TENSOR, START, COUNT = 0, 1, 2
CHUNK_COLUMNS = 3
# What the threads share: chunks claimed, chunks finished, whether the caller has come, its floating-point mode, and how
# many chunks more than one a thread claims at once.
CLAIMED, FINISHED, OPEN, MODE, MORE = 0, 1, 2, 3, 4
CONTROL_SIZE = 5

# A launch: the functions that prepare it and that run it alone; the table and its size, t and the hyperparameters; the
# chunks and their number, the coefficients, the new scalars.
LAUNCH = {
    name: column
    for column, name in enumerate(("PREPARE", "RUN", "TABLE", "SIZE", "HYPER", "CHUNKS", "CHUNK_COUNT", "C", "SCALARS"))
}


@dataclass(frozen=True)
class Storage:
    """The types in memory of the parameter, the gradient, the array slots in order, and the numbers kept per tensor.

    `scalars` are the types of the step count and of each scalar slot, or empty where the caller keeps those itself.
    `is_stochastic` rounds a bfloat16 parameter up or down at random; each row of the table then ends with a seed.
    `is_scaled` says that the gradient in memory is some number times the gradient; a step leaves it divided by that.
    `is_state_stochastic` rounds narrow slots at random, by the same seed. `has_remainder` says that beside a bfloat16
    parameter its next eight bits are kept, which makes float24 of it, rounded at random.
    """

    x: str
    g: str
    slots: tuple[str, ...]
    scalars: tuple[str, ...] = ()
    is_stochastic: bool = False
    is_scaled: bool = False
    is_state_stochastic: bool = False
    has_remainder: bool = False

    @property
    def compute(self) -> str:
        """What arithmetic is done in: float64 for a float64 parameter, float32 for every narrower one."""
        return "float64" if self.x == "float64" else "float32"

    @property
    def arrays(self) -> tuple[str, ...]:
        """The types of all arrays in the order of the table's address columns."""
        return (self.x, self.g, *self.slots)

    @property
    def scales(self) -> tuple[int, ...]:
        """Which slots have scales, by their number."""
        return tuple(k for k, kind in enumerate(self.slots) if kind in CODED)

    @property
    def beside(self) -> tuple[str, ...]:
        """The types of what lies beside those arrays, in the order of the columns behind theirs: the remainder, which
        is an array too, and scales, one a block."""
        return ("int8",) * self.has_remainder + ("float32",) * len(self.scales)

    @property
    def is_seeded(self) -> bool:
        """Whether some rounding is at random."""
        return self.is_stochastic or self.has_remainder or self.is_state_stochastic

    @property
    def columns(self) -> int:
        """The length of a row of the table."""
        return self.seed_column + self.is_seeded

    @property
    def scalar_column(self) -> int:
        """Where a row has the first address of a scalar."""
        return ADDRESSES + len(self.arrays) + len(self.beside)

    @property
    def seed_column(self) -> int:
        """Where a row has its seed, if it has one: behind the addresses."""
        return self.scalar_column + len(self.scalars)

    @property
    def bytes_per_element(self) -> int:
        """Memory traffic of one step: x and the slots are read and written, g is read, and written if it is scaled.
        Scales are too few to count."""
        written = (self.x, *self.slots, *("int8",) * self.has_remainder)
        return (1 + self.is_scaled) * SIZES[self.g] + 2 * sum(SIZES[s] for s in written)
