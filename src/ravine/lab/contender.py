"""A contender: an optimizer as it is entered in a comparison, under a name, maybe with hyperparameters held fixed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ravine
from ravine.rule import Rule

DEFAULT = ("gd", "momentum", "nesterov", "adagrad", "rmsprop", "rmsprop_momentum", "adadelta", "adam", "adamw")
"""Whom `ravine compare` compares unless told otherwise."""


@dataclass(frozen=True)
class Contender:
    """`rule` is what `ravine.rule` finds; `fixed` are hyperparameters that are not tuned."""

    name: str
    rule: str
    fixed: Mapping[str, float] = field(default_factory=dict)

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
            "space": search_space(rule, self.fixed),
        }


def search_space(rule: Rule, fixed: Mapping[str, float]) -> dict[str, list[float]]:
    """Which hyperparameters are tuned, and from where to where, in powers of ten.

    The learning rate, over four decades around the rule's own default: equally wide for all, and placed by whoever
    wrote the rule, because a good learning rate is near 1 for Adadelta and near 0.001 for Adam. Defaults are mostly
    cautious, so more of the range lies above than below.
    """
    if "lr" not in rule.hyperparameters or "lr" in fixed:
        return {}
    default = rule.hyperparameters["lr"].default
    return {"lr": [default * 10**-1.5, default * 10**2.5]}


def parse(text: str) -> list[Contender]:
    """Contenders from text such as `adam,decayed=weight_decay(adam)[weight_decay=0.01],mine.py:my_rule`.

    Raises ValueError for an unknown rule or hyperparameter, an illegal value, or a name given twice.
    """
    return distinct([_one(part) for part in re.split(r",(?![^\[]*\])", text) if part.strip()])


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


def _one(text: str) -> Contender:
    match = re.fullmatch(r"\s*(?:(?P<name>[\w .+-]+)=\s*)?(?P<rule>[^\[\]]+?)(?:\[(?P<fixed>[^\]]*)\])?\s*", text)
    if not match:
        raise ValueError(f"can't read optimizer {text.strip()!r}: expected RULE, NAME=RULE or RULE[beta1=0.8]")
    fixed = {}
    for pair in filter(None, (match["fixed"] or "").split(",")):
        key, _, value = pair.partition("=")
        try:
            fixed[key.strip()] = float(value)
        except ValueError:
            raise ValueError(f"optimizer {text.strip()!r}: {pair.strip()!r} is not NAME=NUMBER") from None
    rule = ravine.rule(match["rule"])
    rule.check(fixed)
    name = match["name"] or rule.name + (f"[{match['fixed']}]" if fixed else "")
    return Contender(name.strip(), match["rule"], fixed)
