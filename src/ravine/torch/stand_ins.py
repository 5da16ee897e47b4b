"""Stand-ins for arrays and counts that the fused engine can't take as they are: copied in, stepped, copied back.

Two passes over a parameter with gaps, or one over a gradient in another order, cost less than a step by torch's
operations, each of which is such a pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ravine.torch.bucket import PLAIN, REAL, address, is_plain
from ravine.torch.layout import is_dense
from ravine.torch.likeness import Likeness
from ravine.torch.method import Method

KEPT = 1 << 24
"""Bytes of stand-ins that are kept between steps; more are made in every step, so that no program's memory grows."""


PARAMETER, GRADIENT = 0, 1
"""Roles; those of the state are its keys."""

Role = int | str
Roles = Mapping[Role, Tensor]
Columns = tuple[list[Tensor], list[Tensor], list[Any]]
"""Parameters, their gradients and their states."""

WIDE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bfloat16, torch.float16)
"""The types of counts that float64 holds."""


def stand_ins(p: Tensor, g: Any, state: Mapping[str, Any], method: Method, *, in_order: bool, is_seeded: bool) -> Roles:
    """Memory for what stands in for a parameter's arrays and counts, by their roles; empty if that is no help.

    `in_order` has it as a contiguous tensor's, as codes are. What is rounded at random draws by `rounding.places`.
    """
    if not is_plain(p) or p.dtype not in REAL or _may_repeat(p):
        return {}
    found: dict[Role, Tensor] = {}
    x = p
    if not is_dense(p) or (in_order and not p.is_contiguous()):
        order = torch.contiguous_format if in_order or is_seeded else torch.preserve_format
        x = found[PARAMETER] = torch.empty_like(p, requires_grad=False, memory_format=order)
    if _differs(g, x):
        found[GRADIENT] = torch.empty_like(x, dtype=g.dtype, requires_grad=False)
    for key in method.arrays.values():
        a = state[key]
        if is_plain(a) and _differs(a, x) and not _may_repeat(a):
            found[key] = torch.empty_like(x, dtype=a.dtype, requires_grad=False)
    for key in method.counters:
        c = state[key]
        if is_plain(c) and c.numel() == 1 and c.dtype in WIDE:
            found[key] = torch.empty((), dtype=torch.float64, device="cpu")
    return found


def placed(p: Tensor, g: Tensor, state: dict[str, Any], roles: Roles) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """A parameter, its gradient and its state with the stand-ins in their places."""
    own = {key: tensor for key, tensor in roles.items() if isinstance(key, str)}
    return roles.get(PARAMETER, p), roles.get(GRADIENT, g), {**state, **own} if own else state


def moving_ids(members: Mapping[int, Roles]) -> set[int]:
    """The ids of those that lie elsewhere in every step, being too much memory to keep."""
    tensors = [tensor for roles in members.values() for tensor in roles.values()]
    return {id(t) for t in tensors} if sum(t.nbytes for t in tensors) > KEPT else set()


def _differs(a: Any, x: Tensor) -> bool:
    """Whether an array differs from x in layout or by a flag (conjugated, negated), and in nothing else."""
    if not isinstance(a, Tensor) or type(a) not in PLAIN or a.layout is not torch.strided or not a.is_cpu:
        return False
    is_like = a.shape == x.shape and a.dtype in REAL and a.is_complex() == x.is_complex()
    return is_like and (a.stride() != x.stride() or not is_plain(a))


def _may_repeat(a: Tensor) -> bool:
    """Whether two elements may lie in one place: not where every stride steps over what the smaller ones reach."""
    reach = 0
    for stride, size in sorted((stride, size) for stride, size in zip(a.stride(), a.shape, strict=True) if size > 1):
        if stride <= reach:
            return True
        reach += stride * (size - 1)
    return False


class StandIns:
    """The stand-ins of a plan's parameters, which these are numbered as. Between steps it keeps no tensor of the
    program alive, and of its own not many bytes.
    """

    def __init__(self, method: Method, members: Mapping[int, Roles], columns: Columns) -> None:
        self.members = list(members)
        self._places = [(i, role) for i, roles in members.items() for role in roles]
        tensors = [tensor for roles in members.values() for tensor in roles.values()]
        self._count = method.step
        self._specs = [(t.shape, t.stride(), t.dtype) for t in tensors]
        self._is_kept = not moving_ids(members)
        self._tensors = dict(enumerate(tensors))
        self.take(columns, self.members)
        self._likeness = Likeness(self._originals)
        self._fixed = list(map(address, self._originals))

    def take(self, columns: Columns, numbers: Sequence[int]) -> None:
        """Have the next step be of these parameters. Raises what state raises that was taken away."""
        now = set(numbers)
        self._taken = [k for k, (i, _) in enumerate(self._places) if i in now]
        params_and_grads, states = columns[:2], columns[2]
        places = [self._places[k] for k in self._taken]
        self._originals = [states[i][r] if isinstance(r, str) else params_and_grads[r][i] for i, r in places]

    def is_current(self, columns: Columns, numbers: Sequence[int]) -> bool:
        """Whether what they stand for is where and what it was for these parameters, whose gradients may be new."""
        try:
            self.take(columns, numbers)
            now = self._originals
            is_whole = len(now) == len(self._places)
            is_like = self._likeness.holds(now) if is_whole else self._likeness.holds_of(self._taken, now)
            is_fixed = all(
                address(a) == self._fixed[k] for k, a in zip(self._taken, now, strict=True) if self._is_written(k)
            )
        except (RuntimeError, KeyError, AttributeError, TypeError):  # a sparse gradient, or state that was taken away
            is_like = is_fixed = False
        if not (is_like and is_fixed):
            self._originals = []
        return is_like and is_fixed

    def _is_written(self, place: int) -> bool:
        return self._places[place][1] != GRADIENT

    def fill(self, columns: Columns) -> Columns:
        """Copy into the stand-ins what they stand for, and return the columns with them in their places.

        A count is filled so that one more is what its own type makes of one more: bfloat16 stays at 256.
        """
        if not self._tensors:
            specs = {k: self._specs[k] for k in self._taken}
            self._tensors = {
                k: torch.empty_strided(*spec[:2], dtype=spec[2], device="cpu") for k, spec in specs.items()
            }
        sources, tensors = list(self._originals), [self._tensors[k] for k in self._taken]
        counts = [n for n, k in enumerate(self._taken) if self._places[k][1] == self._count]
        with torch.no_grad():
            if counts:
                following = torch._foreach_add([sources[n] for n in counts], 1)
                for n, count in zip(counts, following, strict=True):
                    sources[n] = count.view(())
            if tensors:
                torch._foreach_copy_(tensors, sources)
            if counts:
                torch._foreach_sub_([tensors[n] for n in counts], 1.0)
        params, grads, states = map(list, columns)
        arrays = params, grads
        for k, tensor in zip(self._taken, tensors, strict=True):
            i, role = self._places[k]
            if isinstance(role, str):
                states[i] = {**states[i], role: tensor}
            else:
                arrays[role][i] = tensor
        return params, grads, states

    def copy_back(self) -> None:
        """Write what a step made of the stand-ins to what they stand for."""
        written = [n for n, k in enumerate(self._taken) if self._is_written(k)]
        if written:
            originals = [self._originals[n] for n in written]
            tensors = [self._tensors[self._taken[n]] for n in written]
            with torch.no_grad():
                torch._foreach_copy_(originals, tensors)
        self.let_go()

    def let_go(self) -> None:
        """Keep no tensor of the program."""
        self._originals = []
        if not self._is_kept:
            self._tensors = {}


def share_memory(written: Sequence[Tensor], read: Sequence[Tensor]) -> bool:
    """Whether one element that is written is written or read as another's too. Extents may interlace without that."""
    spans = sorted((*_extent(a), k) for k, a in enumerate([*written, *read]) if a.numel())
    arrays, start = [*written, *read], 0
    while start < len(spans):
        stop, (low, high, _) = start + 1, spans[start]
        while stop < len(spans) and spans[stop][0] < high:
            high, stop = max(high, spans[stop][1]), stop + 1
        if stop > start + 1:
            mask = np.zeros(high - low, bool)
            total = 0
            for k in sorted(k for _, _, k in spans[start:stop]):
                a = arrays[k]
                own = np.lib.stride_tricks.as_strided(
                    mask[address(a) - low :],
                    (*a.shape, a.itemsize),
                    (*(stride * a.itemsize for stride in a.stride()), 1),
                )
                if k >= len(written):
                    if own.any():
                        return True
                    continue
                own[...] = True
                total += own.size
            if int(mask.sum()) != total:
                return True
        start = stop
    return False


def _extent(a: Tensor) -> tuple[int, int]:
    """The addresses of a strided array's first byte, and of the first behind it."""
    reach = sum(stride * (size - 1) for stride, size in zip(a.stride(), a.shape, strict=True))
    return address(a), address(a) + (reach + 1) * a.itemsize
