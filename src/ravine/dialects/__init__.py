"""What the frameworks mean by their optimizers' names: each constructor, under its own name, returns a Recipe.

from ravine import dialects
recipe = dialects.tensorflow.RMSPropOptimizer(0.045, decay=0.9, momentum=0.9, epsilon=1.0)
optimizer = recipe.torch(model.parameters())  # trains as TensorFlow 1 did
"""

from __future__ import annotations

import ast
from types import ModuleType

from ravine.dialects import keras, optax, tensorflow, torch
from ravine.dialects.spelling import Constructor
from ravine.dialects.table import Arguments
from ravine.errors import unknown

FRAMEWORKS: dict[str, ModuleType] = {"tensorflow": tensorflow, "keras": keras, "torch": torch, "optax": optax}
"""Every dialect by its framework's name."""

MODULES = {
    "torch.optim": "torch",
    "keras.optimizers": "keras",
    "tf.keras.optimizers": "keras",
    "tf.compat.v1.train": "tensorflow",
    "tf.train": "tensorflow",
}
"""Where a program finds the optimizers, if not in a module of the dialect's name."""

__all__ = ["FRAMEWORKS", "Constructor", "constructors", "find", "keras", "optax", "parse", "tensorflow", "torch"]


def constructors(framework: str) -> dict[str, Constructor]:
    """A framework's constructors by name. Raises ValueError for a framework without a dialect."""
    if framework not in FRAMEWORKS:
        raise unknown("framework", framework, FRAMEWORKS)
    return {n: c for n, c in vars(FRAMEWORKS[framework]).items() if isinstance(c, Constructor)}


def find(name: str) -> Constructor:
    """The constructor named as in "torch.RMSprop" or "torch.optim.RMSprop". Raises ValueError, naming the nearest."""
    module, _, function = name.strip().rpartition(".")
    framework = MODULES.get(module, module)
    known = constructors(framework)
    if function not in known:
        raise unknown(f"optimizer of {framework}", function, known)
    return known[function]


def parse(call: str) -> tuple[Constructor, Arguments]:
    """A constructor and the arguments given to it, from text such as "torch.RMSprop(lr=0.01, momentum=0.9)".

    The name may be the one of a program, "torch.optim.RMSprop", torch's parameters are passed over, whatever they are.
    All other arguments must be literals. Nothing is run. Raises ValueError for anything else.
    """
    try:
        tree = ast.parse(call.strip(), mode="eval").body
        target = tree.func if isinstance(tree, ast.Call) else tree
        constructor = find(ast.unparse(target))
        if not isinstance(tree, ast.Call):
            return constructor, {}
        if any(k.arg is None for k in tree.keywords):
            raise ValueError(f"arguments must be written out, not unpacked, in {call!r}")
        values, keywords = list(tree.args), [(k.arg, k.value) for k in tree.keywords if k.arg]
        if constructor.framework == "torch":  # who writes a recipe as text has no parameters at hand
            values = values[1:] if values and not _is_literal(values[0]) else values
            keywords = [(n, v) for n, v in keywords if n != "params"]
        args = [_literal(a) for a in values]
        given = {n: _literal(v) for n, v in keywords}
        if len(given) < len(keywords):
            twice = {n for n, _ in keywords if sum(n == other for other, _ in keywords) > 1}
            raise ValueError(f"{constructor}: {', '.join(sorted(twice))} is given twice in {call!r}")
    except SyntaxError as error:
        raise ValueError(f"not a constructor's call: {call!r}; expected text such as torch.RMSprop(lr=0.01)") from error
    names = list(constructor.defaults)
    if constructor.framework == "torch":
        names.remove("params")
    if len(args) > len(names):
        raise ValueError(f"{constructor}: too many arguments in {call!r}")
    positional = dict(zip(names, args, strict=False))
    if twice := positional.keys() & given.keys():
        raise ValueError(f"{constructor}: {', '.join(sorted(twice))} is given twice in {call!r}")
    return constructor, {**positional, **given}


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True


def _literal(value: ast.expr) -> object:
    try:
        return ast.literal_eval(value)
    except ValueError as error:
        raise ValueError(f"an argument must be a literal, got {ast.unparse(value)}") from error
