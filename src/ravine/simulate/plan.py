"""What is to be run: rule, hyperparameters and starts, checked and laid out as columns of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ravine.engines import reference
from ravine.recipe import Recipe, recipe
from ravine.rule import STACK, Rule
from ravine.simulate.examples import batches
from ravine.simulate.noise import BATCHES, INFREQUENT, Noise
from ravine.simulate.surface import Surface
from ravine.simulate.surfaces import SURFACES
from ravine.simulate.surfaces import surface as find_surface

BLOCK = 4096
"""How many runs go together where only their ends are kept: their arrays stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Runs as columns: x of shape (dimension, n); hyperparameters numbers or of shape (n,); n the batch, flattened."""

    rule: Rule
    hyper: Mapping[str, Any]
    original: Mapping[str, Any]
    starts: Mapping[str, float]
    surface: Surface
    noise: Noise | None
    batch: tuple[int, ...]
    columns: Any
    streams: Any

    def slots(self) -> dict[str, Any]:
        starts = {n: self.starts.get(n, s.start) for n, s in self.rule.slots.items()}
        dimension, runs = self.columns.shape
        sizes = {n: math.prod(self.rule.slot_shape(n, (dimension, 1))) for n in starts}
        return {
            n: value if self.rule.slots[n].is_scalar else np.full((sizes[n], runs), value)
            for n, value in starts.items()
        }

    def step(self, x: Any, g: Any, slots: Mapping[str, Any], t: int) -> tuple[Any, dict[str, Any]]:
        """One step of all runs, arrays of shape (elements, n): each run's x is a matrix of one column to a rule that
        reads more than one element at a time."""
        if self.rule.graph.is_elementwise:
            return reference.step(self.rule, x, g, slots, t, self.hyper)
        rule, (dimension, runs) = replace(self.rule, view=STACK), x.shape
        hyper = {n: h if np.ndim(h) == 0 else h[:, None, None] for n, h in self.hyper.items()}
        shapes = {n: self.rule.seen_as(n, (dimension, 1)) for n in slots}
        stacks = {
            n: s if rule.slots[n].is_scalar else np.ascontiguousarray(s.T).reshape(runs, *shapes[n])
            for n, s in slots.items()
        }
        x, g = (np.ascontiguousarray(a.T)[..., None] for a in (x, g))
        new_x, new = reference.step(rule, x, g, stacks, t, hyper)
        own = {n: s if rule.slots[n].is_scalar else s.reshape(runs, -1).T for n, s in new.items()}
        return new_x[..., 0].T, own

    def blocks(self) -> Iterator[Plan]:
        for low in range(0, max(1, self.columns.shape[1]), BLOCK):
            part = slice(low, low + BLOCK)
            yield Plan(
                self.rule,
                {n: h if np.ndim(h) == 0 else h[part] for n, h in self.hyper.items()},
                self.original,
                self.starts,
                self.surface,
                self.noise,
                self.batch,
                np.ascontiguousarray(self.columns[:, part]),
                self.streams[part],
            )

    def disturbance(self) -> Callable[[int, Any], Any] | None:
        """A function from the step t and the gradient to the gradient as the rule gets it; None if that is itself."""
        noise = self.noise
        if noise is None or noise.kind == BATCHES:
            return None
        if noise.kind == INFREQUENT:
            return lambda t, g: g if noise.comes(t) else np.concatenate([g[:-1], np.zeros_like(g[-1:])])
        distinct, place = np.unique(self.streams, return_inverse=True)
        sample = noise.sampler(distinct, self.surface.dimension)
        return lambda t, g: g + sample(t)[:, place]

    def members(self) -> Callable[[int], Any]:
        """A function from the step t to the examples that its gradient is taken of: None for all of them, or true and
        false of shape (examples, n)."""
        noise, examples = self.noise, self.surface.examples
        if noise is None or noise.kind != BATCHES:
            return lambda t: None
        assert examples is not None
        distinct, place = np.unique(self.streams, return_inverse=True)
        chosen = batches(noise, distinct, len(examples.rows))
        return lambda t: chosen(t)[:, place]


def make_plan(
    method: Recipe | Rule | str,
    surface: Surface | str,
    start: Any,
    steps: int,
    noise: Noise | None,
    streams: Any,
    hyper: Mapping[str, Any],
) -> Plan:
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 0:
        raise ValueError(f"steps must be a whole number of at least 0, got {steps!r}")
    chosen = method if isinstance(method, Recipe) else recipe(method)
    on = find_surface(surface) if isinstance(surface, str) else surface
    given = {n: h if isinstance(h, (int, float)) else np.asarray(h, dtype=float) for n, h in hyper.items()}
    values: dict[str, Any] = dict(chosen.hyper)
    for name, value in given.items():
        extremes = (value,) if isinstance(value, (int, float)) else (float(np.min(value)), float(np.max(value)))
        for extreme in extremes:
            checked = chosen.rule.check({name: extreme})[name]
        values[name] = checked if isinstance(value, (int, float)) else value
    points = np.asarray(on.start if start is None else start, dtype=float)
    if points.ndim == 0 or points.shape[-1] != on.dimension:
        raise ValueError(f"start must have {on.dimension} coordinates in its last axis, got shape {points.shape}")
    if noise is not None and noise.kind == BATCHES and on.examples is None:
        raise ValueError(f"batches are of data, and the surface {on.name} has none; such have: {_over_data()}")
    if not np.all(np.isfinite(points)):
        raise ValueError(f"start must be finite numbers, got {start!r}")
    try:
        batch = np.broadcast_shapes(points.shape[:-1], np.shape(streams), *(np.shape(h) for h in values.values()))
    except ValueError as error:
        shapes = {n: np.shape(h) for n, h in values.items() if np.ndim(h)} | {"start": points.shape[:-1]}
        raise ValueError(f"these shapes don't broadcast: {shapes}, streams {np.shape(streams)}") from error
    size = math.prod(batch)
    return Plan(
        rule=chosen.rule,
        hyper={n: h if np.ndim(h) == 0 else np.broadcast_to(h, batch).reshape(size) for n, h in values.items()},
        original=values,
        starts=chosen.start,
        surface=on,
        noise=noise,
        batch=batch,
        columns=np.stack([np.broadcast_to(points[..., i], batch).reshape(size) for i in range(on.dimension)]),
        streams=np.broadcast_to(np.asarray(streams, dtype=np.int64), batch).reshape(size),
    )


def _over_data() -> str:
    return ", ".join(name for name, found in SURFACES.items() if found.examples is not None)
