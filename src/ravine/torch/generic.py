"""An optimizer for any rule, under the rule's own names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ravine import transforms
from ravine.recipe import Recipe
from ravine.torch.kept import Kept
from ravine.torch.method import Method, method
from ravine.torch.stepper import Stepper
from ravine.torch.vectors import refuse_vectors


class RuleOptimizer(Stepper):
    """A `torch.optim.Optimizer` for any rule; the hyperparameters are keys of `param_groups`, the slots of `state`.

    A rule that looks ahead is stepped in the form for gradients taken at the stored parameter. `state_dtype` is what
    array slots are stored in, by default each parameter's own type; torch.bfloat16 moves fewer bytes in a step.
    With `capturable` step counts lie beside parameters on a GPU, so that CUDA graphs can capture a step.
    """

    def __init__(
        self,
        params: Iterable[Any],
        recipe: Recipe,
        state_dtype: torch.dtype | None = None,
        *,
        capturable: bool = False,
        **guards: Any,
    ) -> None:
        if state_dtype is not None and (not isinstance(state_dtype, torch.dtype) or not state_dtype.is_floating_point):
            raise TypeError(f"state_dtype must be a floating torch.dtype such as torch.bfloat16, got {state_dtype!r}")
        self.state_dtype = state_dtype
        self.recipe = recipe
        super().__init__(params, {**recipe.hyper, **({"capturable": True} if capturable else {})}, **guards)

    @property
    def recipe(self) -> Recipe:
        """What it was made from; `param_groups` has the values that hold now."""
        return self._recipe

    @recipe.setter
    def recipe(self, recipe: Recipe) -> None:
        self._recipe = recipe
        rule = transforms.stored_at_look_ahead(recipe.rule.stepped)
        self._found = method(rule, start=recipe.start, dtype=self.state_dtype)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group. Raises as torch does, and ValueError where a rule that multiplies matrices is given a vector."""
        super().add_param_group(param_group)
        refuse_vectors(self.recipe.rule, self.param_groups)

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
