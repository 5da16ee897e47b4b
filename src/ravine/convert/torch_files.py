"""Optimizers in the files that torch programs write: bare state dicts, and checkpoints with one or more inside.

Lightning's checkpoints are files with the model beside the optimizer; Accelerate's and the Trainer's of transformers
are folders with a file for each; distributed ones (`sharded`) are folders of shards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ravine.convert import files, sharded
from ravine.convert.torch_names import Entry, entries, model_in
from ravine.convert.torch_schedules import schedulers
from ravine.convert.torch_state import is_state_dict
from ravine.errors import is_installed

KINDS = (".pt", ".pth", ".bin", ".ckpt", ".tar")
OPTIMIZERS = ("optimizer.pt", "optimizer.bin", "optimizer_*.bin", "optimizer_*.pt")
"""The files of optimizers in the folders of Accelerate and of transformers' Trainer."""

MODELS = ("pytorch_model.bin", "pytorch_model_fsdp.bin")
"""The files of models beside them whose order is the model's. (safetensors sorts its tensors.)"""

CONFIG = "config.json"
"""transformers' description of a model: its .safetensors sort their tensors, and so tell no order."""

TRAINER = "trainer_state.json"
"""What transformers' Trainer says of its run."""

SCHEDULERS = ("scheduler.pt", "scheduler.bin")

DEEPEST = 6
"""How far inside a checkpoint an optimizer is looked for."""


@dataclass(frozen=True)
class Found:
    """An optimizer's state dict, and what is beside it: the parameters of the model, in order, and one scheduler's.

    `hint` is what a folder tells of a scheduler that tells nothing, in words.
    """

    state_dict: Any
    model: list[Entry] = field(default_factory=list)
    scheduler: Mapping[str, Any] | None = None
    hint: str = ""


def is_folder(path: Path) -> bool:
    """Whether a folder is one that torch programs write their optimizers to."""
    return sharded.is_folder(path) or any(True for _ in _files(path))


def load(path: Path, key: str | None = None) -> Found:
    """The optimizer in a file or folder, wherever it is in there. Only tensors and plain values are unpickled.

    Raises ValueError for a damaged file, one without an optimizer, and one with several where `key` doesn't say which.
    """
    if sharded.is_folder(path):
        whole = sharded.load(path)
    elif path.is_dir():
        files = {p.name: p for p in _files(path)}
        model = next((p for n in MODELS if (p := path / n).is_file()), None)
        if len(files) == 1:
            (only,) = files.values()
            beside = next((p for n in SCHEDULERS if (p := path / n).is_file()), None)
            return Found(
                _chosen(path, _unpickled(only), key),
                _of_config(path) if model is None else entries(_unpickled(model)),
                None if beside is None else _only(schedulers(_unpickled(beside), None)),
                _hint(path),
            )
        whole = {name: _unpickled(own) for name, own in files.items()}
    else:
        whole = _unpickled(path)
    found = _chosen(path, whole, key)
    return Found(found, model_in(whole, found), _only(schedulers(whole, found)))


def _only(found: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The only one of some; None where there is none, or more: which is whose can't be told."""
    every = list(found)
    return every[0] if len(every) == 1 else None


def _hint(folder: Path) -> str:
    """How many steps transformers' Trainer is to make: what all its schedules but the constant ones need."""
    try:
        most = int(json.loads((folder / TRAINER).read_text(encoding="utf-8"))["max_steps"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f", as in 'get_linear_schedule_with_warmup(optimizer, 0, {most})', the Trainer's unless another is chosen"


def _of_config(folder: Path) -> list[Entry]:
    """The parameters of the transformers model that a folder's config.json describes, in order; empty where none is.

    Only a class of transformers' own is made, without memory; no code that comes with a model is run.
    """
    if not (folder / CONFIG).is_file() or not is_installed("transformers"):
        return []
    import torch
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        made = getattr(transformers, (config.architectures or [""])[0], None)
        if made is None:
            return []
        with torch.device("meta"):
            return [(name, tuple(p.shape)) for name, p in made(config).named_parameters()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError):
        return []  # another version's model: its parameters keep their numbers, which is said


def model(path: Path) -> list[Entry]:
    """The parameters of the largest model in a file, in order. Raises ValueError for a file without one."""
    if found := model_in(_unpickled(path), {}):
        return found
    raise ValueError(f"{path} holds no model's state dict")


def _files(folder: Path) -> Iterator[Path]:
    for pattern in OPTIMIZERS:
        yield from sorted(folder.glob(pattern))


def _unpickled(path: Path) -> Any:
    import pickle

    import torch

    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    files.check_torch(path, path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # its text tells the reader to load the file unsafely
        if what := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise ValueError(
                f"{path} holds an object of {what[1]}, and more than tensors and plain values is not unpickled: save "
                "the optimizer's state_dict() by itself"
            ) from error
        raise ValueError(f"{path} is damaged, or holds more than tensors and plain values") from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {str(error).partition('.')[0] or type(error).__name__}") from error


def _chosen(path: Path, whole: Any, key: str | None) -> Any:
    found = dict(_optimizers(whole))
    if key is not None:
        if key not in found:
            raise ValueError(f"{path} has no optimizer at {key!r}; there is one at {_listed(found)}")
        return found[key]
    if not found:
        raise ValueError(f"{path} holds no optimizer's state dict: nothing in it has 'state' and 'param_groups'")
    if len(found) > 1:
        raise ValueError(f"{path} holds several optimizers, at {_listed(found)}: say which (key)")
    return next(iter(found.values()))


def _listed(found: dict[str, Any]) -> str:
    return ", ".join(repr(k) for k in found) or "no place"


def _optimizers(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    if is_state_dict(value):
        yield ".".join(place), value
    elif (whole := sharded.unflattened(value)) is not None:
        yield ".".join(place), whole
    elif len(place) < DEEPEST:
        inside = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
        )
        for name, own in inside:
            yield from _optimizers(own, (*place, str(name)))
