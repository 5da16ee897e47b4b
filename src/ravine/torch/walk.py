"""A look at all that a plan stands on, and the step, in one call of machine code (`walk_source.py`)."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ravine.engines.fused import jit
from ravine.engines.fused.storage import ADDRESSES
from ravine.torch import walk_ahead, walk_source
from ravine.torch.abi import Abi, abi
from ravine.torch.bucket import Bucket

Buckets = Sequence[tuple[Sequence[int], Bucket]]


@functools.cache
def _step(found: Abi) -> Any:
    """The machine code, which is called with the interpreter lock held."""
    text = walk_source.source(found.type_offset, found.tensor_offset, found.keys_offset)
    compiled = jit.compile_source(text, found.functions)
    pointer, word = ctypes.c_void_p, ctypes.c_int64
    kind = ctypes.PYFUNCTYPE(ctypes.c_bool, ctypes.py_object, ctypes.py_object, pointer, word, pointer, pointer, word)
    function: Any = kind(compiled.address("step"))
    function.compiled = compiled  # lives as long
    return function


def walk(
    params: list[Tensor],
    state: Mapping[Any, dict[str, Any]],
    numbers: Mapping[int, int],
    idle: Mapping[int, Tensor],
    buckets: Buckets,
) -> Walk | None:
    """A walk over a group whose parameters with gradients are all in buckets; None where it can't be walked.

    `numbers` are the plan's, by a parameter's id, and `idle` has for those without a gradient memory like theirs.
    """
    found = abi()
    if found is None or any(p.is_inference() for p in params):
        return None
    return Walk(found, params, state, numbers, idle, buckets)


class Walk:
    """What a group's parameters, gradients and state were; they are stepped if they still are.

    It keeps no tensor and no state alive.
    """

    def __init__(
        self,
        found: Abi,
        params: list[Tensor],
        state: Mapping[Any, dict[str, Any]],
        numbers: Mapping[int, int],
        idle: Mapping[int, Tensor],
        buckets: Buckets,
    ) -> None:
        self._abi = found
        self._kinds: dict[tuple[Any, ...], Any] = {}
        self._entries: dict[tuple[Any, ...], Any] = {}
        self._names: dict[int, str] = {}  # kept, so that no other key comes to lie where one was
        rows = np.zeros((len(params), walk_source.COLUMNS), np.int64)
        cells = {}
        for members, bucket in buckets:
            table = bucket.table.rows
            for k, member in enumerate(members):
                cells[member] = table.ctypes.data + k * table.strides[0], bucket
        places = _places(state)
        for row, p in zip(rows, params, strict=True):
            row[walk_source.PARAMETER] = id(p)
            gradient = p.grad if p.grad is not None else idle.get(id(p))
            if gradient is None:
                continue
            row[walk_source.CELLS], bucket = cells[numbers[id(p)]]
            row[walk_source.KIND] = self._kind(p, type(p))
            row[walk_source.GRADIENT_KIND] = self._kind(gradient, None)
            if bucket.keys:
                own = state[p]
                entries = self._entry(own, bucket.keys)
                row[walk_source.PLACE] = places[id(p)]
                row[walk_source.OWN] = id(own)
                row[walk_source.ENTRIES], row[walk_source.ENTRY] = len(entries), entries.ctypes.data
        has_state = rows[:, walk_source.OWN] != 0
        states = [state[p] if has else {} for p, has in zip(params, has_state, strict=True)]
        self._ahead, counts = walk_ahead.hints(params, states)  # kept, since the rows say where they are
        ends = self._ahead.ctypes.data + self._ahead.itemsize * counts.cumsum()
        rows[:, walk_source.HINTS], rows[:, walk_source.HINT] = counts, ends - self._ahead.itemsize * counts
        self._rows = rows
        self._launches = np.array([bucket.table.launch.ctypes.data for _, bucket in buckets], np.int64)
        self._before = (rows.ctypes.data, len(rows), found.undefined, self._launches.ctypes.data, len(self._launches))
        self._function = _step(found)

    def step(self, params: list[Tensor], state: Any) -> bool:
        """One step of those that have a gradient, if all is as it was. Returns whether it was."""
        taken: bool = self._function(params, state, *self._before)
        return taken

    def _kind(self, tensor: Tensor, kind: type | None) -> int:
        keys, shape, strides = self._abi.keys(tensor), tuple(tensor.shape), tensor.stride()
        name = (kind, keys, tensor.dtype, shape, strides)
        if name not in self._kinds:
            words = [id(kind) if kind else 0, keys, self._abi.elements(tensor), len(shape), *shape, *strides]
            self._kinds[name] = np.array(words, np.int64)
        address: int = self._kinds[name].ctypes.data
        return address

    def _entry(self, own: Mapping[str, Any], keys: Sequence[str]) -> Any:
        """What is expected in a parameter's own state, up to the last entry of those wanted."""
        columns = {key: column for column, key in enumerate(keys, ADDRESSES + 2)}  # behind parameter and gradient
        found: list[tuple[int, int, int]] = []
        last = 0
        for number, (key, value) in enumerate(own.items(), 1):
            wanted = key in columns
            found.append((id(key), self._kind(value, type(value)) if wanted else 0, columns.get(key, 0)))
            last = number if wanted else last
            self._names[id(key)] = key
        name = tuple(found[:last])
        if name not in self._entries:
            self._entries[name] = np.array(name, np.int64)
        return self._entries[name]


def _places(state: Any) -> dict[int, int]:
    """Where the dictionary has each key, by the key's id: the number from which `PyDict_Next` goes on to it."""
    following = ctypes.pythonapi.PyDict_Next
    following.argtypes = (ctypes.py_object, *[ctypes.c_void_p] * 3)
    place, key, value = ctypes.c_ssize_t(0), ctypes.c_void_p(), ctypes.c_void_p()
    found: dict[int, int] = {}
    before = 0
    while following(state, *map(ctypes.addressof, (place, key, value))):
        found[key.value or 0] = before
        before = place.value
    return found
