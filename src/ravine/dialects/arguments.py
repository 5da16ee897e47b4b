"""What a call in a line of a program gives to a constructor: its arguments, as far as they matter."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from ravine.dialects.lines import Names, UnreadError, value
from ravine.dialects.spelling import Constructor, is_constructor
from ravine.dialects.table import Arguments


def arguments(tree: ast.Call, constructor: Constructor, line: str, names: Names) -> Arguments:
    """The arguments that a call gives. `names` are the numbers that stand for names in it. Raises ValueError."""
    if any(k.arg is None for k in tree.keywords) or any(isinstance(a, ast.Starred) for a in tree.args):
        raise ValueError(f"arguments must be written out, not unpacked, in {line!r}")
    values, keywords = list(tree.args), [(k.arg, k.value) for k in tree.keywords if k.arg]
    parameters = list(constructor.defaults)
    if constructor.framework == "torch":  # who writes a recipe as text has no parameters at hand
        _check_groups([*values[:1], *(v for n, v in keywords if n == "params")], constructor)
        values = values[1:] if values and not is_number(values[0], names) else values
        keywords = [(n, v) for n, v in keywords if n != "params"]
        parameters.remove("params")
    elif values and PARAMETERS.search(ast.unparse(values[0])):
        others = f"torch has no {constructor.name}; a rule of Ravine's is written {constructor.forms[0].rule}[lr=0.1]"
        does = f"torch.{constructor.name} does" if is_constructor("torch", constructor.name) else others
        raise ValueError(f"{constructor} takes no parameters, got {ast.unparse(values[0])}: {does}")
    args = [_given(a, n, constructor, names) for a, n in zip_longest(values, parameters[: len(values)])]
    given = {n: _given(v, n, constructor, names) for n, v in keywords}
    twice = {n for n, _ in keywords if sum(n == other for other, _ in keywords) > 1}
    positional = dict(zip(parameters, args, strict=False))
    if twice := twice or (positional.keys() & given.keys()):
        raise ValueError(f"{constructor}: {', '.join(sorted(twice))} is given twice in {line!r}")
    if len(args) > len(parameters):
        raise ValueError(f"{constructor}: too many arguments in {line!r}")
    return {**positional, **given}


PARAMETERS = re.compile(r"\bparameters\(\)|^params$")
"""What a program gives to torch's optimizers."""


def _check_groups(given: Sequence[ast.expr], constructor: Constructor) -> None:
    """Raise ValueError for parameters in groups that have settings of their own, which are no one recipe."""
    for tree in given:
        for element in tree.elts if isinstance(tree, ast.List | ast.Tuple) else ():
            keys = [k.value for k in getattr(element, "keys", []) if isinstance(k, ast.Constant)]
            if own := [k for k in keys if k in constructor.defaults and k != "params"]:
                raise ValueError(
                    f"a group of parameters has {', '.join(own)} of its own: {constructor} is another optimizer for "
                    "each, so write it for one of them, or make a set of recipes, as in recipes(head=…, rest=…)"
                )


@dataclass(frozen=True)
class Unread:
    """An argument whose value can't be read, and need not be: it is refused whatever it is."""

    text: str

    def __repr__(self) -> str:
        return self.text


def _given(tree: ast.expr, name: str | None, constructor: Constructor, names: Names) -> Any:
    """The value of an argument; of one that is not read, its text where it is refused, else its default."""
    try:
        return value(tree, names)
    except UnreadError:
        if name in constructor.refuses:
            return Unread(ast.unparse(tree))
        if name is None or name not in constructor.defaults or name in constructor.used:
            raise
        return constructor.defaults[name]


def is_number(tree: ast.expr, names: Names) -> bool:
    """Whether an expression's value is a number that can be read."""
    try:
        return isinstance(value(tree, names), int | float)
    except ValueError:
        return False
