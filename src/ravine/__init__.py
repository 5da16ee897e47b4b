"""Ravine: first-order optimizers, each written once as its equation."""

from ravine.hyperparameter import Range
from ravine.minimize import minimize
from ravine.recipe import Recipe, State, recipe
from ravine.recipe_set import RecipeSet, recipes
from ravine.registry import rule, rules
from ravine.rule import Rule

__all__ = ["Range", "Recipe", "RecipeSet", "Rule", "State", "minimize", "recipe", "recipes", "rule", "rules"]
__version__ = "0.1.0"
