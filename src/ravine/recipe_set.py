"""Several recipes, each for a part of the parameters: one method for the hidden matrices and another for the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ravine.errors import unknown
from ravine.recipe import Recipe, recipe

if TYPE_CHECKING:
    import optax
    import torch
    from torch.nn import Module

    from ravine.torch.assign import Assignment

CLIP = "clip_global_norm"
DECAYS = ("weight_decay", "decoupled_weight_decay", "lr_decay")
"""Transforms that do nothing where their hyperparameter is zero, so that one group may have them and another not."""


@dataclass(frozen=True)
class RecipeSet(Mapping[str, Recipe]):
    """Recipes by the name of their part. Immutable, comparable, hashable; made by `ravine.recipes`."""

    by_part: Mapping[str, Recipe]

    def __getitem__(self, part: str) -> Recipe:
        return self.by_part[part]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_part)

    def __len__(self) -> int:
        return len(self.by_part)

    def __hash__(self) -> int:
        return hash(tuple(self.by_part.items()))

    def __str__(self) -> str:
        width = max(map(len, self.by_part))
        return "\n".join(f"{part:{width}}  {chosen}" for part, chosen in self.by_part.items())

    def torch(
        self,
        params: Module | Mapping[str, Iterable[Any]],
        *,
        told: Mapping[str, str] | None = None,
        no_decay: bool | Iterable[str] = False,
        layer_decay: float = 1.0,
        **options: Any,
    ) -> torch.optim.Optimizer:
        """One `torch.optim.Optimizer` whose groups each follow the recipe of their part.

        `params` is a model: then parts are roles ("embedding", "head", "matrix", "convolution", "depthwise", "gain",
        "bias"), "hidden" (matrices and convolutions) and "rest", and `ravine.torch.roles(model, told)` finds them. The
        result's `table()` says what each parameter follows. `no_decay` sets the weight decay of some roles to zero;
        True means embeddings, gains and biases. `layer_decay` multiplies the learning rate once for every block that
        lies between a parameter's and the output. `assign` gives the same as a table before anything is made.

        Or `params` maps every part to its tensors, or (name, tensor) pairs, whatever the parts' names; a part may be
        empty. `options` are those of `ravine.torch.SetOptimizer`: `state_dtype`, `capturable` and the guards. Raises
        TypeError for bare parameters; ValueError for a part that is unknown or missing, as `roles` does, for a method
        of matrices on a vector, and where not all parts have the same `clip_global_norm`, which is for all parameters
        together.
        """
        import torch

        from ravine.torch.modes import ModesSetOptimizer, has_modes
        from ravine.torch.sets import SetOptimizer

        self._clipping()  # raises where the parts differ
        kind = ModesSetOptimizer if has_modes(self.by_part.values()) else SetOptimizer
        if isinstance(params, torch.nn.Module):
            return kind.assigned(self.assign(params, told, no_decay, layer_decay), **options)
        if not isinstance(params, Mapping):
            raise TypeError(
                "params must be the model, or a mapping from parts to parameters: from parameters alone it can't be "
                f"told what each is for; got {type(params).__name__}"
            )
        if told is not None or no_decay is not False or layer_decay != 1.0:
            raise ValueError("told, no_decay and layer_decay are for a model: give the model instead of its parameters")
        for part in params:
            if part not in self.by_part:
                raise unknown("part", part, self.by_part)
        for part in self.by_part:
            if part not in params:
                raise ValueError(f"there are no parameters for the part {part!r}: give a list, if need be an empty one")
        groups = [{"params": list(params[part]), "name": part, "recipe": own} for part, own in self.by_part.items()]
        return kind(groups, **options)

    def assign(
        self,
        model: Module,
        told: Mapping[str, str] | None = None,
        no_decay: bool | Iterable[str] = False,
        layer_decay: float = 1.0,
    ) -> Assignment:
        """What `torch(model)` would do: a table of parameter, role, rule and hyperparameters. Raises as it does."""
        from ravine.torch.assign import assign

        return assign(self.by_part, model, told, no_decay, layer_decay)

    def optax(self, labels: Any) -> optax.GradientTransformationExtraArgs:
        """An `optax.multi_transform` that follows each recipe on its part.

        `labels` is a tree like the parameters, or a prefix of it, or a function from the parameters to one; its leaves
        name the parts. With two parts they may be booleans, as in optax's masks: true means the first part.
        """
        import jax
        import optax

        parts = list(self.by_part)

        def name(label: Any) -> Any:
            return parts[not label] if isinstance(label, bool) and len(parts) == 2 else label

        def named(params: Any) -> Any:
            return jax.tree.map(name, labels(params) if callable(labels) else labels)

        clip, unclipped = self._clipping()
        transforms = {part: chosen.optax() for part, chosen in unclipped.items()}
        parted = optax.multi_transform(transforms, named if callable(labels) else named(None))
        return parted if clip is None else optax.chain(optax.clip_by_global_norm(clip), parted)

    def _clipping(self) -> tuple[float | None, Mapping[str, Recipe]]:
        """The norm to which the gradients of all parts together are clipped, if so, and the recipes without that."""
        bounds = {chosen.hyper.get(CLIP) if chosen.rule.unclipped else None for chosen in self.by_part.values()}
        if len(bounds) > 1:
            raise ValueError(f"{CLIP} is for all parts together, so they must have the same, got {self}")
        return bounds.pop(), {part: unclipped(chosen) for part, chosen in self.by_part.items()}

    def to_json(self) -> str:
        """The set as JSON text, for `RecipeSet.from_json`; numbers survive exactly."""
        return json.dumps({part: json.loads(chosen.to_json()) for part, chosen in self.by_part.items()})

    @staticmethod
    def from_json(text: str) -> RecipeSet:
        """The set that `to_json` wrote. Raises ValueError for anything else, as `Recipe.from_json` does."""
        try:
            found = json.loads(text)
            return recipes(**{part: Recipe.from_json(json.dumps(own)) for part, own in found.items()})
        except (ValueError, AttributeError, TypeError) as error:
            raise ValueError(f"not a set of recipes: {text[:80]!r}: {error}") from error


def recipes(**by_part: Recipe) -> RecipeSet:
    """A set of recipes by the name of their part, such as `recipes(hidden=recipe("lion"), rest=recipe("adamw"))`.

    Parts may be roles of a model's parameters, which `RecipeSet.torch` tells from the model, or names of your own.
    Raises ValueError where there is none, TypeError for what is no recipe.
    """
    if not by_part:
        raise ValueError("a set of recipes needs at least one, as in recipes(rest=recipe('adam'))")
    for part, chosen in by_part.items():
        if not isinstance(chosen, Recipe):
            raise TypeError(f"{part} must be a Recipe, as ravine.recipe makes it, got {chosen!r}")
    return RecipeSet(MappingProxyType(dict(by_part)))


def unclipped(chosen: Recipe) -> Recipe:
    """The recipe without `clip_global_norm`, for whoever clips before; one without that as it is."""
    if chosen.rule.unclipped is None:
        return chosen
    hyper = {n: v for n, v in chosen.hyper.items() if n != CLIP}
    return recipe(chosen.rule.unclipped, start=chosen.start, **hyper)


def one_rule(given: Sequence[Recipe]) -> list[Recipe]:
    """The recipes, all written with the rule that has the most decays: where one has none, its value is zero.

    Raises ValueError where they follow different rules.
    """
    from ravine.dialects.terms import take_apart

    target = max(given, key=lambda r: len(r.rule.hyperparameters)).rule
    found = []
    for each in given:
        lacking = target.hyperparameters.keys() - each.rule.hyperparameters.keys()
        extra = each.rule.hyperparameters.keys() - target.hyperparameters.keys()
        alike = None
        if lacking <= set(DECAYS) and not extra:
            alike = recipe(target, start=each.start, **each.hyper, **dict.fromkeys(lacking, 0.0))
        if alike is None or take_apart(alike) != take_apart(each):
            raise ValueError(
                f"the parts follow different rules, {each.rule.name} and {target.name}: make an optimizer for each"
            )
        found.append(alike)
    return found
