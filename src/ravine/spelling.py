"""How an optimizer is written in text, wherever one is asked for: NAME=RULE[hyperparameter=value,…].

A set of them is written NAME=[PART=RULE[…],PART=RULE[…]], or in short RULE-set, which is [hidden=RULE,rest=adamw].
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ravine.recipe import Recipe, recipe
from ravine.recipe_set import RecipeSet, recipes

ONE = re.compile(r"\s*(?:(?P<name>[\w .+-]+)=\s*)?(?P<rule>[^\[\]]+?)(?:\[(?P<values>[^\[\]]*)\])?\s*")
ELSEWHERE = re.compile(r"(?P<rule>.+):(?P<values>\w+=[^:]*)|(?P<called>.+)\((?P<given>\w+=[^()]*)\)")
"""Values where they don't belong: behind a colon, or in round brackets, which are a transform's."""
CALLED = re.compile(r"[^()]*[.:]\w+\(")
"""What is called with arguments: a framework's constructor, or one of a package or a file."""
SET = re.compile(r"\s*(?:(?P<name>[\w .+-]+)=\s*)?\[(?P<parts>.*)\]\s*", re.DOTALL)
SHORT_SET = re.compile(r"\s*(?:(?P<name>[\w .+-]+)=\s*)?(?P<rule>[^\[\]=,]+)-set\s*")
REST = "adamw"
"""What a set in short has for everything but hidden matrices."""


class Written(NamedTuple):
    """What a text says: its name for the optimizer (empty where it has none), the rule, and the values as written."""

    text: str
    name: str
    rule: str
    values: dict[str, str]

    def numbers(self) -> dict[str, float]:
        """The values as numbers. Raises ValueError for one that is none."""
        return {key: self._number(key, value) for key, value in self.values.items()}

    def recipe(self) -> Recipe:
        """The rule with the values. Raises as `ravine.recipe` does, and ValueError for a value that is no number."""
        return recipe(self.rule).replace(**self.numbers())

    def _number(self, key: str, value: str) -> float:
        try:
            return float(value)
        except ValueError:
            raise ValueError(f"optimizer {self.text!r}: {f'{key}={value}'!r} is not NAME=NUMBER") from None


class WrittenSet(NamedTuple):
    """What a text says that is a set: its name (empty where it has none), and each part's optimizer as written."""

    text: str
    name: str
    parts: dict[str, Written]

    def recipes(self) -> RecipeSet:
        """The set. Raises as `Written.recipe` does, naming the part."""
        found = {}
        for part, written in self.parts.items():
            try:
                found[part] = written.recipe()
            except (ValueError, TypeError) as error:
                raise type(error)(f"part {part!r} of {self.text!r}: {error}") from error
        return recipes(**found)


def is_set(text: str) -> bool:
    """Whether a text is written as a set of optimizers."""
    return bool(SHORT_SET.fullmatch(text) or SET.fullmatch(text))


def read_set(text: str) -> WrittenSet:
    """What a text such as `duo=[hidden=lion[lr=1e-3],rest=adamw]` or `lion-set` says; rules are not looked up.

    Raises ValueError for what is no such text, a part without a name, and one that is given twice.
    """
    text = text.strip()
    if short := SHORT_SET.fullmatch(text):
        parts = {"hidden": short["rule"], "rest": REST}
        return WrittenSet(text, (short["name"] or "").strip(), {part: read(rule) for part, rule in parts.items()})
    found = SET.fullmatch(text)
    written = [read(part) for part in split(found["parts"])] if found else []
    if not found or not written:
        raise ValueError(f"can't read set {text!r}: expected [PART=RULE,PART=RULE[lr=0.01]], or RULE-set")
    named: dict[str, Written] = {}
    for one in written:
        if not one.name:
            raise ValueError(f"set {text!r}: {one.text!r} has no part: write which, as in hidden={one.text}")
        if one.name in named:
            raise ValueError(f"set {text!r}: the part {one.name!r} is given twice")
        named[one.name] = one
    return WrittenSet(text, (found["name"] or "").strip(), named)


def split(text: str) -> list[str]:
    """The optimizers of a list with commas between them; commas in brackets don't count."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign in "([") - (sign in ")]")
        if sign == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts if part.strip()]


def read(text: str) -> Written:
    """What a text such as `slow=adam[lr=1e-4,beta1=0.8]` says; the rule is not looked up, the values are not read.

    Raises ValueError for what is no RULE, NAME=RULE, RULE[beta1=0.8] or NAME=RULE[beta1=0.8].
    """
    text = text.strip()
    if is_set(text):
        raise ValueError(f"{text!r} is a set of optimizers, and one is wanted here")
    found = ONE.fullmatch(text)
    if not found:
        raise ValueError(f"can't read optimizer {text!r}: expected RULE, NAME=RULE or RULE[beta1=0.8]")
    if (wrong := ELSEWHERE.fullmatch(found["rule"])) and not CALLED.match(found["rule"]):
        meant = f"{wrong['rule'] or wrong['called']}[{wrong['values'] or wrong['given']}]"
        raise ValueError(f"can't read optimizer {text!r}: values go in square brackets, as in {meant}")
    values: dict[str, str] = {}
    for pair in filter(str.strip, (found["values"] or "").split(",")):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not key or not equals or not value:
            raise ValueError(f"optimizer {text!r}: {pair.strip()!r} is not NAME=NUMBER")
        if key in values:
            raise ValueError(f"optimizer {text!r}: {key} is given twice")
        values[key] = value
    return Written(text, (found["name"] or "").strip(), found["rule"].strip(), values)
