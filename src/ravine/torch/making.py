"""The optimizer of a recipe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ravine import transforms
from ravine.recipe import Recipe, recipe
from ravine.rule import Rule
from ravine.torch.generic import RuleOptimizer
from ravine.torch.modes import ModesOptimizer, has_modes


def from_recipe(
    params: Iterable[Any],
    recipe_or_rule: Recipe | Rule | str,
    *,
    weight_decay: float | None = None,
    maximize: bool = False,
    state_dtype: torch.dtype | None = None,
    on_nonfinite: str = "propagate",
    rounding: str = "nearest",
    rounding_seed: int = 0,
    state: str | None = None,
    state_rounding: str = "stochastic",
    products: str = "float32",
    clip_global_norm: float | None = None,
    capturable: bool = False,
    **hyper: float,
) -> RuleOptimizer:
    """An optimizer over `params` for a recipe, or for a rule (or its name) with hyperparameters.

    Where a rule is evaluated at another point than it trains (Schedule-Free, averaged weights) it has `eval()` and
    `train()`, which put the parameters there and back: see `ravine.torch.modes`.

    `params` is what every torch optimizer takes: tensors, named tensors, or groups. `weight_decay` adds coupled decay
    to a rule that has none (decoupled decay is a rule of its own: "decoupled_weight_decay(…)"), `maximize` goes uphill,
    `clip_global_norm` clips all gradients together to this norm.
    `state_dtype` stores all state in another type than the parameter's, for instance torch.bfloat16; `state`
    ("float32", "bfloat16", "int8") that of parameters of at least 4,096 elements. `capturable` keeps step counts beside
    parameters on a GPU, so that CUDA graphs can capture a step, as with torch's classes. The guards are those of
    every class (see `Stepper`). Raises as `ravine.recipe` does, and TypeError for a state_dtype that is no floating
    type.
    """
    chosen = recipe_or_rule if isinstance(recipe_or_rule, Recipe) else recipe(recipe_or_rule)
    rule, values = chosen.rule, dict(chosen.hyper)
    if weight_decay is not None:
        values["weight_decay"] = weight_decay
        if "weight_decay" not in rule.hyperparameters:
            rule = transforms.weight_decay(rule)
    if maximize:
        rule = transforms.maximize(rule)
    if clip_global_norm is not None:
        values["clip_global_norm"] = clip_global_norm
        if rule.unclipped is None:
            rule = transforms.clip_global_norm(rule)
    chosen = recipe(rule, start=chosen.start, **{**values, **hyper})
    guards = {"on_nonfinite": on_nonfinite, "rounding": rounding, "rounding_seed": rounding_seed}
    stored = {"state": state, "state_rounding": state_rounding, "products": products}
    kind = ModesOptimizer if has_modes([chosen]) else RuleOptimizer
    return kind(params, chosen, state_dtype, capturable=capturable, **guards, **stored)
