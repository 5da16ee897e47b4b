"""torch.optim optimizers that follow a recipe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ravine.engines import eager
from ravine.recipe import Recipe, recipe
from ravine.rule import Rule
from ravine.transforms import stored_at_look_ahead


class RuleOptimizer(torch.optim.Optimizer):
    """A `torch.optim.Optimizer` for any rule; the hyperparameters are keys of `param_groups`, the slots of `state`."""

    def __init__(self, params: Iterable[Any], recipe: Recipe) -> None:
        self.rule = stored_at_look_ahead(recipe.rule)
        self.start = {n: recipe.start.get(n, s.start) for n, s in recipe.rule.slots.items()}
        super().__init__(params, dict(recipe.hyper))

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            hyper = {n: group[n] for n in self.rule.hyperparameters}
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    for n, s in self.rule.slots.items():
                        state[n] = self.start[n] if s.is_scalar else torch.full_like(p, self.start[n])
                state["step"] += 1
                slots = {n: state[n] for n in self.rule.slots}
                state.update(eager.step(self.rule, p, p.grad, slots, state["step"], hyper))
        return loss


def from_recipe(params: Iterable[Any], recipe_or_rule: Recipe | Rule | str, **hyper: float) -> RuleOptimizer:
    """An optimizer over `params` for a recipe, or for a rule (or its name) with hyperparameters."""
    chosen = recipe_or_rule if isinstance(recipe_or_rule, Recipe) else recipe(recipe_or_rule)
    return RuleOptimizer(params, chosen.replace(**hyper))
