"""What the frameworks mean by their optimizers' names: each constructor, under its own name, returns a Recipe.

from ravine import dialects
recipe = dialects.tensorflow.RMSPropOptimizer(0.045, decay=0.9, momentum=0.9, epsilon=1.0)
optimizer = recipe.torch(model.parameters())  # trains as TensorFlow 1 did
"""

from __future__ import annotations

import ast
from types import ModuleType

from ravine.dialects import keras, optax, tensorflow, torch
from ravine.dialects.spelling import Arguments, Constructor
from ravine.errors import unknown

FRAMEWORKS: dict[str, ModuleType] = {"tensorflow": tensorflow, "keras": keras, "torch": torch, "optax": optax}
"""Every dialect by its framework's name."""

__all__ = ["FRAMEWORKS", "Constructor", "constructors", "find", "keras", "optax", "parse", "tensorflow", "torch"]


def constructors(framework: str) -> dict[str, Constructor]:
    """A framework's constructors by name. Raises ValueError for a framework without a dialect."""
    if framework not in FRAMEWORKS:
        raise unknown("framework", framework, FRAMEWORKS)
    return {n: c for n, c in vars(FRAMEWORKS[framework]).items() if isinstance(c, Constructor)}


def find(name: str) -> Constructor:
    """The constructor named as in "torch.RMSprop". Raises ValueError, naming the nearest name."""
    framework, _, function = name.strip().partition(".")
    known = constructors(framework)
    if function not in known:
        raise unknown(f"optimizer of {framework}", function, known)
    return known[function]


def parse(call: str) -> tuple[Constructor, Arguments]:
    """A constructor and the arguments given to it, from text such as "torch.RMSprop(lr=0.01, momentum=0.9)".

    Arguments must be literals. Nothing is run. Raises ValueError for anything else.
    """
    try:
        tree = ast.parse(call.strip(), mode="eval").body
        target = tree.func if isinstance(tree, ast.Call) else tree
        constructor = find(ast.unparse(target))
        if not isinstance(tree, ast.Call):
            return constructor, {}
        if any(k.arg is None for k in tree.keywords):
            raise ValueError(f"arguments must be written out, not unpacked, in {call!r}")
        args = [_literal(a) for a in tree.args]
        given = {k.arg: _literal(k.value) for k in tree.keywords if k.arg}
    except SyntaxError as error:
        raise ValueError(f"not a constructor's call: {call!r}; expected text such as torch.RMSprop(lr=0.01)") from error
    names = list(constructor.defaults)
    if constructor.framework == "torch":
        names.remove("params")  # who writes a recipe as text has no parameters at hand
    if len(args) > len(names):
        raise ValueError(f"{constructor}: too many arguments in {call!r}")
    positional = dict(zip(names, args, strict=False))
    if twice := positional.keys() & given.keys():
        raise ValueError(f"{constructor}: {', '.join(sorted(twice))} is given twice in {call!r}")
    return constructor, {**positional, **given}


def _literal(value: ast.expr) -> object:
    try:
        return ast.literal_eval(value)
    except ValueError as error:
        raise ValueError(f"an argument must be a literal, got {ast.unparse(value)}") from error
