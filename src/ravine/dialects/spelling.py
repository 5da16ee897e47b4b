"""How a framework spells a recipe: its constructors, made of tables, signatures and checks."""

from __future__ import annotations

import functools
import inspect
import numbers
from collections.abc import Callable, Mapping
from typing import Any

from ravine.dialects.table import Arguments, Form, Table, Wrap, element, place
from ravine.errors import unknown
from ravine.recipe import Recipe, recipe
from ravine.registry import rule


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
        gone: Mapping[str, str],
        module: str = "",
        alone: tuple[str, ...] = (),
    ) -> None:
        super().__init__(forms, wraps)
        functools.update_wrapper(self, function)
        self.function, self.framework, self.refuses = function, framework, refuses
        self.name = f"{module}.{function.__name__}" if module else function.__name__
        self.gone, self.alone = gone, alone
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
            if name in self.gone:
                raise ValueError(f"{self}: there is no {name}: {self.gone[name]}")
            if name not in self.__signature__.parameters:
                raise unknown(f"argument of {self}", name, self.__signature__.parameters, near=self._meant(name))
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
        if len(given := [n for n in self.alone if arguments.get(n) is not None]) > 1:
            raise ValueError(f"{self}: only one of {', '.join(self.alone)} can be given, got {' and '.join(given)}")
        try:
            return arguments | (self.function(**{n: arguments[n] for n in self.own}) or {})
        except ValueError as error:
            raise ValueError(f"{self}: {error}") from None

    def _meant(self, name: str) -> list[str]:
        """What another framework's argument of this name is called here; none where it is nothing here."""
        everywhere = [form for constructor in _made for form in constructor.forms]
        means = {hyper for form in everywhere for hyper, a in form.names.items() if name in (hyper, place(a)[0])}
        return sorted({place(a)[0] for form in self.forms for hyper, a in form.names.items() if hyper in means})

    def call(self, given: Mapping[str, Any]) -> str:
        """The call with these arguments as text, for `dialects.parse`."""
        return f"{self}({', '.join(f'{n}={v!r}' for n, v in given.items())})"

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
    gone: Mapping[str, str] | None = None,
    module: str = "",
    alone: tuple[str, ...] = (),
) -> Callable[[Callable[..., Arguments | None]], Constructor]:
    """Make a framework's constructor of a function that has its signature.

    The function may raise ValueError for arguments that the framework refuses too, and return others that they imply.
    `forms` and `wraps` are those of a `Table`. `common` are further arguments with their defaults. `refuses` maps
    arguments to the one value that is supported, and the reason; `gone` those of earlier versions to what they meant.
    Arguments that no table mentions don't touch the arithmetic. `module` is the part of the framework that it is in. Of
    the arguments in `alone` only one may be given.
    """

    def made(function: Callable[..., Arguments | None]) -> Constructor:
        given = forms, wraps, common or {}, refuses or {}, gone or {}, module, alone
        _made.append(Constructor(function, framework, *given))
        return _made[-1]

    return made


_made: list[Constructor] = []
"""Every framework's constructors: what one calls an argument hints at what another does."""


def is_constructor(framework: str, name: str) -> bool:
    """Whether a framework has a constructor of this name."""
    return any((c.framework, c.name) == (framework, name) for c in _made)
