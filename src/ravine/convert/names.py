"""The names under which each framework keeps an optimizer's state, from the dialects' tables, in both directions.

| framework | a slot | counted steps |
|---|---|---|
| torch | `weight.exp_avg` (the parameter's name or number) | `weight.step`, for each parameter |
| keras | `weight_momentum`, the last part of the variable's path | `iteration` |
| keras_legacy | `weight/rms`, by the slots' names | `iter` |
| tensorflow | `weight/rms`, by `get_slot`'s names | `beta1_power` and `beta2_power`, Adam alone |
| optax | `0.mu.weight`, the leaf's path | `0.count`, or `count` where the state itself has none |
| ravine | `weight.m`, by the rule's own names | `weight.step`, for each parameter |
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np

from ravine import dialects
from ravine.convert import rule_state, shares
from ravine.convert.kept import RAVINE, Kept, counts_steps, kept
from ravine.convert.optax_tree import constants, inside
from ravine.convert.state import OptimizerState, Slots
from ravine.dialects.table import Form
from ravine.errors import unknown
from ravine.recipe import Recipe
from ravine.trace.graph import evaluate

Tensors = dict[str, np.ndarray]

SEPARATOR = {"torch": ".", "keras": "_", "keras_legacy": "/", "tensorflow": "/", "optax": ".", "ravine": "."}
COUNTED_EACH = ("torch", "ravine")
"""Who counts the steps of each parameter, under this name."""

STEP = "step"
GLOBAL = {"keras": ("u_product",), "keras_legacy": ("momentum_cache",), "optax": ("max_lr", "weight_sum")}
"""Scalar slots that a framework keeps once for all parameters."""

_UNNAMED = re.compile(r"variable(_\d+)?")
"""What Keras calls a variable that it gives no name, as Nadam's product."""


UNUSED = {
    "tensorflow.RMSPropOptimizer": ("momentum",),
    "torch.SGD": ("momentum_buffer",),
    "torch.RMSprop": ("momentum_buffer", "grad_avg"),
}
"""What an optimizer can keep without reading it: in TensorFlow always, in torch from before an option was changed."""


def join(framework: str, param: str, key: str) -> str:
    """The name of a parameter's tensor."""
    parts = (key, param) if framework == "optax" else (param, key)
    return SEPARATOR[framework].join(parts) if param else key


def split(framework: str, name: str, keys: list[str]) -> tuple[str, str] | None:
    """(parameter, key) of a tensor's name, for the longest key that fits; None where none does."""
    mark = SEPARATOR[framework]
    for key in sorted(keys, key=len, reverse=True):
        if name == key:
            return "", key
        if framework == "optax" and name.startswith(key + mark):
            return name.removeprefix(key + mark), key
        if framework != "optax" and name.endswith(mark + key):
            return name.removesuffix(mark + key), key
    return None


def write(state: OptimizerState) -> Tensors:
    """The state as tensors by the framework's own names. Raises ValueError for steps that it can't hold."""
    framework, form, found = state.kept.framework, state.kept.form, state.recipe.rule
    tensors: Tensors = {}
    for param, own in state.slots.items():
        for key, value in shares.given(state.kept, own).items():
            shared = key in GLOBAL.get(framework, ())
            tensors[key if shared else join(framework, param, key)] = value
        if framework in COUNTED_EACH and "t" in form.state and (own or found.slots):
            tensors[join(framework, param, STEP)] = np.array(_steps(state, param), np.float32)
    if framework == "keras":
        tensors["iteration"] = np.array(_steps(state), np.int64)
        tensors["learning_rate"] = np.array(state.recipe.hyper["lr"], np.float32)
    if framework == "keras_legacy":
        tensors["iter"] = np.array(_steps(state), np.int64)
    if framework == "optax" and ("t" in form.state or state.t is not None):
        tensors[form.state.get("t", "count")] = np.array(_steps(state), np.int32)
    if framework == "tensorflow" and form.rule == "adam_eps_hat":
        for which in ("1", "2"):
            power = state.recipe.hyper[f"beta{which}"] ** (_steps(state) + 1)
            tensors[f"beta{which}_power"] = np.array(power, np.float32)
    return tensors


def read(
    tensors: Mapping[str, np.ndarray], call: str, *, step: int | None = None, types: Mapping[str, str] | None = None
) -> OptimizerState:
    """The state in a framework's tensors. Raises ValueError for a missing, unknown or misshapen one, by name."""
    source = kept(call)
    framework, form, found = source.framework, source.form, source.recipe.rule
    by_key = {form.state[slot].lstrip("-"): slot for slot in found.slots}
    known_keys = [*by_key, *filter(None, (form.whole, *form.idle))]
    counts = [STEP] if framework in COUNTED_EACH else []
    unused = [k for k in UNUSED.get(str(source), ()) if k not in by_key]
    shared = set(GLOBAL.get(framework, ()))
    stored: dict[str, Tensors] = {}
    scalars: Tensors = {}
    steps: dict[str, int] = {}
    left: tuple[str, ...] = ()
    if framework == "optax":
        _check_constants(constants(tensors), call)
        tensors, left = inside(tensors, known_keys)
    elif framework == RAVINE and rule_state.is_inside(tensors):
        tensors, left = rule_state.own_names(tensors)
    for name, value in tensors.items():
        if _is_global(framework, name, shared):
            scalars[_UNNAMED.sub("u_product", name) if framework == "keras" else name] = value
            continue
        place = split(framework, name, [*(k for k in known_keys if k not in shared), *counts, *unused])
        if place is None:
            known = [join(framework, "PARAMETER", k) for k in [*by_key, *counts]]
            raise unknown(f"tensor for {source}:", name, known)
        param, key = place
        if key in counts:
            steps[param] = int(np.asarray(value).item())
        elif key not in unused:
            stored.setdefault(param, {})[key] = value
    params = {param: shares.taken(source, param, own) for param, own in stored.items()}
    t = step if step is not None else max(steps.values(), default=None) or _counted(source, scalars)
    for own in params.values():
        own |= {by_key[k]: scalars[k] for k in shared & by_key.keys() & scalars.keys()}
    own_steps = {p: s for p, s in steps.items() if s != t and step is None}
    _complete(params, source, t, own_steps)
    return OptimizerState(call, t, params, dict(types or {}), own_steps, left)


def _check_constants(told: Mapping[str, float], call: str) -> None:
    """Raise ValueError where a state has another value for an argument than the call."""
    constructor, given = dialects.parse(call)
    for name, value in constructor.arguments(**given).items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and name in told and not math.isclose(told[name], value, rel_tol=1e-6):
            raise ValueError(f"the state is of {name}={told[name]:g}, and {constructor} was given {value:g}")


def _is_global(framework: str, name: str, shared: set[str]) -> bool:
    pattern = {
        "keras": r"iteration|learning_rate|variable(_\d+)?",
        "keras_legacy": r"iter|learning_rate|decay|beta_[12]|rho|momentum|momentum_cache",
        "tensorflow": r"beta[12]_power",
        "optax": r"(\d+\.)?count",
        "torch": r"(?!)",
        "ravine": r"(?!)",
    }
    return name in shared or re.fullmatch(pattern[framework], name) is not None


def _complete(params: Slots, source: Kept, t: int | None, steps: Mapping[str, int]) -> None:
    """Check every parameter's slots, and compute the scalar ones that a framework does not save."""
    framework, form, found = source.framework, source.form, source.recipe.rule
    if found.slots and not params:
        raise ValueError(
            f"there is no state of {found.name} in the file: it should have {_first_name(framework, form)}"
        )
    for param, own in params.items():
        for slot, declared in found.slots.items():
            if slot not in own and declared.is_scalar and t is not None:
                own[slot] = np.array(scalar_after(source.recipe, slot, steps.get(param, t)), np.float32)
            if slot not in own:
                raise ValueError(f"{join(framework, param, form.state[slot].lstrip('-'))!r} is missing")
            if declared.is_scalar and own[slot].size != 1:
                raise ValueError(f"{form.state[slot]} of {param!r} must be one number, got shape {own[slot].shape}")
        less = shares.shares(found)
        shapes = {n: v.shape for n, v in own.items() if not found.slots[n].is_scalar}
        if len({shape for n, shape in shapes.items() if n not in less}) > 1 or not shares.fits(found, own):
            listed = ", ".join(f"{form.state[n].lstrip('-')} {shape}" for n, shape in shapes.items())
            raise ValueError(f"the tensors of {param!r} must have one shape, got {listed}")
        for slot, value in own.items():
            if value.dtype.kind != "f":
                raise ValueError(f"{form.state[slot].lstrip('-')} of {param!r} must be floating, got {value.dtype}")


def scalar_after(recipe: Recipe, slot: str, t: int) -> float:
    """What a scalar slot is after t steps: it hangs on their number alone, as NAdam's product does."""
    values: dict[str, float] = {n: recipe.start.get(n, s.start) for n, s in recipe.rule.slots.items() if s.is_scalar}
    for now in range(1, t + 1):
        known = {**recipe.hyper, **values, "t": float(now)}
        values = dict(zip(values, evaluate([recipe.rule.graph.slots[n] for n in values], known), strict=True))
    return values[slot]


def _first_name(framework: str, form: Form) -> str:
    return repr(join(framework, "PARAMETER", next(iter(v for k, v in form.state.items() if k != "t")).lstrip("-")))


def _counted(source: Kept, scalars: Tensors) -> int | None:
    """The number of finished steps that the numbers kept once for all parameters tell, None where they tell none."""
    if source.framework == "tensorflow":
        for which in ("2", "1"):
            if f"beta{which}_power" in scalars:
                return _from_power(float(scalars[f"beta{which}_power"]), source.recipe.hyper[f"beta{which}"])
        return None
    name = {"keras": "iteration", "keras_legacy": "iter"}.get(source.framework, "count")
    return int(np.asarray(scalars[name]).item()) if name in scalars else None


def _from_power(power: float, beta: float) -> int:
    """The t of βᵗ⁺¹, which TensorFlow multiplies up in float32."""
    if not 0 < power < 1:
        raise ValueError(f"the step can't be told from a beta power of {power:g}: give it (step)")
    t = round(math.log(power) / math.log(beta)) - 1
    if abs(beta ** (t + 1) / power - 1) > 0.4 * (1 - beta):
        raise ValueError(f"the beta power {power:g} is no power of {beta:g}: the optimizer is another one")
    return t


def _steps(state: OptimizerState, param: str | None = None) -> int:
    """How many steps a parameter, or with None all of them, have taken. Raises ValueError where that must be known."""
    matters = counts_steps(state.recipe)
    if param is None and state.steps and matters:
        found = sorted({*state.steps.values(), *([] if state.t is None else [state.t])})
        raise ValueError(f"the parameters are at different steps, {found}: {state.kept} can't keep that")
    t = state.t if param is None else state.steps.get(param, state.t)
    if t is None and matters:
        raise ValueError(f"{state.kept} counts its steps, and the source doesn't say how many are done: give it (step)")
    return int(param is not None) if t is None else t  # the first step is another one in some equations
