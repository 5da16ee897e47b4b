"""A line of a program, read as it stands: which constructor it calls, with which numbers. Parsed, never run."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ravine.dialects import schedules
from ravine.dialects.spelling import Constructor
from ravine.errors import unknown
from ravine.schedules import Schedule

MODULES = {
    "torch.optim": "torch",
    "optim": "torch",
    "ravine.torch": "torch",
    "keras.optimizers": "keras",
    "tf.keras.optimizers": "keras",
    "tensorflow.keras.optimizers": "keras",
    "tf.optimizers": "keras",
    "tensorflow.optimizers": "keras",
    "optimizers": "keras",
    "tf.keras.optimizers.legacy": "keras_legacy",
    "tensorflow.keras.optimizers.legacy": "keras_legacy",
    "keras.optimizers.legacy": "keras_legacy",
    "tf_keras.optimizers.legacy": "keras_legacy",
    "optimizers.legacy": "keras_legacy",
    "legacy": "keras_legacy",
    "tf.compat.v1.train": "tensorflow",
    "tensorflow.compat.v1.train": "tensorflow",
    "tf.train": "tensorflow",
    "tf1.train": "tensorflow",
}
"""Where a program finds the optimizers, if not in a module of the dialect's name."""

PREFIXED = ("keras_legacy",)
"""Whose names are never written without their module."""

SCALARS: dict[str, Callable[[float], float]] = {
    **{f"{m}.{f}": float for m in ("np", "numpy") for f in ("float64", "array", "asarray")},
    **{f"{m}.float64": float for m in ("jnp", "jax.numpy")},
    **{f"{m}.{f}": lambda v: float(np.float32(v)) for m in ("jnp", "jax.numpy") for f in ("array", "asarray")},
    **{f"{m}.float32": lambda v: float(np.float32(v)) for m in ("np", "numpy", "jnp", "jax.numpy")},
    **{f: lambda v: float(np.float32(v)) for f in ("torch.tensor", "torch.as_tensor", "tf.constant", "tf.Variable")},
    "float": float,
    "int": int,
}
"""Calls that make a number of their first argument, and which: float32 keeps 24 bits of it."""

BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
HIGHEST = 1000
"""The largest exponent that is computed."""

Names = Mapping[str, float | tuple[float, ...] | Schedule]
"""What names in a line stand for."""


class UnreadError(ValueError):
    """A part of a line whose value is not in it."""


def call(line: str) -> ast.expr:
    """The expression that a line comes down to: what is assigned or returned. Raises ValueError for other lines."""
    text = line.strip()
    try:
        (statement,) = ast.parse(text).body
    except (SyntaxError, ValueError):
        statement = None
    value = getattr(statement, "value", None)
    if not isinstance(statement, ast.Expr | ast.Assign | ast.AnnAssign | ast.Return) or value is None:
        try:  # a line cut out of a call or a function ends in a comma, or returns outside of one
            value = ast.parse(text.removeprefix("return ").rstrip(",; "), mode="eval").body
        except (SyntaxError, ValueError) as error:
            raise ValueError(
                f"not a constructor's call: {line!r}; expected text such as torch.RMSprop(lr=0.01)"
            ) from error
    if isinstance(value, ast.Tuple) and len(value.elts) == 1:  # a comma behind it
        value = value.elts[0]
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        if not isinstance(value.func.value, ast.Call):
            break
        value = value.func.value  # tf.train.AdamOptimizer(…).minimize(loss)
    assert isinstance(value, ast.expr)
    return value


HELD_BY_NAME = ("optimizer", "tx")
HELD_BY_PLACE = {"nnx.Optimizer": 1, "nnx.ModelAndOptimizer": 1}
"""Where a call that makes something else has an optimizer in it: `model.compile(optimizer=…)`, a train state's `tx`."""


def opened(tree: ast.expr) -> ast.expr:
    """The optimizer's call in a call that takes one; else the expression itself. Raises ValueError for one by a name
    in quotes, which is one with all its defaults."""
    if not isinstance(tree, ast.Call):
        return tree
    held: list[ast.expr] = [k.value for k in tree.keywords if k.arg in HELD_BY_NAME]
    at = HELD_BY_PLACE.get(ast.unparse(tree.func).removeprefix("flax."))
    held += tree.args[at : at + 1] if at is not None else []
    for inside in held:
        if isinstance(inside, ast.Constant) and isinstance(inside.value, str):
            raise ValueError(
                f"{inside.value!r} is an optimizer with its defaults: write it as a call, as in keras.optimizers.Adam()"
            )
        if isinstance(inside, ast.Call):
            return inside
    return tree


def is_line(text: str, known: Mapping[str, Mapping[str, Constructor]]) -> bool:
    """Whether a text is a framework's optimizer, by its module or its class's name, and not a rule of Ravine's."""
    try:
        tree = call(text)
    except ValueError:
        return re.match(r"\s*(\w+\.)+\w+\s*\(", text) is not None  # a line with a mistake in it
    target = tree.func if isinstance(tree, ast.Call) else tree
    if isinstance(target, ast.Call):  # optax.inject_hyperparams(optax.adam)(…)
        return isinstance(target.func, ast.Attribute)
    name = ast.unparse(target)
    if re.fullmatch(r"(\w+\.)+\w+", name):
        return not name.endswith(".py")
    return name[:1].isupper() and any(name in own for own in known.values())


def candidates(target: ast.expr, known: Mapping[str, Mapping[str, Constructor]]) -> list[Constructor]:
    """The constructors that an expression may name, as "torch.RMSprop" or "torch.optim.RMSprop".

    `known` has every framework's constructors. A name without its module can be several frameworks'. Raises ValueError
    where there is none, naming the nearest.
    """
    module, _, name = ast.unparse(target).rpartition(".")
    if not module:
        if found := [own[name] for framework, own in known.items() if name in own and framework not in PREFIXED]:
            return found
        raise unknown("optimizer", name, {n for own in known.values() for n in own})
    if module.endswith(".contrib"):
        module, name = module.removesuffix(".contrib"), f"contrib.{name}"
    framework = MODULES.get(module, module)
    if framework not in known and module.rpartition(".")[0] in MODULES:  # torch.optim.adamw.AdamW
        framework = MODULES[module.rpartition(".")[0]]
    if framework not in known:
        raise unknown("framework", framework, known)
    if name not in known[framework]:
        raise unknown(f"optimizer of {framework}", name, known[framework])
    return [known[framework][name]]


def value(tree: ast.expr, names: Names) -> Any:
    """The value of an argument: a literal, a number given by name, arithmetic of numbers, or a library's scalar."""
    text = ast.unparse(tree)
    if text in names:
        return names[text]
    if isinstance(tree, ast.Call) and (found := schedule(tree, names)) is not None:
        return found
    match tree:
        case ast.Constant():
            return tree.value
        case ast.Tuple() | ast.List():
            return tuple(value(e, names) for e in tree.elts)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            number = _number(tree.operand, names)
            return -number if isinstance(tree.op, ast.USub) else number
        case ast.BinOp() if type(tree.op) in BINARY:
            return _computed(tree, names)
        case ast.Call(args=[first]) if not tree.keywords and ast.unparse(tree.func) in SCALARS:
            return _scalar(ast.unparse(tree.func), value(first, names))
    try:
        return ast.literal_eval(tree)
    except ValueError:
        raise UnreadError(
            f"an argument must be a literal, got {text}: give its value, as {text}=NUMBER (let)"
        ) from None


def schedule(tree: ast.Call, names: Names, lr: float | None = None) -> Schedule | None:
    """The schedule that a call makes, None for another call. torch's multiply `lr`. Raises ValueError."""
    module, _, name = ast.unparse(tree.func).rpartition(".")
    if name not in schedules.KNOWN:
        if module.endswith(("schedules", "lr_scheduler")):
            raise unknown("schedule", name, schedules.KNOWN)
        return None
    args, given = list(tree.args), {k.arg: k.value for k in tree.keywords if k.arg}
    if schedules.multiplies(name):  # whose first argument is the optimizer
        args = args if given.pop("optimizer", None) is not None else args[1:]
    values = [_of_schedule(a, names, lr) for a in args]
    return schedules.made(name, values, {n: _of_schedule(v, names, lr) for n, v in given.items()}, lr)


def _of_schedule(tree: ast.expr, names: Names, lr: float | None) -> Any:
    """An argument of a schedule: a number, a list of schedules or numbers, or numbers by numbers."""
    if isinstance(tree, ast.List | ast.Tuple):
        return [_of_schedule(e, names, lr) for e in tree.elts]
    if isinstance(tree, ast.Dict):
        return {value(k, names): value(v, names) for k, v in zip(tree.keys, tree.values, strict=True) if k is not None}
    if isinstance(tree, ast.Call) and not tree.args and ast.unparse(tree.func) == "dict":
        return {k.arg: value(k.value, names) for k in tree.keywords}
    if isinstance(tree, ast.Call) and (found := schedule(tree, names, lr)) is not None:
        return found
    return value(tree, names)


def read_schedule(line: str, names: Names, lr: float | None = None) -> Schedule:
    """The schedule in a line of a program, `scheduler = CosineAnnealingLR(optimizer, T_max=20)`. Raises ValueError."""
    tree = call(line)
    found = schedule(tree, names, lr) if isinstance(tree, ast.Call) else None
    if found is None:
        name = ast.unparse(tree.func if isinstance(tree, ast.Call) else tree).rpartition(".")[2]
        raise unknown("schedule", name, schedules.KNOWN)
    return found


def _scalar(function: str, number: Any) -> float:
    try:
        return SCALARS[function](number)
    except (TypeError, ValueError) as error:
        raise UnreadError(f"{function}({number!r}) is no number") from error


def _computed(tree: ast.BinOp, names: Names) -> float:
    left, right = _number(tree.left, names), _number(tree.right, names)
    if isinstance(tree.op, ast.Pow) and abs(right) > HIGHEST:
        raise UnreadError(f"the exponent in {ast.unparse(tree)} is too large")
    try:
        result = BINARY[type(tree.op)](left, right)
    except (ArithmeticError, ValueError) as error:
        raise UnreadError(f"{ast.unparse(tree)} has no value: {error}") from None
    if isinstance(result, complex):
        raise UnreadError(f"{ast.unparse(tree)} is no real number")
    return result


def _number(tree: ast.expr, names: Names) -> float:
    found = value(tree, names)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise UnreadError(f"{ast.unparse(tree)} must be a number")
    return found


def given_names(pairs: tuple[str, ...]) -> dict[str, float | tuple[float, ...] | Schedule]:
    """The numbers, pairs or schedules of texts such as "args.lr=0.01". Raises ValueError for one that is none."""
    return dict(map(_pair, pairs))


def _pair(text: str) -> tuple[str, float | tuple[float, ...] | Schedule]:
    name, equals, given = text.partition("=")
    try:
        if not equals:
            raise ValueError
        place = ast.unparse(ast.parse(name.strip(), mode="eval").body)
        if given.strip()[:1] in ("(", "["):
            return place, tuple(float(n) for n in ast.literal_eval(given.strip()))
        return place, read_schedule(given, {}) if "(" in given else float(given)
    except SyntaxError:
        raise ValueError(f"expected NAME=NUMBER, got {text!r}") from None
    except TypeError:
        raise ValueError(f"expected NAME=(NUMBER, NUMBER), got {text!r}") from None
    except ValueError as error:
        raise error if "(" in given else ValueError(f"expected NAME=NUMBER, got {text!r}") from None
