"""The fused engine on NumPy arrays, in place."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from ravine.engines.fused import jit
from ravine.engines.fused.kernel import Table, hyper_values
from ravine.engines.fused.staged import StagedTable
from ravine.engines.fused.storage import SIZES, Storage
from ravine.engines.storage.step import Stored, run_seed
from ravine.engines.storage.step import step as narrow_step
from ravine.rule import Rule


def step(
    rule: Rule, x: Any, g: Any, slots: Mapping[str, Any], t: int, hyper: Mapping[str, Any], threads: int | None = None
) -> dict[str, float]:
    """One update of x and of its array slots in place. Returns the new scalar slots by name.

    NumPy arrays, types float64, float32 or float16. Arrays that the kernel can't take as they are (strided, or sharing
    memory) are stepped by the reference and copied back, and so are rules that multiply matrices, whose bits hang on
    the order in which that is done. `threads` is by default the number of processors that this process may use.
    """
    arrays = {n: a for n, a in slots.items() if not rule.slots[n].is_scalar}
    scalars = {n: float(v) for n, v in slots.items() if rule.slots[n].is_scalar}
    narrow = {n: a for n, a in arrays.items() if isinstance(a, Stored)}
    written = {"x": x, **{n: a.data if n in narrow else a for n, a in arrays.items()}}
    beside = {f"the scales of {n}": a.scale for n, a in narrow.items() if a.scale is not None}
    for name, array in (written | beside).items():
        if not array.flags.writeable:
            raise ValueError(f"{name} is read-only, and an update in place writes to it")
    seed = run_seed(slots, t)
    storage = _storage(x, g, tuple(arrays.values()), seed is not None)
    if storage is None or rule.graph.multiplies or (storage.scales and not rule.graph.is_elementwise):
        new_x, new = narrow_step(rule, x, g, slots, t, hyper, seed)
        x[...] = new_x
        for name, array in arrays.items():
            _copy(array, new[name])
        return {n: new[n] for n in scalars}
    own = (x, g, *list(written.values())[1:], *beside.values())
    make = _table if rule.graph.is_elementwise else _staged
    table = make(rule, storage, x.shape, tuple(map(_address, own)))
    if seed is not None:
        table.set_seeds([seed])
    values = hyper_values(rule, hyper)
    kept = table.step_at(float(t), tuple(scalars.values()), values, threads or _processors())
    return dict(zip(scalars, kept, strict=True))


@lru_cache(maxsize=1024)
def _table(rule: Rule, storage: Storage, shape: tuple[int, ...], addresses: tuple[int, ...]) -> Table:
    """A table says nothing but its arguments, so one for the same addresses may be used again."""
    return Table(rule, storage, [math.prod(shape)], [addresses])


@lru_cache(maxsize=8)  # each has work space as large as the array
def _staged(rule: Rule, storage: Storage, shape: tuple[int, ...], addresses: tuple[int, ...]) -> StagedTable:
    """The same for a rule that reads more than one element at a time."""
    return StagedTable(rule, storage, [shape], [addresses], _no_products)


def _no_products(*_: object) -> None:
    raise AssertionError("rules that multiply matrices are the reference's")


def _copy(array: Any, new: Any) -> None:
    if not isinstance(array, Stored):
        array[...] = new
        return
    array.data[...] = new.data
    if array.scale is not None:
        array.scale[...] = new.scale


def _storage(x: Any, g: Any, slots: tuple[Any, ...], is_random: bool) -> Storage | None:
    arrays: tuple[Any, ...] = (x, g, *(s.data if isinstance(s, Stored) else s for s in slots))
    kinds = {2 + k: s.kind for k, s in enumerate(slots) if isinstance(s, Stored)}
    arrays += tuple(s.scale for s in slots if isinstance(s, Stored) and s.scale is not None)
    if not all(type(a) is np.ndarray and a.flags.c_contiguous and a.dtype.isnative for a in arrays):
        return None
    types = [kinds.get(k, str(a.dtype)) for k, a in enumerate(arrays[: 2 + len(slots)])]
    if any(kind not in SIZES for kind in types):
        return None
    if "float64" in types[:1] and "bfloat16" in types:
        return None
    if "float16" in types and ("float64" in types or not jit.has_half()):
        return None
    ranges = sorted((_address(a), _address(a) + a.nbytes) for a in arrays)
    if any(end > start for (_, end), (start, _) in pairwise(ranges)):
        return None
    return Storage(types[0], types[1], tuple(types[2:]), is_state_stochastic=is_random)


def _address(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
