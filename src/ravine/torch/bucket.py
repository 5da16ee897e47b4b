"""Parameters of one group that the fused engine takes in one launch, and the cached table of their addresses."""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._C import _dispatch_keys as dispatch_keys

from ravine.engines.fused import jit
from ravine.engines.fused.kernel import LATER, Table
from ravine.engines.fused.staged import StagedTable
from ravine.engines.fused.storage import ADDRESSES, CODED, LENGTH, NARROW, SIZES, Storage
from ravine.engines.storage.codes import BLOCK, blocks
from ravine.errors import with_article
from ravine.torch import products
from ravine.torch.codes import KINDS
from ravine.torch.layout import is_dense
from ravine.torch.likeness import Likeness
from ravine.torch.method import Method
from ravine.torch.narrow import is_coded, scale_key
from ravine.torch.rounding import NEAREST, REMAINDER, How

REAL = {
    torch.float64: "float64",
    torch.float32: "float32",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
    torch.complex64: "float32",  # a complex number is a pair of reals
    torch.complex128: "float64",
}
PLAIN = (Tensor, torch.nn.Parameter)

STORED = REAL | KINDS
"""With the codes of state, and the remainder of a parameter."""

address = Tensor.data_ptr
is_contiguous = Tensor.is_contiguous


def storage(p: Tensor, g: Tensor, state: dict[str, Any], method: Method, how: How = NEAREST) -> Storage | str:
    """How a parameter is stored, if the fused engine can take it as it is; else why not, in words."""
    named = {"the parameter": p, "the gradient": g, **{key: state[key] for key in method.arrays.values()}}
    coded = [key for key in method.arrays.values() if is_coded(state, key)]
    has_remainder = how.of(p) == REMAINDER
    if has_remainder:
        named[REMAINDER] = state[REMAINDER]
    is_staged = not method.rule.graph.is_elementwise
    if is_staged and (coded or has_remainder):
        return "its rule reads more than one element at a time, which codes and remainders are not kept for"
    shapes = {key: method.rule.slot_shape(name, tuple(p.shape)) for name, key in method.arrays.items()}
    for name, a in named.items():
        if not is_plain(a) or (a.dtype not in REAL and name not in coded and name != REMAINDER):
            return f"{name} is {_words(a)}"
        if a.shape != shapes.get(name, p.shape) or a.is_complex() != p.is_complex():
            return f"{name} is {_words(a)}, the parameter {_words(p)}"
    if is_staged and p.is_complex():
        return "its rule is for real matrices"
    for key in map(scale_key, coded):
        scale = state[key]
        if not is_plain(scale) or scale.dtype is not torch.float32 or scale.shape != (blocks(p.numel()),):
            return f"{key} is {_words(scale)}"
    for key in method.counters:
        c = state[key]
        if not is_plain(c) or c.numel() != 1 or c.dtype not in COUNTS:
            return f"{key} is {_words(c)}"
    arrays = list(named.values())
    if not all(map(is_contiguous, arrays)):
        if not is_dense(p):
            return f"the parameter's memory has gaps or overlaps: strides {p.stride()} for shape {tuple(p.shape)}"
        if is_staged:
            return "its rule reads rows and columns, which are not in the order of a contiguous tensor"
        for name, a in named.items():
            if a.stride() != p.stride():
                return f"{name} is laid out with strides {a.stride()}, the parameter with {p.stride()}"
    if coded and not is_contiguous(p):
        return f"codes are in the order of a contiguous tensor, the parameter has strides {p.stride()}"
    x, of_g, *types = (STORED[a.dtype] for a in arrays)
    slots = tuple(types[: len(types) - has_remainder])
    found = Storage(
        x,
        of_g,
        slots,
        tuple(COUNTS[state[key].dtype] for key in method.counters),
        is_stochastic=how.of(p) == "stochastic",
        is_state_stochastic=how.is_state_random and any(kind in NARROW for kind in slots),
        has_remainder=has_remainder,
    )
    types = [x, of_g, *slots]
    if found.compute == "float64" and any(SIZES[kind] < 4 and kind not in CODED for kind in types):
        return "narrow numbers stand beside a float64 parameter"
    if "float16" in types and not jit.has_half():
        return "this processor does not convert float16"
    return found


def _words(a: Any) -> str:
    if not isinstance(a, Tensor):
        return with_article(type(a).__name__)
    kind = "" if type(a) in PLAIN else f" of class {type(a).__name__}"
    return f"{str(a.dtype).removeprefix('torch.')}, {a.layout}, on {a.device}, of shape {tuple(a.shape)}{kind}"


CPU = torch.device("cpu")


def is_plain(a: Any, place: torch.device = CPU) -> bool:
    """Whether a tensor's memory there holds its numbers, so that torch's dispatcher would have nothing to add."""
    return type(a) in PLAIN and dispatch_keys(a).raw_repr() in _plain_keys(place)


@cache  # made when no mode or transform is active, as it might be when this file is imported
def _plain_keys(place: torch.device) -> set[int]:
    """What torch's dispatcher knows of tensors that are neither conjugated, sparse, wrapped nor anything else."""
    found = set()
    for is_inference in (False, True):
        with torch.inference_mode(is_inference):
            found.add(dispatch_keys(torch.empty(0, device=place)).raw_repr())
    return found


COUNTS = {torch.float32: "float32", torch.float64: "float64"}


class Bucket:
    """Parameters of equal storage with their state; `step` updates those of them that have a gradient.

    It knows where they are and what they are like, and keeps none of them alive: what the program lets go is free.
    `moving` has the ids of tensors that may come to lie elsewhere.
    """

    def __init__(
        self,
        method: Method,
        storage: Storage,
        params: Sequence[Tensor],
        grads: Sequence[Tensor],
        states: Sequence[dict[str, Any]],
        is_fresh: Sequence[bool],
        moving: Container[int] = (),
    ) -> None:
        self.method, self.storage = method, storage
        self.size = len(params)
        self.all_rows = self.rows = list(range(self.size))
        self.fresh = {k for k, fresh in enumerate(is_fresh) if fresh} if not storage.scalars else set()
        arrays = list(method.arrays.values())
        beside = [REMAINDER] * storage.has_remainder + [scale_key(arrays[k]) for k in storage.scales]
        self.keys = [*arrays, *beside, *method.counters]
        standing = self._standing(params, states)
        self.likeness = Likeness([*standing, *grads])
        self.fixed = list(map(address, standing))
        self.may_move = [id(a) in moving for a in standing] if moving else []
        self.grads = list(map(address, grads))
        self.lengths = [p.numel() * (2 if p.is_complex() else 1) for p in params]
        columns = _columns(self.fixed, self.grads)
        self.table: Any  # either has what is asked of it here
        if method.rule.graph.is_elementwise:
            self.table = Table(method.rule, storage, self.lengths, columns)
        else:
            shapes = [tuple(p.shape) for p in params]
            self.table = StagedTable(method.rule, storage, shapes, columns, products.multiplier(method.products))

    def _standing(self, params: Sequence[Tensor], states: Sequence[dict[str, Any]]) -> list[Any]:
        """What stays in its place as a rule: the parameters and their state."""
        found: list[Any] = list(params)
        for key in self.keys:
            found += map(itemgetter(key), states)
        return found

    def take(self, rows: list[int]) -> None:
        """Have the next step be of these parameters, by their numbers."""
        self.rows = rows
        self.table.take(None if len(rows) == self.size else rows)

    def is_current(self, params: Sequence[Tensor], grads: Sequence[Tensor], states: Sequence[dict[str, Any]]) -> bool:
        """Whether the table still tells the truth of those taken, after it was told where new gradients lie.

        This runs in every step, so it is a few passes of built-in functions over lists. Another tensor may lie where
        an old one lay, and a tensor may become another where it lies, so an address says nothing without a look at
        the type, shape and strides.
        """
        is_whole = len(self.rows) == self.size
        rows = None if is_whole else self.rows
        places = [] if is_whole else [k * self.size + r for k in range(len(self.keys) + 1) for r in self.rows]
        try:
            standing = self._standing(params, states)
            if is_whole:
                is_like = self.likeness.holds([*standing, *grads])
            else:
                of_grads = [len(self.fixed) + r for r in self.rows]
                is_like = self.likeness.holds_of([*places, *of_grads], [*standing, *grads])
            if not is_like:
                return False
            addresses, fixed = list(map(address, grads)), list(map(address, standing))
        except (RuntimeError, KeyError, AttributeError, TypeError):  # a sparse gradient, or state that was taken away
            return False
        known = self.fixed if is_whole else [self.fixed[k] for k in places]
        if fixed != known:
            may_move = self.may_move and (self.may_move if is_whole else [self.may_move[k] for k in places])
            if not may_move or any(
                now != before and not may for now, before, may in zip(fixed, known, may_move, strict=True)
            ):
                return False
            self.table.set_addresses(_columns(fixed, addresses), rows)
            self.fixed = fixed if is_whole else _replaced(self.fixed, places, fixed)
        elif addresses != self.grads or not is_whole:
            self.table.set_gradients(addresses, rows)
        self.grads = addresses if is_whole else []  # last: after an interrupt before it the table is told again
        return True

    def overlaps(self) -> bool:
        """Whether two of its arrays share memory, so that the order of updates would matter."""
        if isinstance(self.table, StagedTable):
            return overlap(self.table.given, self.table.lengths, self.storage.arrays, first=0)
        kinds = (*self.storage.arrays, *self.storage.beside)
        lengths = np.repeat(self.table.rows[:, LENGTH, None], len(kinds), axis=1)
        if scales := len(self.storage.scales):
            lengths[:, -scales:] = -(-lengths[:, -scales:] // BLOCK)
        return overlap(self.table.rows, lengths, kinds)

    def walked(self, hyper: tuple[float, ...]) -> None:
        """Make the table's launch ready for machine code that writes the gradients it finds into the table."""
        self.grads = []  # whatever they will be
        self.table.set_hyper(hyper)

    def step(self, hyper: tuple[float, ...], threads: int) -> None:
        """One step of every parameter that was taken; autograd is to be told of it."""
        if self.storage.scalars:
            self.table.step(hyper, threads)
        elif self.fresh.isdisjoint(self.rows):
            self.table.step_at(LATER, (), hyper, threads)
        else:  # the first step of some: their state was made for it
            counts = [(1.0, ()), (LATER, ())]
            self.table.step_rows(counts, [int(k not in self.fresh) for k in range(self.size)], hyper, threads)
            self.fresh = self.fresh.difference(self.rows)


def overlap(rows: Any, lengths: Any, kinds: Sequence[str], first: int = ADDRESSES) -> bool:
    """Whether two of a table's arrays share memory, whose addresses begin with column `first`; `lengths` has a row a
    tensor, a column for each array's kind."""
    starts = rows[:, first : first + len(kinds)]
    ends = starts + lengths * np.array([SIZES[kind] for kind in kinds])
    filled = ends > starts
    order = np.argsort(starts[filled], kind="stable")
    return bool(np.any(starts[filled][order][1:] < ends[filled][order][:-1]))


def _columns(standing: list[int], grads: list[int]) -> Any:
    """The addresses as a table has them: a row a tensor, its parameter's, its gradient's, then those of its state."""
    fixed = np.array(standing, np.int64).reshape(-1, len(grads))
    return np.vstack([fixed[:1], [grads], fixed[1:]]).T


def _replaced(old: list[int], places: Sequence[int], new: Sequence[int]) -> list[int]:
    changes = dict(zip(places, new, strict=True))
    return [changes.get(k, value) for k, value in enumerate(old)]
