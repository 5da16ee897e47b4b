"""What the real frameworks computed, recorded by `tools/record_traces.py`, and the replay that judges a recipe by it.

from recorded import traces
for trace in traces("keras"):
    trace.replay(some_recipe).worst_ulps
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

import ravine
from ravine import Recipe, Rule, State, dialects
from ravine.convert.names import scalar_after

FRAMEWORKS = ("tensorflow", "keras", "keras_jax", "keras_legacy", "torch", "optax", "contrib")
"""The files: one a framework, one for optax.contrib, and one for what Keras computes otherwise on TensorFlow."""
OF_FRAMEWORK = {"contrib": "optax", "keras_jax": "keras"}


@dataclass(frozen=True)
class Replay:
    """How far a recipe was from a framework's parameter.

    `ulps`: of each step, taken from the framework's own parameter and state, in units in the last place of the
    framework's parameter, old or new; `state`: of each new slot after it, relative. `drift`: of the parameter in the
    whole run from x0, relative.
    """

    ulps: np.ndarray
    drift: np.ndarray
    state: np.ndarray

    @property
    def worst_ulps(self) -> float:
        return float(self.ulps.max())

    @property
    def worst_drift(self) -> float:
        return float(self.drift.max())


@dataclass(frozen=True)
class Trace:
    """One recorded run: the framework's call, the gradients (T, …) and learning rates (T,) that it was given, and the
    parameter x (T + 1, …) and the state (each (T, …), under the framework's own names) that it had."""

    framework: str
    call: str
    dtype: str
    stream: str
    gradients: np.ndarray
    lrs: tuple[float, ...]
    x: np.ndarray
    state: dict[str, np.ndarray]
    python_numbers: bool = False
    """Whether TensorFlow was given Python's numbers, which it rounds to float32."""
    narrow_products: bool = False
    """Whether torch multiplied matrices in bfloat16, as its Muon does; else its lines ran in the parameter's type."""

    def __str__(self) -> str:
        how = "-python" * self.python_numbers + "-bfloat16" * self.narrow_products
        where = f"-{self.stream}" if self.x.ndim > 2 else ""
        return f"{self.call}-{self.dtype}{where}{how}"

    @property
    def source(self) -> str:
        return f"{self.call}, recorded"

    @property
    def rule(self) -> str:
        return self.recipe.rule.name

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe that the framework's dialect makes of the call."""
        constructor, arguments = dialects.parse(self.call)
        found = constructor(**arguments)
        if not self.python_numbers:
            return found
        return found.replace(**{n: float(np.float32(v)) for n, v in found.hyper.items()})

    @cached_property
    def names(self) -> dict[str, str]:
        """The framework's names of its state by those of the recipe's slots."""
        constructor, given = dialects.parse(self.call)
        return dict(constructor.form(constructor.arguments(**given)).state_of(self.x[0].shape))

    def slots(self, t: int, recipe: Recipe) -> dict[str, Any]:
        """The framework's state after step t by the names of the recipe's slots; before the first, the recipe's own."""
        if t == 0:
            return recipe.init(self.x[0]).slots
        shape = self.x[0].shape
        result = {}
        for slot, declared in recipe.rule.slots.items():
            if slot not in self.names:  # a number that hangs on those of the steps and rates alone
                result[slot] = scalar_after(recipe, slot, t)
                continue
            name = self.names[slot]
            value = self.state[name.removeprefix("-")][t - 1]
            value = -value if name.startswith("-") else value
            result[slot] = float(value) if declared.is_scalar else value.reshape(recipe.rule.slot_shape(slot, shape))
        return result

    def replay(self, recipe: Recipe | None = None) -> Replay:
        """Judge a recipe (the dialect's own, or another one or a mutant with the same slots) by this run."""
        ulps, drift, state = zip(*self._steps(recipe or self.recipe), strict=True)
        return Replay(np.array(ulps), np.array(drift), np.array([0.0, *(s for found in state for s in found)]))

    def _steps(self, chosen: Recipe) -> Iterator[tuple[np.ndarray, np.ndarray, list[float]]]:
        """What `Replay` has of each step: ulps, drift, and of the state the worst of each slot."""
        x, state = self.x[0], chosen.init(self.x[0])
        for t, (g, lr) in enumerate(zip(self.gradients, self.lrs, strict=True)):
            locked = State(t, self.slots(t, chosen))
            stepped, after = chosen.update(g, locked, self.x[t], lr=lr)
            kept = [
                np.max(np.abs(after.slots[slot] - theirs) / np.maximum(np.abs(theirs), 1e-30))
                for slot, theirs in self.slots(t + 1, chosen).items()
            ]
            x, state = chosen.update(g, state, x, lr=lr)
            size = np.abs(self.x[t + 1])
            size = size.max() if size.ndim > 1 else size  # in a matrix a sum's error is of its largest term
            apart = np.abs(x - self.x[t + 1]) / np.where(size > 0, size, 1.0)  # FTRL makes some exactly zero
            larger = np.maximum(size, np.abs(self.x[t]))  # x + step is rounded where it begins or ends
            yield np.abs(stepped - self.x[t + 1]) / np.spacing(larger), apart, kept

    def agrees(self, rule: Rule) -> bool:
        """Whether a rule (the recipe's own, or a mutant of it) follows this float64 run, state and all, to rounding."""
        chosen = ravine.recipe(rule, start=self.recipe.start, **self.recipe.hyper)
        return all(
            np.all(ulps <= 2) and np.all(drift <= 1e-12) and np.all(np.array(state) <= 1e-13)
            for ulps, drift, state in self._steps(chosen)
        )


@cache
def about(framework: str) -> dict[str, Any]:
    """The framework's versions and constructors' signatures, as recorded."""
    with np.load(Path(__file__).parent / f"{framework}.npz", allow_pickle=False) as file:
        found: dict[str, Any] = json.loads(str(file["about"]))
    return found


@cache
def traces(framework: str) -> tuple[Trace, ...]:
    """Every recorded run of a framework."""
    return tuple(_read(framework))


def all_traces() -> tuple[Trace, ...]:
    """Every recorded run."""
    return tuple(t for f in FRAMEWORKS for t in traces(f))


def _read(framework: str) -> Iterator[Trace]:
    facts = about(framework)
    with np.load(Path(__file__).parent / f"{framework}.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if name != "about"}
    position = {"float32": 0, "float64": 0}
    for entry in facts["traces"]:
        dtype = entry["dtype"]
        found = {}
        for name, shape in entry["arrays"].items():
            start = position[dtype]
            position[dtype] += int(np.prod(shape))
            found[name] = arrays[dtype][start : position[dtype]].reshape(shape)
        x0 = arrays.get(f"x0.{entry['stream']}", arrays.get("x0")).astype(dtype)
        gradients = arrays[f"stream.{entry['stream']}"].astype(dtype)
        _, given = dialects.parse(entry["call"])
        lr = given["lr" if framework == "torch" else "learning_rate"]
        lrs = [lr if t < facts["drop"] else lr * 0.1 for t in range(len(gradients))]
        rounded = entry.get("python_numbers", False)
        lrs = [float(np.float32(v)) for v in lrs] if rounded else lrs
        x = np.concatenate([x0[None], found.pop("x")])
        narrow = entry.get("narrow_products", False)
        yield Trace(
            OF_FRAMEWORK.get(framework, framework),
            entry["call"],
            dtype,
            entry["stream"],
            gradients,
            tuple(lrs),
            x,
            found,
            rounded,
            narrow,
        )
