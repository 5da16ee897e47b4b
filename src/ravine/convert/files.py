"""State files: .safetensors or .npz with names, and torch's own .pt; written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import math
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from ravine.convert.names import Tensors

METADATA = "ravine"
KINDS = (".npz", ".safetensors")


def load(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """(tensors, metadata) of a file. Nothing is unpickled. Raises ValueError for a damaged file or another kind."""
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    try:
        if path.suffix == ".npz":
            return _load_npz(path)
        if path.suffix == ".safetensors":
            return _load_safetensors(path)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        words = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path} is damaged, or not a {path.suffix} file: {words}") from error
    raise ValueError(
        f"{path}: the name must end in {' or '.join(KINDS)}, or for a file of torch's in .pt, .pth or .ckpt"
    )


def save(path: Path, tensors: Tensors, metadata: dict[str, Any]) -> None:
    """Write a file; if anything goes wrong, what was there before stays. Raises ValueError for an unknown kind."""
    if path.suffix not in KINDS:
        raise ValueError(f"{path}: the name must end in {' or '.join(KINDS)}")
    if not path.parent.is_dir():
        raise ValueError(f"can't write {str(path)!r}: there is no folder {str(path.parent)!r}")
    text = json.dumps(metadata)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".ravine-") as folder:
        whole = Path(folder) / path.name
        if path.suffix == ".npz":
            np.savez(whole, allow_pickle=False, **{**tensors, METADATA: np.array(text)})
        else:
            from safetensors.numpy import save_file

            save_file({n: np.ascontiguousarray(v) for n, v in tensors.items()}, whole, {METADATA: text})
        whole.replace(path)


FINE = 1 << 30
MOST_PACKED = 200
"""More bytes than FINE that are more than MOST_PACKED times a file's own are taken for a bomb."""


def check_size(size: int, path: Path) -> None:
    """Raise ValueError for what a file would unpack to, in bytes, where that is more than any model does."""
    if size > FINE and size > MOST_PACKED * path.stat().st_size:
        raise ValueError(f"{path}: it would unpack to {size / 2**30:.0f} GiB")


def check_archive(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise ValueError for an archive with a name twice, and for one that would unpack to more than any model."""
    names = archive.namelist()
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise ValueError(f"{path}: it has {twice[0]!r} twice")
    check_size(sum(info.file_size for info in archive.infolist()), path)


def check_torch(file: Path | IO[bytes], path: Path) -> None:
    """Raise ValueError as `check_archive` for what torch wrote to a file, and for bytes in it that are not those which
    were written, by its checksums. What is no archive, or a damaged one, torch tells itself."""
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(file) as archive:
        check_archive(archive, path)
        if (name := archive.testzip()) is not None:
            raise ValueError(
                f"{path} is damaged: {name!r} is not what was written, by its checksum. (torch writes none where "
                "torch.serialization.set_crc32_options(False) was called.)"
            )


def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs, as for `json.loads`. Raises ValueError for a name that is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it has {next(n for n in names if names.count(n) > 1)!r} twice")
    return found


def _check_headers(archive: zipfile.ZipFile) -> None:
    """Raise ValueError for an array that is said to be larger than its bytes."""
    for info in archive.infolist():
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
        if math.prod(shape) * dtype.itemsize > info.file_size:
            raise ValueError(f"{info.filename!r} has fewer bytes than its shape {shape} needs")


def _load_npz(path: Path) -> tuple[Tensors, dict[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        check_archive(archive, path)
        _check_headers(archive)
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        arrays = {name: _wide(file[name]) for name in file.files}
    text = arrays.pop(METADATA, None)
    return arrays, {} if text is None else _object(str(text))


def _load_safetensors(path: Path) -> tuple[Tensors, dict[str, Any]]:
    import safetensors
    from safetensors import SafetensorError, safe_open

    deserialize: Callable[[bytes], Any] = safetensors.deserialize  # its stub has no types

    try:
        _check_names(path)
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        arrays = {name: _array(own) for name, own in deserialize(path.read_bytes())}
    except (SafetensorError, TypeError) as error:
        raise ValueError(str(error)) from error
    return arrays, _object(metadata[METADATA]) if METADATA in metadata else {}


def _check_names(path: Path) -> None:
    """Raise ValueError for a tensor that a .safetensors file has twice. What is wrong otherwise its reader tells."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, path.stat().st_size))
    with contextlib.suppress(json.JSONDecodeError, UnicodeDecodeError):
        json.loads(header, object_pairs_hook=unique)


TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "V2", "I64": "<i8", "I32": "<i4", "I16": "<i2"}
TYPES |= {"I8": "i1", "U8": "u1", "BOOL": "?"}
"""What safetensors calls NumPy's types."""


def _array(own: Mapping[str, Any]) -> np.ndarray:
    if own["dtype"] not in TYPES:
        raise ValueError(f"it holds numbers of type {own['dtype']}; legal are {', '.join(TYPES)}")
    return _wide(np.frombuffer(own["data"], TYPES[own["dtype"]]).reshape(own["shape"]).copy())


def _wide(array: np.ndarray) -> np.ndarray:
    """bfloat16, which NumPy knows only as two bytes without a meaning, in float32; all else as it is."""
    if array.dtype.kind != "V" or array.dtype.itemsize != 2:
        return array
    return (array.view("<u2").astype("<u4") << 16).view("<f4")


def _object(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"its metadata is {text[:60]!r}")
    return found
