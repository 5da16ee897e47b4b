"""Running optimizers on surfaces: many hyperparameters and starts at once, as arrays through the rule itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ravine.recipe import Recipe
from ravine.rule import Rule
from ravine.simulate.noise import Noise
from ravine.simulate.plan import Plan, make_plan
from ravine.simulate.surface import Surface


@dataclass(frozen=True, eq=False)
class Run:
    """Runs of one rule: arrays of float64, time first, coordinates last, the shape of the batch between.

    `x` (steps + 1, …, dimension), `value` (steps + 1, …) at x; `gradient` as the rule got it, so with noise and at the
    look-ahead point, and `step` Δ, both (steps, …, dimension); `slots` by name, each (steps + 1, …, dimension), or
    (steps + 1, …) for a scalar slot; a slot that is not of the parameter's shape has its own number of elements last.
    """

    rule: Rule
    hyper: Mapping[str, Any]
    surface: Surface
    x: Any
    value: Any
    gradient: Any
    step: Any
    slots: Mapping[str, Any]

    @property
    def steps(self) -> int:
        return len(self.step)

    @property
    def has_diverged(self) -> Any:
        """Where the last value is not finite; an array of the batch's shape."""
        return ~np.isfinite(self.value[-1])

    @cached_property
    def evaluated(self) -> tuple[Any, Any] | None:
        """Where the rule is to be evaluated, and the surface's value there, shaped as `x` and `value`.

        None where that is x itself: for all but Schedule-Free, averaged weights and the like.
        """
        if self.rule.read_out_function is None:
            return None
        slots = {n: s[..., None] if self.rule.slots[n].is_scalar else s for n, s in self.slots.items()}
        hyper = {n: np.asarray(v)[..., None] if np.ndim(v) else v for n, v in self.hyper.items()}
        with np.errstate(all="ignore"):
            found = self.rule.read_out(self.x, slots, hyper)
        x = np.concatenate([self.x[:1], found[1:]])  # before the first step it is x
        return x, self.surface.value(x)


def run(
    method: Recipe | Rule | str,
    surface: Surface | str,
    *,
    start: Any = None,
    steps: int = 100,
    noise: Noise | None = None,
    streams: Any = 0,
    steps_before: int = 0,
    until: Callable[[Any], bool] | None = None,
    **hyper: Any,
) -> Run:
    """Run a recipe, a rule, or a rule's name with hyperparameters on a surface, and record everything.

    Hyperparameters are numbers, or arrays that broadcast with each other and with the starts: `start` has shape
    (dimension,) or (…, dimension), by default the surface's own. `streams` (whole numbers, broadcast as well) choose
    the noise of each run; by default all runs see the same. Arithmetic is float64, each run bit for bit as if alone.

    `steps_before` is added to the step count t that the rule is given: with 10⁹, bias corrections are one from the
    start. `until(x)`, called with x of shape (…, dimension) after each step, stops the run when it returns true.

    Raises ValueError for a wrong name, an illegal value, or shapes that don't go together.
    """
    plan = make_plan(method, surface, start, steps, noise, streams, hyper)
    x, value, gradient, step = [plan.columns], [], [], []
    slots: dict[str, list[Any]] = {n: [s] for n, s in plan.slots().items()}
    for moment in _steps(plan, steps, steps_before):
        value.append(moment.value)
        gradient.append(moment.gradient)
        step.append(moment.step)
        x.append(moment.x)
        for name, new in moment.slots.items():
            slots[name].append(new)
        if until is not None and until(np.moveaxis(moment.x.reshape(-1, *plan.batch), 0, -1)):
            break
    value.append(plan.surface.at(x[-1])[0])

    def table(rows: list[Any], trailing: bool = True) -> Any:
        """Rows of (elements, n) or (n,) as one array (time, batch, elements) or (time, batch)."""
        if not trailing:
            return np.stack([np.broadcast_to(r, math.prod(plan.batch)) for r in rows]).reshape(-1, *plan.batch)
        whole = np.stack(rows) if rows else np.empty((0, *plan.columns.shape))
        return np.moveaxis(whole, 1, -1).reshape(len(rows), *plan.batch, whole.shape[1])

    return Run(
        rule=plan.rule,
        hyper=plan.original,
        surface=plan.surface,
        x=table(x),
        value=table(value, trailing=False),
        gradient=table(gradient),
        step=table(step),
        slots={n: table(rows, not plan.rule.slots[n].is_scalar) for n, rows in slots.items()},
    )


def final(
    method: Recipe | Rule | str,
    surface: Surface | str,
    *,
    start: Any = None,
    steps: int = 100,
    noise: Noise | None = None,
    streams: Any = 0,
    **hyper: Any,
) -> tuple[Any, Any]:
    """Where runs end: (x, value), of shapes (…, dimension) and (…). Arguments as for `run`; only the ends are kept."""
    plan = make_plan(method, surface, start, steps, noise, streams, hyper)
    ends = []
    for block in plan.blocks():
        x = block.columns
        for moment in _steps(block, steps, 0):
            x = moment.x
        ends.append(x)
    columns = np.concatenate(ends, axis=1)
    x = np.moveaxis(columns.reshape(-1, *plan.batch), 0, -1)
    return x, plan.surface.at(columns)[0].reshape(plan.batch)


def values_at(
    method: Recipe | Rule | str,
    surface: Surface | str,
    *,
    at: Sequence[int],
    start: Any = None,
    noise: Noise | None = None,
    streams: Any = 0,
    **hyper: Any,
) -> list[Any]:
    """The values of runs after each of the steps `at` (rising, from 1), of shape (…). Arguments as for `run`."""
    plan = make_plan(method, surface, start, at[-1], noise, streams, hyper)
    parts = []
    for block in plan.blocks():
        moments = enumerate(_steps(block, at[-1], 0), start=1)
        parts.append([plan.surface.at(moment.x)[0] for t, moment in moments if t in at])
    return [np.concatenate(values).reshape(plan.batch) for values in zip(*parts, strict=True)]


@dataclass(frozen=True, eq=False)
class _Moment:
    """What happened at one step: the value before it, the gradient that the rule got, its step, and what came of it."""

    value: Any
    gradient: Any
    step: Any
    x: Any
    slots: Mapping[str, Any]


def _steps(plan: Plan, steps: int, steps_before: int) -> Iterator[_Moment]:
    """The loop: the gradient where the rule wants it, noise, one step of the reference engine."""
    x, slots, disturb, members = plan.columns, plan.slots(), plan.disturbance(), plan.members()
    for t in range(1, steps + 1):
        value, gradient = plan.surface.at(x)
        point, batch = x, members(t)
        if plan.rule.look_ahead_function is not None:
            with np.errstate(all="ignore"):
                point = x + plan.rule.look_ahead(slots, plan.hyper)
        if point is not x or batch is not None:
            gradient = plan.surface.at(point, batch)[1]
        if disturb is not None:
            gradient = disturb(t, gradient)
        before = x
        x, slots = plan.step(x, gradient, slots, t + steps_before)
        with np.errstate(all="ignore"):
            yield _Moment(value, gradient, x - before, x, slots)
