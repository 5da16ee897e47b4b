"""Optimizers in the files that torch programs write: bare state dicts, and checkpoints with one or more inside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ravine.convert.torch_state import is_state_dict

KINDS = (".pt", ".pth", ".bin", ".ckpt", ".tar")
DEEPEST = 6
"""How far inside a checkpoint an optimizer is looked for."""


def load(path: Path, key: str | None = None) -> Any:
    """The optimizer's state dict in a file, wherever it is in there. Only tensors and plain values are unpickled.

    Raises ValueError for a damaged file, one without an optimizer, and one with several where `key` doesn't say which.
    """
    import pickle

    import torch

    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    try:
        whole = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # its text tells the reader to load the file unsafely
        raise ValueError(f"{path} is damaged, or holds more than tensors and plain values") from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {str(error).partition('.')[0] or type(error).__name__}") from error
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
    elif len(place) < DEEPEST:
        inside = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
        )
        for name, own in inside:
            yield from _optimizers(own, (*place, str(name)))
