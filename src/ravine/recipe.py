"""A rule with its hyperparameters: the value that every front end takes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ravine.engines import reference
from ravine.errors import unknown
from ravine.hyperparameter import is_number
from ravine.registry import rule as find_rule
from ravine.rule import Rule

if TYPE_CHECKING:
    import optax
    import torch

    from ravine.dialects.rewrite import Spelling


class State(NamedTuple):
    """What an optimizer remembers: the number of finished steps, and each slot by name."""

    t: int
    slots: dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """A rule and a value for each hyperparameter. Immutable, comparable, hashable; made by `ravine.recipe`.

    `start` overrides what slots hold before the first step (TensorFlow 1 starts RMSprop's `s` at one).
    """

    rule: Rule
    hyper: Mapping[str, float]
    start: Mapping[str, float]

    def __hash__(self) -> int:
        return hash((self.rule, tuple(self.hyper.items()), tuple(self.start.items())))

    def __str__(self) -> str:
        parts = [f"{n}={v!r}" for n, v in self.hyper.items()]
        parts += [f"start of {n}={v!r}" for n, v in self.start.items()]
        return f"{self.rule.name}({', '.join(parts)})"

    __repr__ = __str__

    def replace(self, **hyper: float) -> Recipe:
        """The recipe with some hyperparameters changed. Raises ValueError as `ravine.recipe` does."""
        return replace(self, hyper=MappingProxyType(self.rule.check({**self.hyper, **hyper})))

    def init(self, x: Any, state: str | None = None, *, rounding: str = "stochastic", seed: int = 0) -> State:
        """The state before the first step, for a parameter array x (NumPy, torch or JAX; floating, not empty).

        Array slots have the type of x, and its shape or what the equation makes of it (`Rule.slot_shape`). For a NumPy
        array of at least 4,096 elements `state` says in how many bits they are: "float32", or as
        `ravine.engines.storage.step.Stored` "bfloat16" and "int8", rounded at random by `seed` and the step's number,
        or to the "nearest" (`rounding`). Raises TypeError for x of a type that is not floating, ValueError for an empty
        one and for an unknown choice.
        """
        x = _parameter(x)
        if state is not None:
            return self._narrow_start(x, state, rounding, seed)
        slots = {}
        for name, slot in self.rule.slots.items():
            value = self.start.get(name, slot.start)
            shape = () if slot.is_scalar else self.rule.slot_shape(name, tuple(x.shape))
            slots[name] = value if slot.is_scalar else reference.filled(x, value, shape)
        return State(0, slots)

    def _narrow_start(self, x: Any, state: str, rounding: str, seed: int) -> State:
        from ravine.engines.storage import policy
        from ravine.engines.storage.step import store

        if not isinstance(x, np.ndarray):
            raise TypeError(f"state={state!r} is for NumPy arrays; x is of type {type(x).__name__}: use recipe.torch")
        if rounding not in ("stochastic", "nearest"):
            raise unknown("rounding", rounding, ("stochastic", "nearest"))
        kinds = policy.kinds(self.rule, state, x.size, self.start)
        slots: dict[str, Any] = {}
        for name, slot in self.rule.slots.items():
            value = self.start.get(name, slot.start)
            if slot.is_scalar:
                slots[name] = value
                continue
            full = np.full(self.rule.slot_shape(name, x.shape), value, np.float32)
            own = None if rounding == "nearest" else seed
            slots[name] = full if kinds[name] == "float32" else store(full, kinds[name], None, own)
        return State(0, slots)

    def update(self, g: Any, state: State, x: Any, **overrides: float) -> tuple[Any, State]:
        """One step: (new x, new state). Pure: nothing given is changed; results have the types of x and state.

        `g` is the gradient at x (for a rule that looks ahead: at `x + recipe.look_ahead(state)`). `overrides` are
        hyperparameters for this step only, as from a schedule. Raises ValueError for mismatched shapes or an illegal
        value, TypeError for types that are not floating.
        """
        x, g, hyper, slots = self._checked(g, state, x, overrides)
        if _is_narrow(slots):
            from ravine.engines.storage import step as narrow

            seed = narrow.run_seed(slots, state.t + 1)
            new_x, new_slots = narrow.step(self.rule, x, g, slots, state.t + 1, hyper, seed)
        else:
            new_x, new_slots = reference.step(self.rule, x, g, slots, state.t + 1, hyper)
        return new_x, State(state.t + 1, new_slots)

    def update_(self, g: Any, state: State, x: Any, **overrides: float) -> State:
        """One step in place, at the speed of memory: x and the slots' arrays are written, nothing is allocated.

        NumPy arrays only, and the bits of `update`, which steps rules that multiply matrices itself. Returns the new
        state, which holds the same arrays. Raises as `update` does, and ValueError for an array that is read-only.
        """
        from ravine.engines.fused import arrays

        if not isinstance(x, np.ndarray):
            raise TypeError(f"update_ writes to NumPy arrays; x is of type {type(x).__name__}: use update or torch")
        x, g, hyper, slots = self._checked(g, state, x, overrides)
        scalars = arrays.step(self.rule, x, g, slots, state.t + 1, hyper)
        return State(state.t + 1, {**slots, **scalars})

    def _checked(
        self, g: Any, state: State, x: Any, overrides: Mapping[str, float]
    ) -> tuple[Any, Any, Mapping[str, float], dict[str, Any]]:
        if not isinstance(state, State):
            raise TypeError(f"state must be a State, as init and update return it, got {state!r}")
        t: Any = state.t  # a number, or JAX's trace of one
        if isinstance(t, str) or (isinstance(t, (int, float)) and not (t >= 0 and float(t).is_integer())):
            raise ValueError(f"the state's t must be a whole number of at least 0, got {t!r}")
        x = _parameter(x)
        g = _array(g, "g")
        hyper = self.rule.check({**self.hyper, **overrides}) if overrides else self.hyper
        _same_shape("g", g, x)
        for name, slot in self.rule.slots.items():
            if name not in state.slots:
                has = ", ".join(state.slots) or "none"
                raise ValueError(f"state has no slot {name!r}, which {self.rule.name} needs; it has {has}")
            if not slot.is_scalar:
                if not hasattr(state.slots[name], "shape"):
                    raise TypeError(f"slot {name} must be an array, got {state.slots[name]!r}")
                wanted = self.rule.slot_shape(name, tuple(x.shape))
                _same_shape(f"slot {name}", state.slots[name], x, wanted)
        return x, g, hyper, {n: state.slots[n] for n in self.rule.slots}

    def look_ahead(self, state: State, **overrides: float) -> Any:
        """The offset from x to where the gradient is to be taken: zero for all but Nesterov's methods."""
        hyper = self.rule.check({**self.hyper, **overrides}) if overrides else self.hyper
        return self.rule.look_ahead(state.slots, hyper)

    def read_out(self, state: State, x: Any, **overrides: float) -> Any:
        """The point to evaluate, in the type and shape of x: x itself but for Schedule-Free, averaged weights and the
        like, and for them too before the first step."""
        rule = self.rule
        if rule.read_out_function is None or state.t == 0:
            return x
        hyper = rule.check({**self.hyper, **overrides}) if overrides else self.hyper
        return reference.read_out(rule, x, state.slots, hyper)

    def torch(self, params: Iterable[Any], **options: Any) -> torch.optim.Optimizer:
        """A `torch.optim.Optimizer` over `params` that follows this recipe; `options` are `ravine.torch.from_recipe`'s,
        such as state="int8"."""
        from ravine.torch import from_recipe

        return from_recipe(params, self, **options)

    def optax(self, lr: Any = None) -> optax.GradientTransformationExtraArgs:
        """An `optax.GradientTransformationExtraArgs` that follows this recipe: `ravine.optax.from_recipe`.

        `lr`, if given, is a number, a schedule, or a traced value, so `optax.inject_hyperparams(recipe.optax)` works.
        """
        from ravine.optax import from_recipe

        return from_recipe(self, **({} if lr is None else {"lr": lr}))

    def to(self, framework: str) -> Spelling:
        """The recipe in the spelling of "tensorflow", "keras", "torch" or "optax": the call, and whether it is exact.

        See `ravine.dialects.rewrite.Spelling`. Raises ValueError for another framework.
        """
        from ravine.dialects import rewrite

        return rewrite.to(self, framework)

    def to_json(self) -> str:
        """The recipe as JSON text, for `Recipe.from_json`; numbers survive exactly."""
        return json.dumps({"rule": self.rule.name, "hyper": dict(self.hyper), "start": dict(self.start)})

    @staticmethod
    def from_json(text: str) -> Recipe:
        """The recipe that `to_json` wrote. Raises ValueError for anything else.

        A rule of your own must be declared before; a file that is named in the text is not run.
        """
        try:
            data = json.loads(text)
            name, hyper, start = data["rule"], data["hyper"], data.get("start", {})
            if ":" in name:
                raise ValueError(f"{name!r} names a file, which would have to be run")
            return recipe(name, start=dict(start), **hyper)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a recipe: {text[:80]!r}: {error}; expected {{'rule': …, 'hyper': {{…}}}}") from error


def recipe(rule: Rule | str, *, start: Mapping[str, float] | None = None, **hyper: float) -> Recipe:
    """A rule (or its name, as for `ravine.rule`) with hyperparameters; those not given have the rule's defaults.

    Example: `recipe("adam", lr=1e-3)`. `start` gives slots another value before the first step. Raises ValueError for
    an unknown rule, hyperparameter or slot, or a value outside the legal range; TypeError for what is no number, and
    for a rule whose function can't be traced or doesn't return what its signature promises.
    """
    found = find_rule(rule) if isinstance(rule, str) else rule
    if not isinstance(found, Rule):
        raise TypeError(f"rule must be a Rule or a rule's name, got {rule!r}")
    _ = found.graph  # raises for a function that is no rule, before anything is done with it
    starts = dict(start or {})
    for name, value in starts.items():
        if name not in found.slots:
            raise unknown(f"slot of {found.name}", name, found.slots)
        if not is_number(value) or not np.isfinite(value):
            raise ValueError(f"{found.name}: the start of slot {name} must be a finite number, got {value!r}")
        starts[name] = float(value)
    return Recipe(found, MappingProxyType(found.check(hyper)), MappingProxyType(starts))


def _array(value: Any, name: str) -> Any:
    array = value if hasattr(value, "dtype") and hasattr(value, "shape") else np.asarray(value)
    if isinstance(array, np.generic):
        array = np.asarray(array)
    if "float" not in str(array.dtype):
        raise TypeError(
            f"{name} must be an array of a floating type, got {array.dtype}: convert it, for instance to float64"
        )
    if array.dtype.itemsize > 8:
        raise TypeError(f"{name} is of type {array.dtype}, and arithmetic is done in at most float64: convert it")
    return array


def _parameter(x: Any) -> Any:
    x = _array(x, "x")
    if 0 in x.shape:
        raise ValueError(f"x is empty (shape {tuple(x.shape)}): there is nothing to optimize")
    return x


def _is_narrow(slots: Mapping[str, Any]) -> bool:
    """Whether some slot is stored in fewer bits."""
    module = sys.modules.get("ravine.engines.storage.step")
    return module is not None and any(isinstance(s, module.Stored) for s in slots.values())


def _same_shape(name: str, array: Any, x: Any, wanted: tuple[int, ...] | None = None) -> None:
    if tuple(array.shape) != (wanted or tuple(x.shape)):
        needed = f", which needs {wanted}" if wanted and wanted != tuple(x.shape) else ""
        raise ValueError(f"{name} has shape {tuple(array.shape)}, but x has shape {tuple(x.shape)}{needed}")
