"""The registry of all optimizers: `@rule` adds one, `rule(name)` finds one, with transforms around it or in a file."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from typing import Any, overload

import ravine.rules as family  # the package, here at first import, so that it can't later hide ravine.rules()
from ravine import userfile
from ravine.errors import unknown
from ravine.hyperparameter import Range
from ravine.rule import MATRIX, Rule, declare
from ravine.transforms import TRANSFORMS

_registry: dict[str, Rule] = {}


@overload
def rule(name_or_function: str, /) -> Rule: ...
@overload
def rule(name_or_function: Callable[..., Any], /) -> Rule: ...
@overload
def rule(
    *,
    title: str = "",
    paper: str = "",
    ranges: Mapping[str, Range] | None = None,
    start: Mapping[str, float] | None = None,
    scalar: tuple[str, ...] = (),
    wide: tuple[str, ...] = (),
    look_ahead: Callable[..., Any] | None = None,
    kin: tuple[str, ...] = (),
    view: str = MATRIX,
    read_out: Callable[..., Any] | None = None,
) -> Callable[[Callable[..., Any]], Rule]: ...
def rule(name_or_function: Any = None, /, **declaration: Any) -> Any:
    """Find a rule by name, or (as a decorator) declare one.

    `rule("adam")` finds a rule of the family, `rule("weight_decay(adam)")` one with transforms around it, and
    `rule("mine.py:my_rule")` one in a file of yours (the file is run). Raises ValueError, naming the nearest name;
    TypeError for what is neither a name nor a function.

    `@rule(title=…, paper=…)` declares one from a function's signature: first the gradient `g` (before it `x`, where
    the equation reads the parameter), then the state slots; keyword-only, the step count `t` (from 1) where it is
    needed, and the hyperparameters with their defaults. The function returns the step Δ that is added to the
    parameter, then the new slots. What a signature can't say:

    - `ranges`: legal values, where the usual ones of that name don't fit;
    - `start`: what a slot holds before the first step, if not zero;
    - `scalar`: the slots that are one number instead of an array;
    - `wide`: the slots that are kept in float32 where state is stored in fewer bits, such as those whose difference
      the equation takes;
    - `look_ahead`: a function of slots and hyperparameters (by name) that gives the offset from the parameter to the
      point where the gradient is taken;
    - `read_out`: a function of x, slots and hyperparameters (by name) that gives the point to evaluate, where that is
      not the one that trains;
    - `kin`: names of rules to compare it with;
    - `view`: "matrix" (the default) or "stack": whether a parameter of more than two dimensions is one matrix, its
      first dimension the rows, or a stack of matrices, for equations that read more than one element at a time.
    """
    if isinstance(name_or_function, str):
        return _find(name_or_function)
    if name_or_function is not None:
        if not callable(name_or_function):
            raise TypeError(f"rule must be given a rule's name or a function, got {name_or_function!r}")
        return register(declare(name_or_function))
    return lambda function: register(declare(function, **declaration))


def rules() -> dict[str, Rule]:
    """Every rule by name: the family, then the rules declared by the running program."""
    _load_family()
    return dict(_registry)


def register(new: Rule) -> Rule:
    """Add a rule to the registry and return it. Raises ValueError for a name that a built-in rule elsewhere has."""
    if not _is_built_in(new):
        _load_family()
    taken = _registry.get(new.name)
    if taken is not None and _is_built_in(taken) and taken.function.__module__ != new.function.__module__:
        raise ValueError(f"the rule name {new.name!r} is taken by a built-in rule: give the function another name")
    _registry[new.name] = new
    return new


def _is_built_in(some: Rule) -> bool:
    module: str | None = some.function.__module__  # None for a function made by exec()
    return module is not None and module.startswith("ravine.")


def _load_family() -> None:
    for module in pkgutil.iter_modules(family.__path__):
        importlib.import_module(f"ravine.rules.{module.name}")


def _find(name: str) -> Rule:
    if wrapped := re.fullmatch(r"(\w+)\((.+)\)", name):
        outer, inner = wrapped.groups()
        if outer not in TRANSFORMS:
            raise unknown("transform", outer, TRANSFORMS)
        return TRANSFORMS[outer](_find(inner))
    if ":" in name:
        return _from_file(name)
    if name.count("(") != name.count(")"):
        raise ValueError(f"{name!r} has unequal brackets; a rule with transforms is written weight_decay(adam)")
    if name.endswith(".py"):
        raise ValueError(f"{name!r} is no rule: one of your own is named FILE.py:RULE")
    _load_family()
    if name not in _registry:
        raise unknown("rule", name, _registry, listed_by="ravine list")
    return _registry[name]


def _from_file(reference: str) -> Rule:
    path, name, module = userfile.look_up(reference, "rule")
    found = vars(module)
    if not isinstance(found.get(name), Rule):
        raise unknown(f"rule in {path}:", name, [n for n, v in found.items() if isinstance(v, Rule)])
    result: Rule = found[name]
    return result
