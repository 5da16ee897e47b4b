"""torch.optim optimizers that follow a recipe."""

from ravine.errors import missing

try:
    from ravine.torch.classes import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Lion, NAdam, RAdam, RMSprop
    from ravine.torch.generic import RuleOptimizer, from_recipe
except ImportError as error:
    raise missing("ravine.torch", error) from error

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
