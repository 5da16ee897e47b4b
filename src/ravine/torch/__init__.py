"""torch.optim optimizers that follow a recipe."""

from ravine.torch.classes import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Lion, NAdam, RAdam, RMSprop
from ravine.torch.generic import RuleOptimizer, from_recipe

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "NAdam",
    "RAdam",
    "RMSprop",
    "RuleOptimizer",
    "from_recipe",
]
