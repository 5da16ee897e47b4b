"""What Keras calls a rule's parts, and what it does around every equation."""

from __future__ import annotations

import functools
from typing import Any

from ravine.dialects.spelling import spelling as any_spelling
from ravine.dialects.table import Wrap

REFUSES = {
    "ema_overwrite_frequency": (None, "put the average in the parameters' place after every so many steps yourself"),
    "loss_scale_factor": (None, "unscale the gradients before the optimizer sees them"),
    "gradient_accumulation_steps": (None, "give it the mean of so many gradients, and step once for them"),
}
CLIPPED = (
    Wrap("clip_global_norm", "global_clipnorm", "clip_global_norm"),
    Wrap("clip_norm", "clipnorm", "clip_norm"),
    Wrap("clip_value", "clipvalue", "clip_value"),
)
AVERAGED = Wrap("ema_weights", "use_ema", "ema_decay", value="ema_momentum", state={"average": "average"})
WRAPS = (Wrap("decoupled_weight_decay", "weight_decay", "weight_decay"), *CLIPPED, AVERAGED)
BEFORE = (Wrap("weight_decay_first", "weight_decay", "weight_decay"), *CLIPPED, AVERAGED)
"""Around equations that read the parameter, for which it matters that Keras lets it decay before the step."""

COMMON = {
    "clipnorm": None,
    "clipvalue": None,
    "global_clipnorm": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
    "name": None,
}
GONE = {
    "decay": "Keras 3 ignores it. What it was in the legacy optimizers (keras_legacy), lr/(1 + decay·t), is the "
    "transform lr_decay, as in recipe('lr_decay(adam_eps_hat)', lr=0.001, lr_decay=1e-4, eps=1e-7)"
}
ALONE = ("clipnorm", "clipvalue", "global_clipnorm")
_HOW: dict[str, Any] = {"wraps": WRAPS, "common": COMMON, "refuses": REFUSES, "gone": GONE, "alone": ALONE}
spelling = functools.partial(any_spelling, "keras", **_HOW)

LR = {"lr": "learning_rate"}
MOMENTUM = {**LR, "mu": "momentum"}
RMS = {**LR, "rho": "rho", "eps": "epsilon"}
ADAM = {**LR, "beta1": "beta_1", "beta2": "beta_2", "eps": "epsilon"}
MOMENTS = {"m": "momentum", "v": "velocity"}
MOVING = {"s": "velocity", "a": "average_gradient", "delta": "-momentum"}
