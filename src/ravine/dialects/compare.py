"""Two recipes compared: which terms differ, when and how far their trajectories part, and which term is to blame.

Each term is switched alone, from one recipe's to the other's, on a fixed stream of gradients with zeros, reversals,
scales from 1e-4 to 1e2 and a tenfold drop of lr midway; its effect is what that alone does to the trajectory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ravine.dialects.terms import AVERAGED, IDLE, Parts, describe, differences, hyperparameter, method, take_apart
from ravine.recipe import Recipe, recipe
from ravine.registry import rule, rules
from ravine.rule import Rule
from ravine.transforms import stored_at_look_ahead

STEPS, DROP, SIZE = 60, 30, 4
NOTICED = 1e-9
"""The part of a step from which on a difference is one, and not rounding."""


@dataclass(frozen=True)
class Effect:
    """What a difference does to the trajectory.

    `first`: the first step (from 1) at which a coordinate is off by more than NOTICED of the longest step so far, or 0
    where none is. `part`: the distance there, as a part of that step. `worst`, `worst_step`: the largest such
    part, and where it is.
    """

    first: int
    part: float
    worst: float
    worst_step: int


@dataclass(frozen=True)
class Difference:
    """A term that differs: its name, what each side has, and its effect alone (None where it can't be had alone)."""

    term: str
    a: str
    b: str
    effect: Effect | None


@dataclass(frozen=True)
class Comparison:
    """Two recipes, their differences with the most effective first, and the effect of all together."""

    a: Recipe
    b: Recipe
    differences: tuple[Difference, ...]
    effect: Effect

    @property
    def same(self) -> bool:
        """Whether the trajectories never part."""
        return self.effect.first == 0

    @property
    def responsible(self) -> Difference | None:
        """The term with the largest effect, None where the trajectories are the same."""
        known = [d for d in self.differences if d.effect is not None and d.effect.first]
        return None if self.same or not known else known[0]


def compare(a: Recipe, b: Recipe) -> Comparison:
    """Compare two recipes term by term. One that looks ahead is taken as stored at its look-ahead point."""
    a, b = _stored(a), _stored(b)
    found = []
    for term, here, there, switched, base in _switches(a, b):
        found.append(Difference(term, here, there, None if switched is None else effect(base, switched)))
    found.sort(key=lambda d: -1.0 if d.effect is None else -d.effect.worst)
    return Comparison(a, b, tuple(found), effect(a, b))


def _stored(chosen: Recipe) -> Recipe:
    if chosen.rule.look_ahead_function is None:
        return chosen
    return recipe(stored_at_look_ahead(chosen.rule), start=chosen.start, **chosen.hyper)


def effect(a: Recipe, b: Recipe, drop: float = 0.1) -> Effect:
    """How the trajectories of two recipes part on the test stream, where lr is multiplied by `drop` midway."""
    is_matrix = not (a.rule.graph.is_elementwise and b.rule.graph.is_elementwise)
    first, second = (_trajectory(chosen, drop, is_matrix=is_matrix) for chosen in (a, b))
    steps = np.maximum(np.abs(np.diff(first, axis=0)), np.abs(np.diff(second, axis=0)))
    longest = np.maximum.accumulate(steps, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = np.nan_to_num(np.abs(first - second)[1:] / np.where(longest > 0, longest, 1.0), nan=np.inf)
    by_step = parts.max(axis=1)
    noticed = np.flatnonzero(by_step > NOTICED)
    if not len(noticed):
        return Effect(0, 0.0, 0.0, 0)
    at, worst = int(noticed[0]), int(np.argmax(by_step))
    return Effect(at + 1, float(by_step[at]), float(by_step[worst]), worst + 1)


def stream(seed: int = 45) -> np.ndarray:
    """The gradients (STEPS, SIZE) of the test stream."""
    rng = np.random.default_rng(seed)
    sign = np.cumprod(np.where(rng.random((STEPS, SIZE)) < 0.2, -1.0, 1.0), axis=0)
    g = sign * np.exp(rng.normal(0, 0.5, (STEPS, SIZE))) * np.array([1e-4, 1e-2, 1.0, 1e2])
    return np.where(rng.random((STEPS, SIZE)) < 0.1, 0.0, g)


def _trajectory(chosen: Recipe, drop: float, *, is_matrix: bool) -> np.ndarray:
    x, gradients = np.array([1.0, -2.0, 1.5, -0.5]), stream()
    if is_matrix:  # each of its columns has a stream of its own
        x = x[:, None] * np.array([1.0, 0.5, -1.5])
        gradients = np.stack([gradients, stream(46), stream(47)], axis=2)
    state, points = chosen.init(x), [x]
    for t, g in enumerate(gradients):
        lr = {n: v * (1.0 if t < DROP else drop) for n, v in chosen.hyper.items() if n == "lr"}
        x, state = chosen.update(g, state, x, **lr)
        points.append(x)
    return np.stack(points).reshape(len(points), -1)


def _switches(a: Recipe, b: Recipe) -> Iterator[tuple[str, str, str, Recipe | None, Recipe]]:
    """(term, what a has, what b has, the recipe with that term alone switched, the recipe it is to be held against)."""
    first, second = take_apart(a), take_apart(b)
    mixed, told = True, False
    for term, (here, there) in differences(first.base, second.base).items():
        if term in _idle(first, second):
            continue
        switched, base = _with_term(a, first, second, term), a
        if switched is None:  # no rule is that mixture: switch the term from the other side
            switched, base = _with_term(b, second, first, term), b
        mixed, told = mixed and switched is not None, True
        yield term, here, there, switched, base
    if not mixed or (not told and rule(first.base).graph.outputs != rule(second.base).graph.outputs):
        titles = rule(first.base).title, rule(second.base).title
        yield "all of the equation", *titles, _rebuilt(a, first, second, second.base), a
    for name in first.hyper:
        if name in second.hyper and first.hyper[name] != second.hyper[name]:
            values = f"{first.hyper[name]:g}", f"{second.hyper[name]:g}"
            yield f"value of {name}", *values, a.replace(**{name: second.hyper[name]}), a
    for slot in first.start:
        if slot in second.start and first.start[slot] != second.start[slot]:
            moved = recipe(a.rule, start={**a.start, slot: second.start[slot]}, **a.hyper)
            yield f"start of {slot}", f"{first.start[slot]:g}", f"{second.start[slot]:g}", moved, a
    for term, names in AROUND_TERMS.items():
        here, there = (_wrap_value(p, names) for p in (first, second))
        if here != there:
            yield term, here, there, _with_wraps(a, first, second, names), a


AROUND_TERMS = {
    "weight decay": {
        "weight_decay": "coupled, ",
        "decoupled_weight_decay": "decoupled, ",
        "weight_decay_first": "decoupled and before the step, ",
    },
    "maximize": {"maximize": ""},
    "clipping": {"clip_value": "by value, to ", "clip_norm": "by norm, to ", "clip_global_norm": "by global norm, to "},
    "decay of lr": {"lr_decay": ""},
}
"""What transforms do, and in what words each says its value."""


def _wrap_value(parts: Parts, names: dict[str, str]) -> str:
    for name, words in names.items():
        if name in parts.wraps:
            value = parts.wraps[name]
            return "yes" if value is None else f"{words}{value:g}"
    return "none"


@cache
def _known() -> dict[str, dict[str, str]]:
    """Every rule that a mixture may be, described."""
    own = [
        n for n, r in rules().items() if r.function.__module__.startswith("ravine.") and r.look_ahead_function is None
    ]
    plain = [n for n in own if n.startswith("rmsprop") and "momentum" not in n]
    balls = [f"{ball}({n})" for ball in ("heavy_ball", "nesterov_ball") for n in plain]
    return {n: describe(n) for n in [*own, *balls, "stored_at_look_ahead(nesterov)"]}


def _idle(first: Parts, second: Parts) -> set[str]:
    """Terms that are zero on both sides."""
    return {term for term, name in IDLE.items() if not first.hyper.get(name) and not second.hyper.get(name)}


def _with_term(chosen: Recipe, parts: Parts, other: Parts, term: str) -> Recipe | None:
    """The recipe with one term of its equation as the other one has it, if there is a rule for that."""
    if term == "equation":
        return _rebuilt(chosen, parts, other, other.base)
    here, there = describe(parts.base), describe(other.base)
    switched = (term, "lr") if term == "momentum" and ("momentum" in here) != ("momentum" in there) else (term,)
    wanted = {n: v for n, v in here.items() if n not in switched}
    wanted |= {n: v for n, v in there.items() if n in switched}
    passed_over = _idle(parts, other)
    for name, words in _known().items():
        alike = all(words.get(n) == wanted.get(n) for n in {*words, *wanted} - passed_over)
        if alike and method(name) == method(parts.base):
            return _rebuilt(chosen, parts, other, name)
    return None


def _rebuilt(chosen: Recipe, parts: Parts, other: Parts, base: str) -> Recipe:
    """The recipe with another equation inside its transforms; values and starts stay, missing ones are the other's."""
    found: Rule = rule(base)
    for name in reversed(parts.wraps):
        if hyperparameter(name) not in found.hyperparameters:  # LAMB has a decay of its own
            found = rule(f"{name}({found.name})")
    hyper = {n: v for n, v in {**other.hyper, **chosen.hyper}.items() if n in found.hyperparameters}
    starts = {**other.start, **parts.start}
    start = {n: v for n, v in starts.items() if n in found.slots and v != found.slots[n].start}
    return recipe(found, start=start, **hyper)


def _with_wraps(chosen: Recipe, parts: Parts, other: Parts, names: dict[str, str]) -> Recipe | None:
    """The recipe with some transforms as the other one has them, if its equation can be wrapped in them."""
    wraps: dict[str, Any] = {n: v for n, v in parts.wraps.items() if n not in names}
    wraps |= {n: v for n, v in other.wraps.items() if n in names}
    outermost = ("clip_global_norm", AVERAGED)  # whatever else there is
    wraps = dict(sorted(wraps.items(), key=lambda w: outermost.index(w[0]) if w[0] in outermost else len(outermost)))
    found, hyper = rule(parts.base), dict(parts.hyper)
    for wrap, value in reversed(wraps.items()):
        if hyperparameter(wrap) in found.hyperparameters:
            return None
        before = set(found.hyperparameters)
        found = rule(f"{wrap}({found.name})")
        hyper |= dict.fromkeys(set(found.hyperparameters) - before, value)
    return recipe(found, start=dict(chosen.start), **hyper)
