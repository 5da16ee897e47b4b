"""States in the folders that orbax writes: a description of the tree, and arrays in a store that tensorstore reads."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from ravine.convert import files
from ravine.convert.names import Tensors
from ravine.errors import missing

METADATA = "_METADATA"
DEEPEST = 2
"""A checkpoint manager has a folder for each step, and in it one for each item."""


def folder(path: Path, depth: int = 0) -> Path | None:
    """Where the tree is in a folder: in itself, or in that of the last step, or of the only item. None for others.

    Raises ValueError for several items.
    """
    if not path.is_dir():
        return None
    if (path / METADATA).is_file():
        return path
    inside = [p for p in path.iterdir() if p.is_dir()] if depth < DEEPEST else []
    steps = sorted((p for p in inside if p.name.isdecimal()), key=lambda p: int(p.name))
    found = [f for p in (steps[-1:] or sorted(inside)) if (f := folder(p, depth + 1)) is not None]
    if len(found) > 1:
        raise ValueError(f"{path} holds several items, {', '.join(p.name for p in found)}: name one of them")
    return found[0] if found else None


def load(path: Path) -> Tensors:
    """The arrays of a folder by their paths, such as "0.mu.weight". Raises ValueError if one is damaged."""
    try:
        import tensorstore
    except ImportError as error:
        raise missing("reading orbax's folders", error) from error
    try:
        described = json.loads((path / METADATA).read_text(), object_pairs_hook=files.unique)
        found: Tensors = {}
        for entry in described["tree_metadata"].values():
            name = ".".join(str(part["key"]) for part in entry["key_metadata"])
            if not entry["value_metadata"].get("skip_deserialize"):
                found[name] = _array(tensorstore, path, name, bool(described.get("use_zarr3")))
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        words = str(error).partition("\n")[0].partition(" [")[0]
        raise ValueError(f"{path} is damaged, or no folder of orbax's: {words or type(error).__name__}") from error
    return found


def _array(tensorstore: Any, path: Path, name: str, is_third: bool) -> np.ndarray:
    where = f"{path.absolute().as_uri()}/"
    store: dict[str, Any] = {"driver": "file", "path": f"{path.absolute()}/{name}/"}
    if (path / "manifest.ocdbt").is_file():
        store = {"driver": "ocdbt", "base": where, "path": f"{name}/"}
    wanted = {"driver": "zarr3" if is_third else "zarr", "kvstore": store, "fill_missing_data_reads": False}
    opened = tensorstore.open(wanted, read=True).result()
    size = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    if math.prod(opened.shape) * opened.dtype.numpy_dtype.itemsize > MOST_PACKED * size:
        raise ValueError(f"{name} is larger than its files can hold")
    array = np.asarray(opened.read().result())
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


MOST_PACKED = 1000
"""A store's compression makes no more than this of a byte."""
