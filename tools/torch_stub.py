"""Write src/ravine/torch/__init__.pyi: the classes' signatures for type checkers and editors. Run by `make docs`.

At run time a signature is put together from torch's and the options that Ravine adds, which no type checker sees.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import ravine.torch as front

FILE = Path(front.__file__).with_suffix(".pyi")

HEAD = """# Written by `make docs` from the classes' signatures. Do not edit.
from collections.abc import Iterable
from typing import Any, Literal

import torch

from ravine.recipe import Recipe
from ravine.rule import Rule
{imports}from ravine.torch.stepper import Stepper

"""

AS_THEY_ARE = {"ravine.torch.modes", "ravine.torch.narrow", "ravine.torch.roles", "ravine.torch.sets"}
"""Modules whose classes and functions have all their signatures in the source."""

CHOICES = {
    "on_nonfinite": 'Literal["propagate", "skip", "error"]',
    "rounding": 'Literal["nearest", "stochastic", "remainder"]',
    "state": 'Literal["float32", "bfloat16", "int8"] | None',
    "state_rounding": 'Literal["stochastic", "nearest"]',
    "products": 'Literal["float32", "bfloat16"]',
}


def text() -> str:
    """The stub."""
    every = [getattr(front, name) for name in front.__all__]
    imports = ""
    for module in sorted(AS_THEY_ARE):
        imports += f"from {module} import {', '.join(sorted(v.__name__ for v in every if v.__module__ == module))}\n"
    values = [v for v in every if v.__module__ not in AS_THEY_ARE]
    found = sorted((v for v in values if inspect.isclass(v)), key=lambda c: (len(c.__mro__), c.__name__))
    parts = [_class(c) for c in found] + [_function(v) for v in values if not inspect.isclass(v)]
    listed = f"__all__ = {front.__all__!r}\n"
    source = HEAD.format(imports=imports) + listed + "".join(parts)
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", FILE.name, "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True, encoding="utf-8").stdout


def _class(kind: type) -> str:
    bases = ", ".join(_base(b) for b in kind.__bases__ if b.__name__ != "TorchStepper") or "Stepper"
    if "Stepper" not in bases and "Adam," not in bases:
        bases = f"Stepper, {bases}"
    members = [f"    def __init__(self, {_arguments(kind)}) -> None: ...\n"]
    for name, member in vars(kind).items():
        if isinstance(member, property):
            kind_of = member.fget.__annotations__["return"]
            members.append(f"    @property\n    def {name}(self) -> {kind_of}: ...\n")
            if member.fset:
                members.append(f"    @{name}.setter\n    def {name}(self, {name}: {kind_of}) -> None: ...\n")
    return f"class {kind.__name__}({bases}):\n{''.join(members)}"


def _base(kind: type) -> str:
    return f"torch.optim.{kind.__name__}" if kind.__module__.startswith("torch.") else kind.__name__


def _function(function: Any) -> str:
    return f"def {function.__name__}({_arguments(function)}) -> {function.__annotations__['return']}: ...\n"


def _arguments(function: Any) -> str:
    given, stars = [], False
    for name, p in inspect.signature(function).parameters.items():
        if p.kind is p.KEYWORD_ONLY and not stars:
            given.append("*")
            stars = True
        default = "" if p.default is p.empty else f" = {p.default!r}"
        prefix = "**" if p.kind is p.VAR_KEYWORD else ""
        given.append(f"{prefix}{name}: {CHOICES.get(name) or _annotation(p.annotation)}{default}")
    return ", ".join(given)


def _annotation(annotation: Any) -> str:
    written = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return written.replace("collections.abc.", "").replace("typing.", "")


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    print(f"wrote {FILE.name}")
