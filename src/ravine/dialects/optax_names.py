"""What optax calls a rule's parts, and what no recipe of its optimizers has."""

from __future__ import annotations

import functools

from ravine.dialects.spelling import spelling as any_spelling
from ravine.dialects.table import Wrap

DTYPE = (
    "a slot has its parameter's type: leave it out. In torch all slots may have another, as in "
    "recipe.torch(params, state_dtype=torch.bfloat16)"
)
MASK = (
    "a recipe treats all parameters alike. Make a set of two, as in recipes(decayed=optax.adamw(0.1), "
    "rest=optax.adamw(0.1, weight_decay=0.0)), and give the mask to its .optax(mask)"
)
NONE = "no rule of Ravine's does this"
REFUSES = {
    "accumulator_dtype": (None, DTYPE),
    "mu_dtype": (None, DTYPE),
    "mask": (None, MASK),
    "weight_decay_mask": (None, MASK),
    "bias_correction_mu": (True, NONE),
    "bias_correction_nu": (True, NONE),
}
spelling = functools.partial(any_spelling, "optax", refuses=REFUSES)

LR = {"lr": "learning_rate"}
MOMENTUM = {**LR, "mu": "momentum"}
RMS = {**LR, "rho": "decay", "eps": "eps"}
ADAM = {**LR, "beta1": "b1", "beta2": "b2", "eps": "eps"}
MOMENTS = {"t": "0.count", "m": "0.mu", "v": "0.nu"}
RMS_START = {"s": "initial_scale"}
DECOUPLED = (Wrap("decoupled_weight_decay", "weight_decay", "weight_decay"),)
