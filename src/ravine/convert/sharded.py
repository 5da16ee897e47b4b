"""Distributed checkpoints: the folders of torch.distributed.checkpoint, and flattened optimizer state dicts.

The folder's `.metadata` is a pickle. It is read by an unpickler that knows torch's descriptions of tensors and nothing
else; the shards are read as any of torch's files, tensors and plain values only.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path, PurePath
from typing import Any

from ravine.convert import files

METADATA = ".metadata"
STATE, GROUPS = "state.", "param_groups."

KNOWN = {
    "torch.distributed.checkpoint.metadata": (
        *("Metadata", "MetadataIndex", "StorageMeta", "TensorStorageMetadata", "BytesStorageMetadata"),
        *("ChunkStorageMetadata", "TensorProperties", "_MEM_FORMAT_ENCODING"),
    ),
    "torch.distributed.checkpoint.filesystem": ("_StorageInfo",),
    "torch.distributed._shard.sharded_tensor.metadata": ("TensorProperties", "MEM_FORMAT_ENCODING"),
    "torch.serialization": ("_get_layout",),
    "torch": ("Size",),
    "collections": ("OrderedDict",),
}
"""What a `.metadata` may name, beside torch's types of numbers."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        import torch

        if name in KNOWN.get(module, ()):
            return super().find_class(module, name)
        if module.startswith("pathlib") and name.endswith("Path"):  # where it was saved, which is of no use here
            return PurePath
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is no description of a tensor")


def is_folder(path: Path) -> bool:
    """Whether a folder is a distributed checkpoint."""
    return (path / METADATA).is_file()


def load(folder: Path) -> Any:
    """What was saved, with whole tensors for shards. Raises ValueError for a damaged or incomplete checkpoint."""
    import torch
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

    try:
        described = _described(folder)
        size = sum(p.stat().st_size for p in folder.iterdir())
        whole: dict[str, Any] = {}
        for name, own in described.state_dict_metadata.items():
            if isinstance(own, TensorStorageMetadata):
                if own.size.numel() * own.properties.dtype.itemsize > size:
                    raise ValueError(f"{name} is larger than all files together")
                whole[name] = torch.empty(own.size, dtype=own.properties.dtype)
        filled = dict.fromkeys(whole, 0)
        for index, place in described.storage_data.items():
            value = _shard(folder, place)
            if index.fqn not in whole or not isinstance(value, torch.Tensor):
                whole[index.fqn] = value
                continue
            corner = index.offset or [0] * value.ndim
            target = whole[index.fqn]
            for axis, (start, length) in enumerate(zip(corner, value.shape, strict=True)):
                target = target.narrow(axis, start, length)
            target.copy_(value)
            filled[index.fqn] += value.numel()
        for name, count in filled.items():
            if count != whole[name].numel():
                raise ValueError(f"{name} is not whole: {count} of {whole[name].numel()} numbers are there")
    except _UnreadError as error:
        raise ValueError(str(error)) from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, AttributeError, TypeError) as error:
        words = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{folder} is damaged, or no distributed checkpoint: {words}") from error
    paths = described.planner_data or {}
    return _nested({tuple(paths.get(name, (name,))): value for name, value in whole.items()})


def _described(folder: Path) -> Any:
    with (folder / METADATA).open("rb") as file:
        found = _Unpickler(file).load()
    for place in found.storage_data.values():
        if coded := getattr(place, "transform_descriptors", None):
            raise _UnreadError(
                f"{folder} has shards that are compressed ({coded[0]}), which are not read: load it with "
                "torch.distributed.checkpoint, and save it again without extensions"
            )
    return found


class _UnreadError(Exception):
    """A healthy checkpoint in a form that is not read."""


def _shard(folder: Path, place: Any) -> Any:
    import torch

    if Path(place.relative_path).name != place.relative_path:
        raise ValueError(f"it names the file {place.relative_path!r} outside of the folder")
    with (folder / place.relative_path).open("rb") as file:
        file.seek(place.offset)
        slice_ = io.BytesIO(file.read(place.length))
    files.check_torch(slice_, folder / place.relative_path)
    slice_.seek(0)
    return torch.load(slice_, map_location="cpu", weights_only=True)


def _nested(flat: dict[tuple[str | int, ...], Any], place: str | int = "") -> Any:
    """Dictionaries and lists out of the paths into them; there, a parameter's number under "state" is text."""
    if list(flat) == [()]:
        return flat[()]
    inside: dict[Any, dict[tuple[str | int, ...], Any]] = {}
    for path, value in flat.items():
        inside.setdefault(path[0], {})[path[1:]] = value
    built = {name: _nested(own, name) for name, own in inside.items()}
    if place == "state":
        return {int(n) if str(n).isdecimal() else n: own for n, own in built.items()}
    return [built[i] for i in sorted(built)] if all(isinstance(n, int) for n in built) else built


def unflattened(value: Any) -> dict[str, Any] | None:
    """The optimizer's state dict in one that was flattened, "state.weight.exp_avg"; None for another value.

    `get_optimizer_state_dict` writes it so with `flatten_optimizer_state_dict`: options by parameter as well.
    """
    if not isinstance(value, dict) or not any(isinstance(n, str) and n.startswith(GROUPS) for n in value):
        return None
    if not all(isinstance(n, str) and n.startswith((STATE, GROUPS)) for n in value):
        return None
    state: dict[str, dict[str, Any]] = {}
    options: dict[str, dict[str, Any]] = {}
    for name, own in value.items():
        of = STATE if name.startswith(STATE) else GROUPS
        param, _, key = name.removeprefix(of).rpartition(".")
        (state if of is STATE else options).setdefault(param, {})[key] = own
    groups: list[dict[str, Any]] = []
    for param, own in options.items():
        alike = next((g for g in groups if {n: v for n, v in g.items() if n != "params"} == own), None)
        if alike is None:
            groups.append(alike := {**own, "params": []})
        alike["params"].append(param)
    return {"state": state, "param_groups": groups}
