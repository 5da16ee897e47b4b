"""Bytes a parameter for weights, gradients and state, under each choice of how they are stored; counted, and the peak
measured in a process of its own."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

import ravine
from ravine import userfile
from ravine.errors import unknown
from ravine.torch.making import from_recipe

STEPS = 2
"""Steps after which the peak is read: the first makes the state, the second works on what is there."""


@dataclass(frozen=True)
class Choice:
    """How weights and state are stored: the weights' type, and options of `from_recipe`."""

    weights: str = "float32"
    options: Mapping[str, Any] = field(default_factory=dict)


CHOICES = {
    "float32": Choice(),
    "bfloat16 state": Choice(options={"state": "bfloat16"}),
    "int8 state": Choice(options={"state": "int8"}),
    "bfloat16 weights, float32 state": Choice("bfloat16", {"state": "float32"}),
    "bfloat16 weights and state, as torch": Choice("bfloat16"),
    "bfloat16 weights + remainder, int8 state": Choice("bfloat16", {"state": "int8", "rounding": "remainder"}),
}
"""What is compared, by name."""


@dataclass(frozen=True)
class Memory:
    """Bytes of a model in training, by the sizes of its tensors; `peak` is the process's growth up to the end of the
    second step, None where the system doesn't tell. Activations are in neither."""

    parameters: int
    weights: int
    gradients: int
    state: int
    peak: int | None = None

    @property
    def counted(self) -> int:
        """Weights, gradients and state."""
        return self.weights + self.gradients + self.state


def count(optimizer: torch.optim.Optimizer) -> Memory:
    """What an optimizer's parameters, their gradients and its state take now."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    tensors = [v for p in params for v in optimizer.state.get(p, {}).values() if isinstance(v, torch.Tensor)]
    return Memory(
        parameters=sum(p.numel() for p in params),
        weights=sum(p.nbytes for p in params),
        gradients=sum(p.grad.nbytes for p in params if p.grad is not None),
        state=sum(v.nbytes for v in tensors),
    )


def memory(reference: str, rule: str = "adamw", choices: Mapping[str, Choice] = CHOICES) -> dict[str, Memory]:
    """The memory of a model in training with a rule, for each choice by name, each measured in a process of its own.

    `reference` is FILE.py:FUNCTION or MODULE:FUNCTION, called without arguments; it returns a torch module. Raises
    ValueError for a model or a rule that there isn't, and where a choice's process fails.
    """
    ravine.rule(rule)
    model_of(reference)
    found = {}
    for name, choice in choices.items():
        asked = json.dumps({"reference": reference, "rule": rule, "choice": asdict(choice)})
        command = [sys.executable, "-m", "ravine.torch.memory", asked]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(f"{name}: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}")
        found[name] = Memory(**json.loads(done.stdout.splitlines()[-1]))
    return found


def model_of(reference: str) -> Callable[[], torch.nn.Module]:
    """The function that makes the model. Raises ValueError where there is none."""
    module_name, _, attribute = reference.rpartition(":")
    if not module_name or not attribute:
        raise ValueError(f"{reference!r} is no model: name one as FILE.py:FUNCTION or MODULE:FUNCTION")
    is_file = module_name.endswith(".py")
    if is_file and not Path(module_name).is_file():
        raise ValueError(f"no such file: {module_name!r} (a model of your own is named FILE.py:FUNCTION)")
    try:
        module = userfile.load(module_name) if is_file else importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"no model {reference!r}: {error}") from error
    if not hasattr(module, attribute):
        raise unknown(f"function of {module_name}:", attribute, [n for n in vars(module) if not n.startswith("_")])
    made: Callable[[], torch.nn.Module] = getattr(module, attribute)
    return made


def measured(reference: str, rule: str, choice: Choice) -> Memory:
    """The memory under one choice, in this process, which should be fresh."""
    dtype = getattr(torch, choice.weights)
    _train(torch.nn.Linear(80, 80).to(dtype), rule, choice)  # what the first step loads and compiles
    before = _status("VmRSS")
    made = model_of(reference)()
    if not isinstance(made, torch.nn.Module):
        raise TypeError(f"{reference} returned {type(made).__name__}, not a torch.nn.Module")
    model = made.to(dtype)
    optimizer = _train(model, rule, choice)
    after = _status("VmHWM")
    peak = None if before is None or after is None else after - before
    return Memory(**{**asdict(count(optimizer)), "peak": peak})


def _train(model: torch.nn.Module, rule: str, choice: Choice) -> torch.optim.Optimizer:
    params = [p for p in model.parameters() if p.requires_grad]
    for p in params:
        p.grad = torch.full_like(p, 1e-3)
    optimizer = from_recipe(params, rule, **choice.options)
    _forget_peak()
    for _ in range(STEPS):
        optimizer.step()
    return optimizer


def _status(name: str) -> int | None:
    """Bytes of memory as Linux has them of this process; None elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak so far, of making the model
    except OSError:
        return


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(asdict(measured(asked["reference"], asked["rule"], Choice(**asked["choice"])))))
