"""The names under which each framework keeps an optimizer's state, from the dialects' tables, in both directions.

| framework | a slot | counted steps |
|---|---|---|
| torch | `weight.exp_avg` (the parameter's name or number) | `weight.step`, for each parameter |
| keras | `weight_momentum`, the last part of the variable's path | `iteration` |
| tensorflow | `weight/rms`, by `get_slot`'s names | `beta1_power` and `beta2_power`, Adam alone |
| optax | `0.mu.weight`, the leaf's path | `0.count`, where the state has one |
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ravine.convert.state import OptimizerState, Slots
from ravine.dialects.spelling import Constructor
from ravine.dialects.table import Arguments, Form
from ravine.errors import unknown
from ravine.rule import Rule, rule

Tensors = dict[str, np.ndarray]

SEPARATOR = {"torch": ".", "keras": "_", "tensorflow": "/", "optax": "."}
GLOBAL = {"keras": ("u_product",)}
"""Scalar slots that a framework keeps once for all parameters."""


UNUSED = {"tensorflow.RMSPropOptimizer": ("momentum",)}
"""What an optimizer keeps in any case, but reads only in a form that has a slot for it."""


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
    """The state as tensors by the framework's own names."""
    framework, form, found = state.constructor.framework, state.form, rule(state.form.rule)
    tensors: Tensors = {}
    for param, own in state.slots.items():
        for slot, value in own.items():
            key = form.state[slot]
            shared = key in GLOBAL.get(framework, ())
            tensors[key if shared else join(framework, param, key.lstrip("-"))] = -value if key[0] == "-" else value
        if framework == "torch" and "t" in form.state:
            tensors[join(framework, param, "step")] = np.array(_steps(state, found), np.float32)
    if framework == "keras":
        tensors["iteration"] = np.array(_steps(state, found), np.int64)
        tensors["learning_rate"] = np.array(state.recipe.hyper["lr"], np.float32)
    if framework == "optax" and "t" in form.state:
        tensors[form.state["t"]] = np.array(_steps(state, found), np.int32)
    if framework == "tensorflow" and form.rule == "adam_eps_hat":
        for which in ("1", "2"):
            power = state.recipe.hyper[f"beta{which}"] ** (_steps(state, found) + 1)
            tensors[f"beta{which}_power"] = np.array(power, np.float32)
    return tensors


def read(
    tensors: Mapping[str, np.ndarray],
    constructor: Constructor,
    arguments: Arguments,
    call: str,
    *,
    step: int | None = None,
    types: Mapping[str, str] | None = None,
) -> OptimizerState:
    """The state in a framework's tensors. Raises ValueError for a missing, unknown or misshapen one, by name."""
    framework, form = constructor.framework, constructor.form(arguments)
    found = rule(form.rule)
    by_key = {form.state[slot].lstrip("-"): slot for slot in found.slots}
    counts = ["step"] if framework == "torch" else []
    unused = [k for k in UNUSED.get(str(constructor), ()) if k not in by_key]
    shared = set(GLOBAL.get(framework, ()))
    params: Slots = {}
    scalars: Tensors = {}
    steps: dict[str, Any] = {}
    for name, value in tensors.items():
        if _is_global(framework, name, shared):
            scalars[name] = value
            continue
        place = split(framework, name, [*(k for k in by_key if k not in shared), *counts, *unused])
        if place is None:
            known = [join(framework, "PARAMETER", k) for k in [*by_key, *counts]]
            raise unknown(f"tensor for {constructor}:", name, known)
        param, key = place
        if key in counts:
            steps[param] = value
        elif key not in unused:
            slot = by_key[key]
            params.setdefault(param, {})[slot] = -value if form.state[slot].startswith("-") else value
    for slot in (s for k, s in by_key.items() if k in shared):
        if form.state[slot] not in scalars:
            raise ValueError(f"{constructor} needs {form.state[slot]!r}, which is missing")
        for own in params.values():
            own[slot] = scalars[form.state[slot]]
    _complete(params, found, framework, form)
    t = step if step is not None else _counted(framework, scalars, steps, constructor, arguments)
    return OptimizerState(call, t, params, dict(types or {}))


def _is_global(framework: str, name: str, shared: set[str]) -> bool:
    pattern = {
        "keras": r"iteration|learning_rate",
        "tensorflow": r"beta[12]_power",
        "optax": r"\d+\.count",
        "torch": r"(?!)",
    }
    return name in shared or re.fullmatch(pattern[framework], name) is not None


def _complete(params: Slots, found: Rule, framework: str, form: Form) -> None:
    if found.slots and not params:
        raise ValueError(
            f"there is no state of {found.name} in the file: it should have {_first_name(framework, form)}"
        )
    for param, own in params.items():
        for slot, declared in found.slots.items():
            if slot not in own:
                raise ValueError(f"{join(framework, param, form.state[slot].lstrip('-'))!r} is missing")
            if declared.is_scalar and own[slot].size != 1:
                raise ValueError(f"{form.state[slot]} of {param!r} must be one number, got shape {own[slot].shape}")
        shapes = {n: v.shape for n, v in own.items() if not found.slots[n].is_scalar}
        if len(set(shapes.values())) > 1:
            listed = ", ".join(f"{form.state[n].lstrip('-')} {shape}" for n, shape in shapes.items())
            raise ValueError(f"the tensors of {param!r} must have one shape, got {listed}")
        for slot, value in own.items():
            if value.dtype.kind != "f":
                raise ValueError(f"{form.state[slot].lstrip('-')} of {param!r} must be floating, got {value.dtype}")


def _first_name(framework: str, form: Form) -> str:
    return repr(join(framework, "PARAMETER", next(iter(v for k, v in form.state.items() if k != "t")).lstrip("-")))


def _counted(
    framework: str, scalars: Tensors, steps: dict[str, Any], constructor: Constructor, arguments: Arguments
) -> int | None:
    """The number of finished steps that the tensors tell, None where they tell none."""
    if framework == "torch":
        found = {int(np.asarray(s).item()) for s in steps.values()}
        if len(found) > 1:
            raise ValueError(
                f"the parameters are at different steps, {sorted(found)}: no other framework can keep that"
            )
        return found.pop() if found else None
    if framework == "tensorflow":
        hyper = constructor.recipe(arguments).hyper
        for which in ("2", "1"):
            if f"beta{which}_power" in scalars:
                return _from_power(float(scalars[f"beta{which}_power"]), hyper[f"beta{which}"])
        return None
    name = "iteration" if framework == "keras" else constructor.form(arguments).state.get("t", "")
    return int(scalars[name].item()) if name in scalars else None


def _from_power(power: float, beta: float) -> int:
    """The t of βᵗ⁺¹, which TensorFlow multiplies up in float32."""
    if not 0 < power < 1:
        raise ValueError(f"the step can't be told from a beta power of {power:g}: give it (step)")
    t = round(math.log(power) / math.log(beta)) - 1
    if abs(beta ** (t + 1) / power - 1) > 0.4 * (1 - beta):
        raise ValueError(f"the beta power {power:g} is no power of {beta:g}: the optimizer is another one")
    return t


def _steps(state: OptimizerState, found: Rule) -> int:
    if state.t is not None:
        return state.t
    if any(n.op == "power" for n in found.graph.nodes):
        raise ValueError(f"{state.call} counts its steps, and the source doesn't say how many are done: give it (step)")
    return 1  # enough for what only asks whether a step was done
