"""States in the files that flax writes with `serialization.to_bytes`: msgpack, with arrays as an extension of its."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ravine.convert import files
from ravine.convert.names import Tensors
from ravine.errors import missing

KINDS = (".msgpack",)
ARRAY, COMPLEX, SCALAR = 1, 2, 3
"""flax's extension types (flax/serialization.py)."""


def load(path: Path) -> Tensors:
    """The arrays of a file by their paths, such as "0.mu.weight". Raises ValueError for a damaged one."""
    try:
        import msgpack
    except ImportError as error:
        raise missing("reading flax's files", error) from error
    try:
        how = {"ext_hook": _extension, "object_pairs_hook": files.unique, "strict_map_key": False}
        tree = msgpack.unpackb(path.read_bytes(), raw=False, **how)
    except (ValueError, TypeError, OSError, msgpack.UnpackException) as error:
        raise ValueError(f"{path} is damaged, or not a file of flax's: {str(error) or type(error).__name__}") from error
    if not isinstance(tree, dict):
        raise ValueError(f"{path} holds no tree of arrays")
    return dict(_leaves(tree))


def _extension(code: int, data: bytes) -> np.ndarray:
    import msgpack

    if code not in (ARRAY, SCALAR):
        raise ValueError(f"it holds an object of flax's kind {code}; legal are arrays and real numbers")
    shape, kind, buffer = msgpack.unpackb(data, raw=False)
    if kind == "bfloat16":
        return (np.frombuffer(buffer, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    dtype = np.dtype(kind)
    if dtype.hasobject:
        raise ValueError(f"it holds an array of type {kind}")
    return np.frombuffer(buffer, dtype).reshape(shape).copy()


def _leaves(tree: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(tree, dict):
        for name, own in tree.items():
            yield from _leaves(own, (*place, str(name)))
    elif tree is not None:
        yield ".".join(place), np.asarray(tree)
