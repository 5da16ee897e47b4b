"""What the frameworks mean by their optimizers' names: each constructor, under its own name, returns a Recipe.

from ravine import dialects
recipe = dialects.tensorflow.RMSPropOptimizer(0.045, decay=0.9, momentum=0.9, epsilon=1.0)
optimizer = recipe.torch(model.parameters())  # trains as TensorFlow 1 did
"""

from __future__ import annotations

import ast
from types import ModuleType

from ravine.dialects import arguments, chains, contrib, keras, keras_legacy, lines, optax, tensorflow, torch
from ravine.dialects.spelling import Constructor
from ravine.dialects.table import Arguments
from ravine.errors import unknown

FRAMEWORKS: dict[str, ModuleType] = {
    "tensorflow": tensorflow,
    "keras": keras,
    "keras_legacy": keras_legacy,
    "torch": torch,
    "optax": optax,
}
"""Every dialect by its framework's name."""

__all__ = [
    "FRAMEWORKS",
    "Constructor",
    "constructors",
    "find",
    "keras",
    "keras_legacy",
    "optax",
    "parse",
    "tensorflow",
    "torch",
]


def constructors(framework: str) -> dict[str, Constructor]:
    """A framework's constructors by name. Raises ValueError for a framework without a dialect."""
    if framework not in FRAMEWORKS:
        raise unknown("framework", framework, FRAMEWORKS)
    modules = [FRAMEWORKS[framework], *([contrib] if framework == "optax" else [])]
    return {c.name: c for module in modules for c in vars(module).values() if isinstance(c, Constructor)}


def is_line(text: str) -> bool:
    """Whether a text names or calls a framework's optimizer, and not a rule of Ravine's."""
    return lines.is_line(text, _known())


def canonical(line: str, let: lines.Names | None = None) -> str:
    """The call that a line comes down to, as "torch.RMSprop(lr=0.01)". Raises ValueError as `parse` does."""
    constructor, given = parse(line, let)
    return constructor.call(given)


def find(name: str) -> Constructor:
    """The constructor named as in "torch.RMSprop" or "torch.optim.RMSprop". Raises ValueError, naming the nearest."""
    return _only(lines.candidates(lines.call(name), _known()))


def parse(call: str, let: lines.Names | None = None) -> tuple[Constructor, Arguments]:
    """A constructor and the arguments given to it, from text such as "torch.RMSprop(lr=0.01, momentum=0.9)".

    The text may be a line of a program as it stands, `opt = torch.optim.RMSprop(model.parameters(), 1 / 256)`; torch's
    parameters are passed over, whatever they are, and so is what takes the optimizer (`model.compile(optimizer=…)`).
    All other arguments must be literals, arithmetic of numbers, scalars of NumPy, torch, TensorFlow or JAX, or names
    whose numbers `let` gives. Without its module a name is that of the only framework that takes these arguments. A
    schedule of Keras's or optax's becomes a `ravine.schedules.Schedule`, a chain of optax's a constructor of its own
    (`chains`). Nothing is run. Raises ValueError for anything else.
    """
    tree = lines.opened(lines.call(call))
    if not isinstance(tree, ast.Call):
        return find(call), {}
    chains.check_parted(tree)
    if (links := chains.links(tree)) is not None:
        reader = chains.Reader(
            lambda own, constructor: arguments.arguments(own, constructor, call, let or {}),
            lambda own: lines.value(own, let or {}),
        )
        return chains.read(links, constructors("optax"), reader)
    found = lines.candidates(tree.func, _known())
    if len(found) > 1:
        named = {k.arg for k in tree.keywords if k.arg}
        odd = named - set().union(*(c.defaults.keys() | c.gone.keys() for c in found))
        if odd:
            name = sorted(odd)[0]
            raise ValueError(f"no {found[0].name} has an argument {name}: not {' or '.join(map(str, found))}")
        found = [c for c in found if named <= c.defaults.keys()] or found
        found = [c for c in found if _takes(c, tree, let or {})] or found
    constructor = _only(found)
    return constructor, arguments.arguments(tree, constructor, call, let or {})


def _known() -> dict[str, dict[str, Constructor]]:
    return {framework: constructors(framework) for framework in FRAMEWORKS}


def _only(found: list[Constructor]) -> Constructor:
    if len(found) > 1:
        raise ValueError(f"{found[0].name} may be {' or '.join(map(str, found))}: write which")
    return found[0]


def _takes(constructor: Constructor, tree: ast.Call, let: lines.Names) -> bool:
    try:
        constructor.arguments(**arguments.arguments(tree, constructor, ast.unparse(tree), let))
    except (TypeError, ValueError):
        return False
    return True
