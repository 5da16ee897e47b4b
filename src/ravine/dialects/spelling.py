"""How a framework spells a recipe: the tables that `ravine.dialects` is made of, read in both directions."""

from __future__ import annotations

import functools
import inspect
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ravine.errors import unknown
from ravine.recipe import Recipe, recipe
from ravine.rule import rule

Arguments = dict[str, Any]
"""A constructor's arguments by name."""


@dataclass(frozen=True, eq=False)
class Form:
    """One arithmetic that a framework's optimizer can do: the rule it is, and what the rule's parts are called there.

    `names` maps hyperparameters to arguments ("betas[0]" is an element of one). `when` says which arguments must be
    on (true) or off for this form. `start` gives slots that don't start as the rule says: a number, or the argument
    that tells. `state` maps slots, and "t" where a step count is kept, to the framework's names; a minus sign in front
    says that the framework stores the negative. `fixed` holds hyperparameters that the framework gives no choice of.
    """

    rule: str
    names: Mapping[str, str]
    when: Mapping[str, bool] = field(default_factory=dict)
    start: Mapping[str, str | float] = field(default_factory=dict)
    state: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Wrap:
    """A transform that an argument turns on; `hyper` is the hyperparameter that takes the argument's value, if any."""

    transform: str
    argument: str
    hyper: str = ""
    when: Mapping[str, bool] = field(default_factory=dict)


NAMED = {"decoupled_weight_decay(adam)": "adamw"}
"""Transformed rules that have a name of their own."""


class Table:
    """What arguments choose between: the first of `forms` whose `when` holds, with `wraps` around it.

    The first wrap is innermost. An argument that is not given is off.
    """

    def __init__(self, forms: tuple[Form, ...], wraps: tuple[Wrap, ...] = ()) -> None:
        self.forms, self.wraps = forms, wraps

    @property
    def options(self) -> tuple[str, ...]:
        """The arguments that choose the rule or what its slots start at."""
        named = [n for f in self.forms for n in (*f.when, *(v for v in f.start.values() if isinstance(v, str)))]
        named += [n for w in self.wraps for n in (w.argument, *w.when)]
        return tuple(dict.fromkeys(named))

    def form(self, arguments: Arguments) -> Form:
        """The arithmetic that these arguments choose."""
        return next(f for f in self.forms if _holds(f.when, arguments))

    def choose(self, arguments: Arguments) -> tuple[str, dict[str, str]]:
        """The name of the rule that these arguments choose, and the argument that each of its hyperparameters is."""
        form = self.form(arguments)
        name, names = form.rule, dict(form.names)
        for wrap in self.wraps:
            if arguments.get(wrap.argument) and _holds(wrap.when, arguments):
                name = f"{wrap.transform}({name})"
                names |= {wrap.hyper: wrap.argument} if wrap.hyper else {}
        return NAMED.get(name, name), names


class Constructor(Table):
    """A framework's constructor: called with its arguments, it returns the Recipe that it stands for."""

    def __init__(
        self,
        function: Callable[..., Arguments | None],
        framework: str,
        forms: tuple[Form, ...],
        wraps: tuple[Wrap, ...],
        common: Mapping[str, Any],
        refuses: Mapping[str, tuple[Any, str]],
    ) -> None:
        super().__init__(forms, wraps)
        functools.update_wrapper(self, function)
        self.function, self.framework, self.name, self.refuses = function, framework, function.__name__, refuses
        own = inspect.signature(function).parameters
        added = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d) for n, d in common.items()]
        self.own = tuple(own)
        self.__signature__ = inspect.Signature([*own.values(), *added], return_annotation=Recipe)
        self.defaults = {n: p.default for n, p in self.__signature__.parameters.items()}

    def __call__(self, *args: Any, **kwargs: Any) -> Recipe:
        return self.recipe(self.arguments(*args, **kwargs))

    def __repr__(self) -> str:
        return f"<{self}>"

    def is_required(self, argument: str) -> bool:
        """Whether an argument has no default."""
        return self.defaults[argument] is inspect.Parameter.empty

    def arguments(self, *args: Any, **kwargs: Any) -> Arguments:
        """All arguments by name, defaults filled in. Raises TypeError or ValueError, naming the one that is wrong."""
        for name in kwargs:
            if name not in self.__signature__.parameters:
                raise unknown(f"argument of {self}", name, self.__signature__.parameters)
        try:
            bound = self.__signature__.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self}: {error}") from None
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        for name, (neutral, reason) in self.refuses.items():
            value = arguments.get(name, neutral)
            if value is not neutral and value != neutral:
                raise ValueError(f"{self}: {name}={value!r} is not supported: {reason}")
        try:
            return arguments | (self.function(**{n: arguments[n] for n in self.own}) or {})
        except ValueError as error:
            raise ValueError(f"{self}: {error}") from None

    def __str__(self) -> str:
        return f"{self.framework}.{self.name}"

    def recipe(self, arguments: Arguments) -> Recipe:
        """The recipe that a full set of arguments stands for."""
        form = self.form(arguments)
        name, names = self.choose(arguments)
        chosen = rule(name)
        hyper = dict(form.fixed)
        for key, argument in names.items():
            hyper[key] = self._number(argument, element(arguments, argument))
            if hyper[key] not in (legal := chosen.hyperparameters[key].range):
                raise ValueError(f"{self}: {argument}={hyper[key]!r} is not legal: it must be {legal}")
        start = {
            slot: self._number(value, arguments[value]) if isinstance(value, str) else value
            for slot, value in form.start.items()
        }
        return recipe(chosen, start={n: v for n, v in start.items() if v != chosen.slots[n].start}, **hyper)

    def _number(self, argument: str, value: Any) -> float:
        if callable(value):
            raise TypeError(
                f"{self}: {argument} must be a number, got {value!r}: a recipe holds numbers, a schedule goes where "
                "it runs, as in recipe.optax(lr=schedule)"
            )
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"{self}: {argument} must be a number, got {value!r} of type {type(value).__name__}")
        return float(value)


def spelling(
    framework: str,
    *forms: Form,
    wraps: tuple[Wrap, ...] = (),
    common: Mapping[str, Any] | None = None,
    refuses: Mapping[str, tuple[Any, str]] | None = None,
) -> Callable[[Callable[..., Arguments | None]], Constructor]:
    """Make a framework's constructor of a function that has its signature.

    The function may raise ValueError for arguments that the framework refuses too, and return others that they imply.
    `forms` and `wraps` are those of a `Table`. `common` are further arguments with their defaults. `refuses` maps
    arguments to the one value that is supported, and the reason. Arguments that no table mentions don't touch the
    arithmetic.
    """
    return lambda function: Constructor(function, framework, forms, wraps, common or {}, refuses or {})


def rmsprop_forms(
    name: str, names: Mapping[str, str], state: Mapping[str, str], start: Mapping[str, str | float] | None = None
) -> tuple[Form, ...]:
    """RMSprop's four: plain, with momentum, centred, and both, chosen by `momentum` and `centered`."""
    return tuple(
        Form(
            f"{name}{'_momentum' * momentum}{'_centered' * centered}",
            {**names, "mu": "momentum"} if momentum else names,
            {"momentum": momentum, "centered": centered},
            start or {},
            state,
        )
        for centered in (False, True)
        for momentum in (False, True)
    )


def _holds(when: Mapping[str, bool], arguments: Arguments) -> bool:
    return all(bool(arguments.get(name)) is wanted for name, wanted in when.items())


def place(argument: str) -> tuple[str, int | None]:
    """An argument's name, and the index where an element of it is meant, as in "betas[0]"."""
    name, _, index = argument.partition("[")
    return name, int(index[:-1]) if index else None


def element(arguments: Arguments, argument: str) -> Any:
    """The value of an argument, or of an element of one, named as in "betas[0]"."""
    name, index = place(argument)
    value = arguments[name]
    if index is None:
        return value
    try:
        return value[index]
    except (TypeError, IndexError) as error:
        raise TypeError(f"{name} must be a pair of numbers, got {value!r}") from error
