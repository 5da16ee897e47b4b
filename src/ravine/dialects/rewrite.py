"""A recipe in another framework's spelling: exactly, exactly while lr is constant, or not, with the term in the way.

What one rule can be written as is told by `identities`. A spelling is made from the target's own tables and then
checked: its constructor must give back what was meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from ravine.dialects.chains import BEFORE, Chain
from ravine.dialects.identities import CONSTANT, EXACT, IDENTITIES, IMPOSSIBLE, Identity, Scale
from ravine.dialects.spelling import Constructor
from ravine.dialects.table import Form, Wrap, factor, holds, place
from ravine.dialects.terms import AROUND, AVERAGED, IDLE, Parts, differences, method, take_apart
from ravine.recipe import Recipe
from ravine.registry import rule

PREFIX = {
    "tensorflow": "tf.compat.v1.train.",
    "keras": "keras.optimizers.",
    "keras_legacy": "tf.keras.optimizers.legacy.",
    "torch": "torch.optim.",
    "optax": "optax.",
}


@dataclass(frozen=True)
class Spelling:
    """A recipe as a framework writes it.

    `grade` is one of `identities.GRADES`. Where it is not possible, `constructor` is the nearest one, `arguments` are
    empty, and `reasons` say which terms stand in the way.
    """

    framework: str
    constructor: Constructor | None
    arguments: Mapping[str, Any]
    grade: str
    reasons: tuple[str, ...] = ()

    @property
    def call(self) -> str:
        """The call as text, as in the framework's own documentation; empty where it is not possible."""
        if self.grade == IMPOSSIBLE or self.constructor is None:
            return ""
        text = PREFIX[self.framework] + self.constructor.call(self.arguments).partition(".")[2]
        params = "params, " if self.arguments else "params"
        return text.replace("(", f"({params}", 1) if self.framework == "torch" else text

    def __str__(self) -> str:
        return f"{self.call or self.framework} ({self.grade}{': ' if self.reasons else ''}{'; '.join(self.reasons)})"


def to(recipe: Recipe, framework: str) -> Spelling:
    """The recipe in the spelling of "tensorflow", "keras", "torch" or "optax". Raises ValueError for another name."""
    from ravine.dialects import constructors

    known = list(constructors(framework).values())
    parts = take_apart(recipe)
    chained = list(_chains(parts, known)) if framework == "optax" else []
    for same, grade, _ in written_as(parts):
        found = [(c, a) for c in (*known, *chained) for f in c.forms if (a := arguments(c, f, same)) is not None]
        if found:
            constructor, chosen = min(found, key=lambda f: len(f[1]))
            moved = ("lr is on the other side of the momentum buffer",) if grade == CONSTANT else ()
            return Spelling(framework, constructor, MappingProxyType(chosen), grade, moved)
    return Spelling(framework, *_nearest(parts, known))


def _chains(parts: Parts, known: list[Constructor]) -> Iterator[Chain]:
    """Each optimizer of optax's with the links before it that do what transforms do, the outermost first."""
    by_transform = {w.transform: name for name, w in BEFORE.items()}
    links = [by_transform[n] for n in parts.order if n in by_transform]
    if links:
        yield from (Chain(c, links) for c in known)


def written_as(parts: Parts) -> Iterator[tuple[Parts, str, tuple[Identity, ...]]]:
    """The parts themselves and everything that they are identical to, exact ones first, with grade and path."""
    found: dict[str, tuple[Parts, str, tuple[Identity, ...]]] = {parts.base: (parts, EXACT, ())}
    for allowed in (EXACT, CONSTANT):
        waiting = list(found.values())
        while waiting:
            here, grade, path = waiting.pop(0)
            for identity in IDENTITIES:
                if identity.source != here.base or identity.target in found or identity.grade not in (EXACT, allowed):
                    continue
                if (hyper := identity.hyper(here.hyper)) is None or (start := _starts(identity, here)) is None:
                    continue
                wanted = rule(identity.target).hyperparameters
                filled = MappingProxyType({n: hyper.get(n, h.default) for n, h in wanted.items()})
                there = replace(here, base=identity.target, hyper=filled, start=start)
                found[identity.target] = (there, allowed if identity.grade == allowed else grade, (*path, identity))
                waiting.append(found[identity.target])
    yield from found.values()


def _starts(identity: Identity, parts: Parts) -> MappingProxyType[str, float] | None:
    """What the target's slots start at, so that both start in the same state."""
    result = {}
    for slot in rule(identity.target).slots:
        scale = identity.slots.get(slot, Scale(slot))
        if scale.slot not in parts.start:
            return None
        value = parts.start[scale.slot]
        result[slot] = scale(value, parts.hyper) if value else value
    return MappingProxyType(result)


def arguments(constructor: Constructor, form: Form, parts: Parts) -> dict[str, Any] | None:
    """The arguments with which a constructor means just these parts, without those at their defaults; or None."""
    if form.rule != parts.base:
        return None
    chosen: dict[str, Any] = {}
    for name, on in form.when.items():
        default = constructor.defaults.get(name)
        if isinstance(on, str) or (default is not None and bool(default) is not on):
            chosen[name] = on
        elif on:
            chosen[name] = True
    for hyper, argument in form.names.items():
        name, index = place(argument)
        value = parts.hyper[hyper] / factor(argument)
        if index is not None:
            pair = list(chosen.get(name, constructor.defaults[name]))
            pair[index] = value
            chosen[name] = tuple(pair)
        else:
            chosen[name] = value
    for slot, start in form.start.items():
        if isinstance(start, str):
            chosen[start] = parts.start[slot]
    for wrap in constructor.wraps:
        if wrap.transform in parts.wraps:
            wrapped = parts.wraps[wrap.transform]
            chosen |= {wrap.argument: True} if wrapped is None or wrap.value else {}
            chosen |= {} if wrapped is None else {wrap.gives: wrapped}
            chosen |= {n: on for n, on in wrap.when.items() if n in constructor.defaults and on}
        elif constructor.defaults.get(wrap.argument) and wrap.argument not in chosen:
            chosen[wrap.argument] = 0.0
    chosen = {n: v for n, v in chosen.items() if n not in constructor.defaults or constructor.defaults[n] != v}
    for n in chosen:  # a number of iterations: range() takes no float
        if type(constructor.defaults.get(n)) is int and n.endswith("steps"):
            chosen[n] = int(chosen[n])
    try:
        meant = take_apart(constructor(**chosen))
    except (TypeError, ValueError):
        return None
    return {n: chosen[n] for n in constructor.defaults if n in chosen} if meant == parts else None


def _nearest(
    parts: Parts, known: list[Constructor]
) -> tuple[Constructor | None, Mapping[str, Any], str, tuple[str, ...]]:
    """The constructor that comes nearest, and what stands in the way."""
    alike = [(c, f) for c in known for f in c.forms if method(f.rule) == method(parts.base)]
    if not alike:
        return None, {}, IMPOSSIBLE, (f"this dialect has no optimizer of the kind {method(parts.base)}",)
    scored = [
        (abs(len(rule(f.rule).slots) - len(same.start)), len(reasons := _obstacles(same, c, f)), c, reasons)
        for same, _, _ in written_as(parts)
        for c, f in alike
    ]
    *_, constructor, reasons = min(scored, key=lambda s: (*s[:2], method(parts.base) not in s[2].name.lower()))
    return constructor, {}, IMPOSSIBLE, tuple(reasons)


def _obstacles(parts: Parts, constructor: Constructor, form: Form) -> list[str]:
    """Every reason why a form does not mean these parts."""
    if parts.base.startswith(f"{AVERAGED}("):
        return ["the average is of points without the decay, which is around it"]
    reasons = []
    for term, (here, there) in differences(parts.base, form.rule).items():
        if term in IDLE and not parts.hyper.get(IDLE[term]):
            continue  # it is zero, or can be
        reasons.append(f"{term} is {here}, in {constructor} it is {there}".replace("is none", "is absent"))
    for slot, declared in rule(form.rule).slots.items():
        start = form.start.get(slot, declared.start)
        if slot in parts.start and not isinstance(start, str) and start != parts.start[slot]:
            reasons.append(f"{slot} starts at {parts.start[slot]:g}, in {constructor} at {start:g}")
    for name, value in parts.hyper.items():
        default = form.fixed.get(name, rule(parts.base).hyperparameters[name].default)
        if name not in form.names and value != default:
            has = f"has it fixed at {default:g}" if name in rule(form.rule).hyperparameters else "has none"
            reasons.append(f"{name} is {value:g}, {constructor} {has}")
    offered = [w.transform for w in reversed(constructor.wraps) if _offers(constructor, w)]
    reasons += [f"{constructor} has no {AROUND_WORDS[name]}" for name in parts.wraps if name not in offered]
    order = [name for name in offered if name in parts.order]
    if set(order) == set(parts.order) and order != list(parts.order):
        reasons.append(f"{constructor} does {' before '.join(AROUND_WORDS[name] for name in order)}")
    return reasons or [f"no arguments of {constructor} mean this"]


def _offers(constructor: Constructor, wrap: Wrap) -> bool:
    """Whether a constructor can turn a transform on: by arguments that it has, or because it always does it."""
    if wrap.argument not in constructor.defaults:
        return False
    settled = {n: wanted for n, wanted in wrap.when.items() if n not in constructor.defaults}
    return not settled or holds(settled, constructor.arguments())


AROUND_WORDS = dict(
    zip(
        AROUND,
        (
            *("coupled weight decay", "decoupled weight decay", "decoupled weight decay before the step"),
            *("maximize", "decay of lr", "clipping by value", "clipping by norm", "clipping by global norm"),
            "average of the parameters",
        ),
        strict=True,
    )
)
