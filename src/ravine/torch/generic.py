"""An optimizer for any rule, under the rule's own names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ravine import transforms
from ravine.recipe import Recipe, recipe
from ravine.rule import Rule
from ravine.torch.kept import Kept
from ravine.torch.method import Method, method
from ravine.torch.stepper import Stepper


class RuleOptimizer(Stepper):
    """A `torch.optim.Optimizer` for any rule; the hyperparameters are keys of `param_groups`, the slots of `state`.

    A rule that looks ahead is stepped in the form for gradients taken at the stored parameter. `state_dtype` is what
    array slots are stored in, by default each parameter's own type; torch.bfloat16 moves fewer bytes in a step.
    """

    def __init__(
        self, params: Iterable[Any], recipe: Recipe, state_dtype: torch.dtype | None = None, **guards: Any
    ) -> None:
        if state_dtype is not None and (not isinstance(state_dtype, torch.dtype) or not state_dtype.is_floating_point):
            raise TypeError(f"state_dtype must be a floating torch.dtype such as torch.bfloat16, got {state_dtype!r}")
        self.state_dtype = state_dtype
        self.recipe = recipe
        super().__init__(params, dict(recipe.hyper), **guards)

    @property
    def recipe(self) -> Recipe:
        """What it was made from; `param_groups` has the values that hold now."""
        return self._recipe

    @recipe.setter
    def recipe(self, recipe: Recipe) -> None:
        self._recipe = recipe
        rule = recipe.rule.unclipped or recipe.rule  # the gradients are clipped before
        self._found = method(transforms.stored_at_look_ahead(rule), start=recipe.start, dtype=self.state_dtype)

    def _method(self, group: Mapping[str, Any]) -> Method:
        return self._found

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "state_dtype": self.state_dtype, "recipe": Kept(self.recipe)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "recipe" in state:  # a copy or a pickle, not a loaded state dict
            self.state_dtype = state.pop("state_dtype")
            kept = state.pop("recipe")
            self.recipe = kept.recipe if isinstance(kept, Kept) else Recipe.from_json(kept)  # text, from older pickles
        super().__setstate__(state)


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
    clip_global_norm: float | None = None,
    **hyper: float,
) -> RuleOptimizer:
    """An optimizer over `params` for a recipe, or for a rule (or its name) with hyperparameters.

    `params` is what every torch optimizer takes: tensors, named tensors, or groups. `weight_decay` adds coupled decay
    to a rule that has none (decoupled decay is a rule of its own: "decoupled_weight_decay(…)"), `maximize` goes uphill,
    `clip_global_norm` clips all gradients together to this norm.
    `state_dtype` stores all state in another type than the parameter's, for instance torch.bfloat16; `state`
    ("float32", "bfloat16", "int8") that of parameters of at least 4,096 elements. The guards are those of every class
    (see `Stepper`). Raises as `ravine.recipe` does, and TypeError for a state_dtype that is no
    floating type.
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
    stored = {"state": state, "state_rounding": state_rounding}
    return RuleOptimizer(params, chosen, state_dtype, **guards, **stored)
