"""What a framework's arguments mean: the tables that `ravine.dialects` is made of, read in both directions."""

from __future__ import annotations

import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

Arguments = dict[str, Any]
"""A constructor's arguments by name."""


@dataclass(frozen=True, eq=False)
class Form:
    """One arithmetic that a framework's optimizer can do: the rule it is, and what the rule's parts are called there.

    `names` maps hyperparameters to arguments ("betas[0]" is an element of one; "-decay" and "2*l2" say that the
    hyperparameter is so many times the argument). `when` says which arguments must be on (true) or off for this form,
    or which value they must have. `start` gives slots that don't start as the rule says: a number, or the argument that
    tells. `state` maps slots, and "t" where a step count is kept, to the framework's names; a minus sign in front says
    that the framework stores the negative. `tall` is what other names `state` has for a matrix that is higher than
    wide. `fixed` holds hyperparameters that the framework gives no choice of. `whole` names the average that is kept of
    a vector in place of means over rows and columns, and `idle` what is kept, as zero, without being read.
    """

    rule: str
    names: Mapping[str, str]
    when: Mapping[str, bool | str] = field(default_factory=dict)
    start: Mapping[str, str | float] = field(default_factory=dict)
    state: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)
    tall: Mapping[str, str] = field(default_factory=dict)
    whole: str = ""
    idle: tuple[str, ...] = ()

    def state_of(self, shape: tuple[int, ...]) -> Mapping[str, str]:
        """The framework's names of the state of a parameter of a shape."""
        return {**self.state, **self.tall} if len(shape) == 2 and shape[0] > shape[1] else self.state


@dataclass(frozen=True)
class Wrap:
    """A transform that an argument turns on; `hyper` is the hyperparameter that takes the argument's value, if any.

    `value` is the argument that gives the value, where that is another one, and `state` what the transform's own slots
    are called.
    """

    transform: str
    argument: str
    hyper: str = ""
    when: Mapping[str, bool | str] = field(default_factory=dict)
    value: str = ""
    state: Mapping[str, str] = field(default_factory=dict)

    @property
    def gives(self) -> str:
        """The argument that gives the hyperparameter's value."""
        return self.value or self.argument

    def is_on(self, arguments: Arguments) -> bool:
        """Whether these arguments turn it on."""
        return bool(arguments.get(self.argument)) and holds(self.when, arguments)


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

    @cached_property
    def used(self) -> frozenset[str]:
        """The arguments that touch the arithmetic."""
        names = (place(a)[0] for f in self.forms for a in f.names.values())
        return frozenset((*self.options, *names, *(w.gives for w in self.wraps)))

    def form(self, arguments: Arguments) -> Form:
        """The arithmetic that these arguments choose."""
        found = next(f for f in self.forms if holds(f.when, arguments))
        added = {slot: key for w in self.wraps if w.is_on(arguments) for slot, key in w.state.items()}
        return replace(found, state={**found.state, **added}) if added else found

    def choose(self, arguments: Arguments) -> tuple[str, dict[str, str]]:
        """The name of the rule that these arguments choose, and the argument that each of its hyperparameters is."""
        form = self.form(arguments)
        name, names = form.rule, dict(form.names)
        for wrap in self.wraps:
            if wrap.is_on(arguments):
                name = f"{wrap.transform}({name})"
                names |= {wrap.hyper: wrap.gives} if wrap.hyper else {}
        return NAMED.get(name, name), names


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


def holds(when: Mapping[str, bool | str], arguments: Arguments) -> bool:
    """Whether arguments are on and off, or have the values, as is wanted; one that is not given is off."""
    return all(
        arguments.get(name) == wanted if isinstance(wanted, str) else bool(arguments.get(name)) is wanted
        for name, wanted in when.items()
    )


_PREFIX = re.compile(r"(?:(-)|(\d+)\*)?")


def factor(argument: str) -> float:
    """How many times an argument a hyperparameter is: −1 for "-decay", 2 for "2*l2", else 1."""
    found = _PREFIX.match(argument)
    assert found is not None
    return -1.0 if found[1] else float(found[2] or 1)


def place(argument: str) -> tuple[str, int | None]:
    """An argument's name without a factor, and the index where an element of it is meant, as in "betas[0]"."""
    name, _, index = _PREFIX.sub("", argument, count=1).partition("[")
    return name, int(index[:-1]) if index else None


def element(arguments: Arguments, argument: str) -> Any:
    """The value of an argument, or of an element of one, named as in "betas[0]", times its factor."""
    name, index = place(argument)
    value = arguments[name]
    if index is not None:
        try:
            value = value[index]
        except (TypeError, IndexError) as error:
            raise TypeError(f"{name} must be a pair of numbers, got {value!r}") from error
    return factor(argument) * value if factor(argument) != 1 and isinstance(value, numbers.Real) else value
