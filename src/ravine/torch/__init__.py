"""torch.optim optimizers that follow a recipe."""

from ravine.errors import missing

try:
    from ravine.torch.adafactor import Adafactor
    from ravine.torch.classes import (
        ASGD,
        SGD,
        Adadelta,
        Adagrad,
        Adam,
        Adamax,
        AdamW,
        Lion,
        Muon,
        NAdam,
        RAdam,
        RMSprop,
        Rprop,
    )
    from ravine.torch.generic import RuleOptimizer
    from ravine.torch.making import from_recipe
    from ravine.torch.modes import ModesOptimizer, ModesSetOptimizer
    from ravine.torch.narrow import float32_parameters, float32_state, set_float32_parameters
    from ravine.torch.roles import Roles, roles
    from ravine.torch.sets import SetOptimizer
    from ravine.torch.sparse import SparseAdam
except ImportError as error:
    raise missing("ravine.torch", error) from error

__all__ = [
    "ASGD",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "ModesOptimizer",
    "ModesSetOptimizer",
    "Muon",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Roles",
    "Rprop",
    "RuleOptimizer",
    "SetOptimizer",
    "SparseAdam",
    "float32_parameters",
    "float32_state",
    "from_recipe",
    "roles",
    "set_float32_parameters",
]
