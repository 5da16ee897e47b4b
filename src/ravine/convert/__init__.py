"""Optimizer state from one framework to another: exactly, or refused with the reason.

A state file (.safetensors or .npz) holds tensors under the framework's own names, and in its metadata the optimizer's
call and the step. `convert` turns one into another; `live` moves state between files and torch or optax objects.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ravine import dialects
from ravine.convert import files, names
from ravine.convert.live import from_optax, from_torch, into_optax, into_torch, load_torch
from ravine.convert.names import Tensors
from ravine.convert.state import OptimizerState, Outcome, move

__all__ = [
    "OptimizerState",
    "Outcome",
    "convert",
    "from_optax",
    "from_torch",
    "into_optax",
    "into_torch",
    "load",
    "move",
    "read",
    "save",
    "write",
]

write = names.write


def read(
    tensors: Tensors, call: str, *, step: int | None = None, types: dict[str, str] | None = None
) -> OptimizerState:
    """The state in a framework's tensors, for an optimizer spelled as in "torch.Adam(lr=0.01)".

    `step` is the number of finished steps, where the tensors don't tell. Raises ValueError for tensors that are
    missing, unknown, or of the wrong shape or type, and for a call that is none.
    """
    constructor, given = dialects.parse(call)
    return names.read(tensors, constructor, constructor.arguments(**given), call, step=step, types=types)


def load(path: Path, framework: str, call: str | None = None, step: int | None = None) -> OptimizerState:
    """The state in a file; `call` spells the optimizer where the file does not say. Raises ValueError, as `read`."""
    if path.suffix in (".pt", ".pth"):
        if framework != "torch":
            raise ValueError(f"{path} is torch's, not {framework}'s")
        tensors, said = load_torch(path)
        metadata: dict[str, Any] = {"optimizer": said}
    else:
        tensors, metadata = files.load(path)
    call = call or metadata.get("optimizer")
    if not isinstance(call, str):
        raise ValueError(
            f"{path} doesn't say which optimizer it is from: give it, as in --optimizer '{framework}.…(…)'"
        )
    found, _ = dialects.parse(call)
    if found.framework != framework:
        raise ValueError(f"{path} is from {found}, not from {framework}")
    known = metadata.get("step")
    if framework == "tensorflow" and step is None:
        step = known  # its powers of β tell the step only until they underflow
    state = read(tensors, call, step=step, types=metadata.get("types"))
    return state if state.t is not None else replace(state, t=known)


def save(path: Path, state: OptimizerState) -> None:
    """Write a state file, whole or not at all."""
    metadata = {"optimizer": state.call, "step": state.t, "types": dict(state.types)}
    files.save(path, write(state), metadata)


def convert(
    source: Path,
    target: Path,
    *,
    source_framework: str,
    target_framework: str,
    call: str | None = None,
    step: int | None = None,
    rename: Mapping[str, str] | None = None,
    transpose: Collection[str] = (),
    allow_rounding: bool = False,
) -> Outcome:
    """Convert a state file. Raises ValueError, and writes nothing, where it can't be done exactly."""
    state = load(source, source_framework, call, step).renamed(rename or {}, transpose)
    outcome = move(state, target_framework, allow_rounding=allow_rounding)
    save(target, outcome.state)
    return outcome
