"""optax's chains and wrappers around one optimizer, as constructors: chain(add_decayed_weights(0.1), sgd(0.01)).

What a recipe can do by a transform becomes one (decay, clipping, a change of sign); anything else is kept as
text in `beside`, for whoever goes on to do it too. A chain of scalings is the optimizer that it is an alias of:
chain(scale_by_adam(), scale(-0.01)) is adam(0.01).
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ravine.dialects.spelling import Constructor
from ravine.dialects.table import Arguments, Wrap

BEFORE = {
    "add_decayed_weights": Wrap("weight_decay", "add_decayed_weights", "weight_decay"),
    "clip": Wrap("clip_value", "clip", "clip_value"),
    "clip_by_global_norm": Wrap("clip_global_norm", "clip_by_global_norm", "clip_global_norm"),
    "scale": Wrap("maximize", "scale"),
}
"""Links before the optimizer that a transform does; `scale` by −1 alone."""


@dataclass(frozen=True)
class Reader:
    """How a call's arguments for a constructor, and the value of an expression, are read."""

    arguments: Callable[[ast.Call, Constructor], Arguments]
    value: Callable[[ast.expr], Any]


WRAPPERS = ("apply_if_finite", "MultiSteps", "flatten", "with_extra_args_support", "maybe_update", "skip_not_finite")
"""Functions of another transformation that do what it does, now and then or in another layout."""

PARTED = ("multi_transform", "masked", "partition", "freeze", "selective_transform")
"""Functions of other transformations, each for a part of the parameters."""

ALIASES: dict[str, tuple[str, Arguments]] = {
    "scale_by_adam": ("adam", {}),
    "scale_by_amsgrad": ("amsgrad", {}),
    "scale_by_adamax": ("adamax", {}),
    "scale_by_lion": ("lion", {"weight_decay": 0.0}),
    "scale_by_rms": ("rmsprop", {}),
    "scale_by_stddev": ("rmsprop", {"centered": True}),
    "scale_by_rss": ("adagrad", {}),
    "trace": ("sgd", {}),
}
"""Scalings, the optimizers that they are the first link of, and what these are then given."""

DECAYED = {"adam": "adamw", "lion": "lion"}
"""Whose decay is added after the scaling."""


class Chain(Constructor):
    """An optimizer with links before it; `beside` are those that no recipe does, as text."""

    def __init__(self, inner: Constructor, links: Sequence[str], beside: Sequence[str] = ()) -> None:
        added = [BEFORE[name] for name in reversed(links)]
        own = {n: d for n, d in inner.defaults.items() if n not in inner.own}
        common = {**own, **dict.fromkeys(links)}
        super().__init__(
            inner.function, inner.framework, inner.forms, (*inner.wraps, *added), common, inner.refuses, inner.gone
        )
        self.inner, self.links, self.beside = inner, tuple(links), tuple(beside)

    def call(self, given: Mapping[str, Any]) -> str:
        """The whole chain as text."""
        own = self.inner.call({n: v for n, v in given.items() if n not in self.links})
        before = [f"optax.{n}({-1.0 if n == 'scale' else given[n]!r})" for n in self.links if given.get(n)]
        links = [*self.beside, *before]
        return f"optax.chain({', '.join([*links, own])})" if links else own


def links(tree: ast.Call) -> list[ast.Call] | None:
    """The links of a chain, chains and wrappers inside it opened; None for a call that is neither."""
    if isinstance(tree.func, ast.Call) and _name(tree.func) == "inject_hyperparams" and tree.func.args:
        return [ast.Call(tree.func.args[0], tree.args, tree.keywords)]
    if _name(tree) in WRAPPERS and tree.args and isinstance(tree.args[0], ast.Call):
        inner = tree.args[0]
        rest = ast.unparse(ast.Call(tree.func, [ast.Constant(...), *tree.args[1:]], tree.keywords))
        return [_beside(rest), *(links(inner) or [inner])]
    if _name(tree) not in ("chain", "named_chain"):
        return None
    found: list[ast.Call] = []
    for part in tree.args:
        part = part.elts[1] if isinstance(part, ast.Tuple) and len(part.elts) == 2 else part  # ("name", link)
        if not isinstance(part, ast.Call):
            raise ValueError(f"a chain's links must be calls, got {ast.unparse(part)}")
        found += links(part) or [part]
    return found


def check_parted(tree: ast.Call) -> None:
    """Raise ValueError for several optimizers, each for a part of the parameters."""
    if _name(tree) in PARTED:
        raise ValueError(
            f"optax.{_name(tree)} has an optimizer for a part of the parameters: write one of them, or for several "
            "make a set of recipes, as in recipes(decayed=optax.adamw(0.1), rest=optax.adam(0.1)), and give the "
            "labels or the mask to its .optax(labels)"
        )


def _beside(text: str) -> ast.Call:
    return ast.Call(ast.Name("beside"), [ast.Constant(text)], [])


def _name(tree: ast.Call) -> str:
    return ast.unparse(tree.func).rpartition(".")[2]


def read(found: list[ast.Call], known: Mapping[str, Constructor], reader: Reader) -> tuple[Chain, Arguments]:
    """The chain's constructor and its arguments.

    Raises ValueError for a chain without an optimizer or with two, and for links whose order a recipe doesn't have.
    """
    beside: list[str] = []
    before: dict[str, Any] = {}
    at = next((i for i, c in enumerate(found) if _name(c) in known or _name(c) in ALIASES), None)
    if at is None:
        raise ValueError(f"there is no optimizer among {', '.join(map(_name, found))}")
    for link in found[:at]:
        name = _name(link)
        if name not in BEFORE:
            if before:
                raise ValueError(f"{ast.unparse(link)} stands behind {', '.join(before)}, and no recipe does both so")
            beside.append(str(ast.literal_eval(link.args[0])) if name == "beside" else ast.unparse(link))
            continue
        number = _first(link, reader)
        if name in before or (name == "scale" and number != -1):
            raise ValueError(f"{ast.unparse(link)} before the optimizer is no transform of a recipe")
        before[name] = True if name == "scale" else number
    inner, given = _optimizer(found[at:], known, reader)
    return Chain(inner, list(before), beside), {**given, **before}


def _optimizer(
    found: list[ast.Call], known: Mapping[str, Constructor], reader: Reader
) -> tuple[Constructor, Arguments]:
    """The optimizer that some links are."""
    first, *rest = found
    if (name := _name(first)) in known:
        if rest:
            raise ValueError(f"{ast.unparse(rest[0])} stands behind optax.{name}, which is whole without it")
        return known[name], reader.arguments(first, known[name])
    alias, implied = ALIASES[name]
    if name == "trace":
        given: Arguments = {"momentum": _first(first, reader, "decay")}
        given |= {k.arg: ast.literal_eval(k.value) for k in first.keywords if k.arg == "nesterov"}
    else:
        shape = known[alias]
        lacks_rate = Constructor(_without_rate(shape), "optax", shape.forms, shape.wraps, {}, shape.refuses, {})
        own = reader.arguments(first, lacks_rate)
        lacks_rate.arguments(**own)  # raises for one that is unknown
        given = {**implied, **own}
    factor, has_rate = 1.0, False
    schedule = None
    for link in rest:
        kind = _name(link)
        if kind == "add_decayed_weights" and alias in DECAYED and not has_rate:
            alias, given = DECAYED[alias], {**given, "weight_decay": _first(link, reader)}
        elif kind in ("scale", "scale_by_learning_rate") and not isinstance(_first(link, reader), str):
            number, has_rate = _first(link, reader), True
            if callable(number):
                schedule, number = number, 1.0
            factor *= number if kind == "scale" else -number
        elif kind == "scale_by_schedule":
            schedule = _first(link, reader)
        elif kind == "trace" and alias == "rmsprop" and has_rate:
            given["momentum"] = _first(link, reader, "decay")
        else:
            raise ValueError(f"{ast.unparse(link)} behind optax.{name} is no optimizer of this dialect")
    if not has_rate or factor >= 0 or (schedule is not None and factor != -1):
        raise ValueError(f"behind optax.{name} there must be the learning rate, as in optax.scale(-0.01)")
    return known[alias], {"learning_rate": -factor if schedule is None else schedule, **given}


def _first(link: ast.Call, reader: Reader, argument: str = "") -> Any:
    """The only number that a link is given."""
    own = list(link.args) or [k.value for k in link.keywords if k.arg in (argument, *SINGLE)]
    if not own:
        raise ValueError(f"{ast.unparse(link)} needs a number")
    return reader.value(own[0])


SINGLE = ("weight_decay", "max_delta", "max_norm", "step_size", "learning_rate", "step_size_fn", "decay")
"""What the one argument of the links above is called."""


def _without_rate(constructor: Constructor) -> Any:
    """A function with the signature of a constructor but for the learning rate, which its scaling does not have."""

    def function(**_: Any) -> None: ...

    function.__name__ = constructor.name
    own = [p for n, p in inspect.signature(constructor.function).parameters.items() if n != "learning_rate"]
    function.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
    return function
