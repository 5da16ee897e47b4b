"""A contender: an optimizer as it is entered in a comparison, under a name, maybe with hyperparameters held fixed."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from ravine import spelling
from ravine.errors import unknown
from ravine.lab import sets
from ravine.lab.lookup import find, is_call
from ravine.lab.method import Method
from ravine.lab.schedule import SHAPES
from ravine.lab.space import Span, given_span

if TYPE_CHECKING:
    from torch import nn

DEFAULT = ("gd", "momentum", "nesterov", "adagrad", "rmsprop", "rmsprop_momentum", "adadelta", "adam", "adamw")
"""Whom `ravine compare` compares unless told otherwise."""


@dataclass(frozen=True)
class Contender:
    """`rule` is what `ravine.lab.lookup.find` finds; `fixed` are hyperparameters that are not tuned, `given` those that
    are searched over a span of the user's, `tune` those that are searched, if it has them, over a span that follows
    from their defaults. `schedule` is its own, instead of the comparison's; empty if it has none. `transferred` are the
    hyperparameters of each repetition's scored run where these were found by tuning elsewhere: then nothing is searched
    here, and `tuned_at` names the study that they are from."""

    name: str
    rule: str
    fixed: Mapping[str, float] = field(default_factory=dict)
    given: Mapping[str, Span] = field(default_factory=dict)
    tune: tuple[str, ...] = ("lr",)
    schedule: str = ""
    transferred: Sequence[Mapping[str, float]] = ()
    tuned_at: str = ""

    @property
    def method(self) -> Method:
        """What it is. Raises ValueError for a name that nothing has."""
        return find(self.rule)

    @property
    def space(self) -> dict[str, Span]:
        """Which hyperparameters are searched, and where. Raises ValueError where nothing implies a span."""
        if self.transferred:
            return {}
        wanted = [n for n in self.method.hyperparameters if n in self.given or (n in self.tune and n not in self.fixed)]
        return {n: self.given[n] if n in self.given else self.method.span(n) for n in wanted}

    def describe(self, model: nn.Module | None = None) -> dict[str, Any]:
        """What the report shows of it, so that the report needs not the rule. State is counted for a model's
        parameters."""
        found, space = self.method, self.space
        return {
            "name": self.name,
            "rule": self.rule,
            "fixed": dict(self.fixed),
            "schedule": self.schedule,
            "title": found.title,
            "paper": found.paper,
            "equation": found.equation,
            "mathml": found.mathml,
            "state_bytes": found.state_bytes(model),
            "defaults": {n: h.default for n, h in found.hyperparameters.items() if n in found.own or n in space},
            **({"parts": dict(found.parts)} if found.parts else {}),
            "space": {n: list(span) for n, span in space.items()},
            **({"transferred": list(self.transferred), "tuned_at": self.tuned_at} if self.transferred else {}),
        }


def parse(text: str, tune: Sequence[str] | None = None, where_possible: bool = False) -> list[Contender]:
    """Contenders from text such as `adam,decayed=weight_decay(adam)[weight_decay=0.01],torch.optim:Muon`. In brackets a
    number holds a hyperparameter fixed, `lr=1e-4..1e-1` has it searched there, `schedule=cosine` is the contender's own
    schedule, and other text is an argument of what is no rule. `[hidden=lion,rest=adamw[lr=1e-3]]` is a set of rules.

    `tune` names what is searched, if not the learning rate alone; `where_possible` passes over what implies no span.
    Raises ValueError for an unknown rule or hyperparameter, an illegal value, a name given twice, and what no contender
    has or can search.
    """
    found = distinct(_one(part, ("lr",) if tune is None else tuple(tune)) for part in spelling.split(text))
    if where_possible:
        found = [replace(c, tune=tuple(n for n in c.tune if _is_implied(c, n))) for c in found]
    known = {n for c in found for n in c.method.hyperparameters}
    for name in tune or ():
        if name not in known:
            raise unknown("hyperparameter to tune", name, known)
    for contender in found:
        _ = contender.space  # raises ValueError
    return found


def _is_implied(contender: Contender, name: str) -> bool:
    """Whether it is known where to search a hyperparameter."""
    try:
        return name in contender.method.hyperparameters and bool(contender.method.span(name))
    except ValueError:
        return False


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


def _set(text: str, tune: tuple[str, ...]) -> Contender:
    """A set of recipes; what is held fixed or searched stands in its parts."""
    written = spelling.read_set(text)
    rule = text.strip() if not written.name else text.partition("=")[2].strip()
    found = find(rule)
    return Contender(written.name or found.name, rule, {}, sets.is_searched(rule), tune)


def _one(text: str, tune: tuple[str, ...]) -> Contender:
    if spelling.is_set(text):
        return _set(text, tune)
    written = spelling.read(text)
    rule, values = written.rule, dict(written.values)
    schedule = values.pop("schedule", "")
    if schedule not in ("", *SHAPES):
        raise unknown(f"schedule of {rule}", schedule, SHAPES)
    if is_call(rule):
        rule, values = _called(rule, values)
    found = find(rule)
    fixed, given = {}, {}
    for key, value in values.items():
        try:
            low, *high = (float(end) for end in value.split("..", 1))
        except ValueError:
            raise ValueError(
                f"optimizer {written.text!r}: {f'{key}={value}'!r} is neither NAME=NUMBER nor NAME=LOW..HIGH"
            ) from None
        if high:
            given[key] = given_span(cast(Any, found), key, low, *high)
        else:
            fixed[key] = low
    found.check(fixed)
    held = ",".join(f"{key}={value}" for key, value in written.values.items())
    name = written.name or found.name + (f"[{held}]" if held else "")
    return Contender(name, rule, fixed, given, tune, schedule or found.schedule)


def _called(rule: str, values: dict[str, str]) -> tuple[str, dict[str, str]]:
    """What is called with arguments, and the values that are left: those of its hyperparameters."""
    found, extra = find(rule), {}
    for key in [k for k in values if k in found.arguments and k not in found.hyperparameters]:
        try:
            extra[key] = ast.literal_eval(values[key])
        except (ValueError, SyntaxError):
            extra[key] = values[key]
        del values[key]
    for key, value in list(values.items()):  # an option where a number was the default, as nesterov=False
        if key in found.arguments and value in ("True", "False", "None"):
            extra[key] = ast.literal_eval(values.pop(key))
    if not extra:
        return rule, values
    inside = rule.partition("(")[2].rstrip(")")
    written = ", ".join([*([inside] if inside else []), *(f"{n}={v!r}" for n, v in extra.items())])
    return f"{rule.partition('(')[0]}({written})", values
