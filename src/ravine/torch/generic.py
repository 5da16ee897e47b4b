"""An optimizer for any rule, under the rule's own names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ravine.recipe import Recipe, recipe
from ravine.rule import Rule
from ravine.torch.method import Method, method
from ravine.torch.stepper import Stepper
from ravine.transforms import stored_at_look_ahead


class RuleOptimizer(Stepper):
    """A `torch.optim.Optimizer` for any rule; the hyperparameters are keys of `param_groups`, the slots of `state`.

    A rule that looks ahead is stepped in the form for gradients taken at the stored parameter.
    """

    def __init__(self, params: Iterable[Any], recipe: Recipe) -> None:
        self.recipe = recipe
        super().__init__(params, dict(recipe.hyper))

    @property
    def recipe(self) -> Recipe:
        """What it was made from; `param_groups` has the values that hold now."""
        return self._recipe

    @recipe.setter
    def recipe(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._found = method(stored_at_look_ahead(recipe.rule), start=recipe.start)

    def _method(self, group: Mapping[str, Any]) -> Method:
        return self._found

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "recipe": self.recipe.to_json()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "recipe" in state:  # a copy or a pickle, not a loaded state dict
            self.recipe = Recipe.from_json(state.pop("recipe"))
        super().__setstate__(state)


def from_recipe(params: Iterable[Any], recipe_or_rule: Recipe | Rule | str, **hyper: float) -> RuleOptimizer:
    """An optimizer over `params` for a recipe, or for a rule (or its name) with hyperparameters.

    `params` is what every torch optimizer takes: tensors, named tensors, or groups. Raises as `ravine.recipe` does.
    """
    chosen = recipe_or_rule if isinstance(recipe_or_rule, Recipe) else recipe(recipe_or_rule)
    return RuleOptimizer(params, chosen.replace(**hyper))
