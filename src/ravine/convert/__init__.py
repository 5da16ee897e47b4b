"""Optimizer state from one framework to another: exactly, or refused with the reason.

A state file (.safetensors or .npz) holds tensors under the framework's own names, and in its metadata the optimizer's
call and the step; torch's own files are read as torch wrote them. `convert` turns one into another, `resume` goes on in
torch from any of them; `torch_state` and `optax_state` move state between tensors and live objects.
"""

from __future__ import annotations

from ravine.convert.loading import Loaded, convert, load, load_groups, save, targets
from ravine.convert.names import read, write
from ravine.convert.optax_state import from_optax, into_optax
from ravine.convert.resume import resume, resume_scheduled
from ravine.convert.state import OptimizerState, Outcome, move, renamed
from ravine.convert.torch_state import from_torch, groups, into_torch

__all__ = [
    "Loaded",
    "OptimizerState",
    "Outcome",
    "convert",
    "from_optax",
    "from_torch",
    "groups",
    "into_optax",
    "into_torch",
    "load",
    "load_groups",
    "move",
    "read",
    "renamed",
    "resume",
    "resume_scheduled",
    "save",
    "targets",
    "write",
]
