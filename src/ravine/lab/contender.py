"""A contender: an optimizer as it is entered in a comparison, under a name, maybe with hyperparameters held fixed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ravine
from ravine import spelling
from ravine.errors import unknown
from ravine.lab.space import Span, given_span, search_space

DEFAULT = ("gd", "momentum", "nesterov", "adagrad", "rmsprop", "rmsprop_momentum", "adadelta", "adam", "adamw")
"""Whom `ravine compare` compares unless told otherwise."""


@dataclass(frozen=True)
class Contender:
    """`rule` is what `ravine.rule` finds; `fixed` are hyperparameters that are not tuned, `given` those that are
    searched over a span of the user's, `tune` those that are searched, if the rule has them, over the rule's own."""

    name: str
    rule: str
    fixed: Mapping[str, float] = field(default_factory=dict)
    given: Mapping[str, Span] = field(default_factory=dict)
    tune: tuple[str, ...] = ("lr",)

    @property
    def space(self) -> dict[str, Span]:
        """Which hyperparameters are searched, and where. Raises ValueError where the rule implies no span."""
        return search_space(ravine.rule(self.rule), self.fixed, self.tune, self.given)

    def describe(self) -> dict[str, Any]:
        """What the report shows of it, so that the report needs not the rule."""
        from ravine.trace import mathml

        rule = ravine.rule(self.rule)
        return {
            "name": self.name,
            "rule": self.rule,
            "fixed": dict(self.fixed),
            "title": rule.title,
            "paper": rule.paper,
            "equation": rule.equation(),
            "mathml": mathml.equation(rule),
            "state_bytes": rule.state_bytes,
            "defaults": {n: h.default for n, h in rule.hyperparameters.items()},
            "space": {n: list(span) for n, span in self.space.items()},
        }


def parse(text: str, tune: Sequence[str] | None = None) -> list[Contender]:
    """Contenders from text such as `adam,decayed=weight_decay(adam)[weight_decay=0.01],mine.py:my_rule`. In brackets
    a number holds a hyperparameter fixed, and `lr=1e-4..1e-1` has it searched there.

    `tune` names what else is searched, if not the learning rate. Raises ValueError for an unknown rule or
    hyperparameter, an illegal value, a name given twice, and what no contender has or can search.
    """
    found = distinct(_one(part, ("lr",) if tune is None else tuple(tune)) for part in spelling.split(text))
    known = {n for c in found for n in ravine.rule(c.rule).hyperparameters}
    for name in tune or ():
        if name not in known:
            raise unknown("hyperparameter to tune", name, known)
    for contender in found:
        _ = contender.space  # raises ValueError
    return found


def distinct(contenders: Iterable[Contender]) -> list[Contender]:
    """The contenders, if there are any and no two have the same name. Raises ValueError otherwise."""
    found = list(contenders)
    if not found:
        raise ValueError("no optimizers to compare: --optimizers adam,rmsprop")
    names = [c.name for c in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"optimizer {name!r} is given twice: name one of them, as in first={name},second={name}")
    return found


def _one(text: str, tune: tuple[str, ...]) -> Contender:
    written = spelling.read(text)
    rule = ravine.rule(written.rule)
    fixed, given = {}, {}
    for key, value in written.values.items():
        try:
            low, *high = (float(end) for end in value.split("..", 1))
        except ValueError:
            raise ValueError(
                f"optimizer {written.text!r}: {f'{key}={value}'!r} is neither NAME=NUMBER nor NAME=LOW..HIGH"
            ) from None
        if high:
            given[key] = given_span(rule, key, low, *high)
        else:
            fixed[key] = low
    rule.check(fixed)
    held = ",".join(f"{key}={value}" for key, value in written.values.items())
    return Contender(written.name or rule.name + (f"[{held}]" if held else ""), written.rule, fixed, given, tune)
