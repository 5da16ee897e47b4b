"""Keras's optimizers before 2.11 (`tf.keras.optimizers.legacy`), each as a recipe.

RMSprop has ε outside the root without momentum and inside with it; Adagrad's is outside, Adam's is ε̂. Momentum always
has lr inside the buffer. `decay` lets lr fall as lr/(1 + decay·t). An ε of zero means 1e-7. Hyperparameters are kept in
float32.
"""

from __future__ import annotations

import functools

from ravine.dialects.keras_names import ADAM, CLIPPED, LR, MOMENTUM, RMS
from ravine.dialects.spelling import spelling as any_spelling
from ravine.dialects.table import Arguments, Form, Wrap

COMMON = {"clipnorm": None, "clipvalue": None, "global_clipnorm": None, "decay": 0.0}
spelling = functools.partial(
    any_spelling,
    "keras_legacy",
    wraps=(Wrap("lr_decay", "decay", "lr_decay"), *CLIPPED),
    common=COMMON,
    alone=("clipnorm", "global_clipnorm"),
)
MOVING = {"s": "rms", "a": "mg", "delta": "-momentum"}


def _epsilon(epsilon: float) -> Arguments:
    return {"epsilon": epsilon or 1e-7}


@spelling(
    Form("gd", LR, {"momentum": False}),
    Form("momentum", MOMENTUM, {"momentum": True, "nesterov": False}, state={"delta": "momentum"}),
    Form("stored_at_look_ahead(nesterov)", MOMENTUM, {"momentum": True, "nesterov": True}, state={"delta": "momentum"}),
)
def SGD(learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False, name: str = "SGD") -> None:
    """Gradient descent, and momentum with lr inside the buffer."""


@spelling(
    Form("rmsprop_torch", RMS, {"momentum": False, "centered": False}, state=MOVING),
    Form("rmsprop_torch_centered", RMS, {"momentum": False, "centered": True}, state=MOVING),
    Form("rmsprop_momentum", {**RMS, "mu": "momentum"}, {"momentum": True, "centered": False}, state=MOVING),
    Form("rmsprop_momentum_centered", {**RMS, "mu": "momentum"}, {"momentum": True, "centered": True}, state=MOVING),
)
def RMSprop(
    learning_rate: float = 0.001,
    rho: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-7,
    centered: bool = False,
    name: str = "RMSprop",
) -> Arguments:
    """RMSprop with ε outside the root without momentum, inside with it; lr inside the momentum buffer."""
    return _epsilon(epsilon)


@spelling(
    Form(
        "adagrad",
        {**LR, "eps": "epsilon"},
        start={"s": "initial_accumulator_value"},
        state={"s": "accumulator"},
    )
)
def Adagrad(
    learning_rate: float = 0.001,
    initial_accumulator_value: float = 0.1,
    epsilon: float = 1e-7,
    name: str = "Adagrad",
) -> Arguments:
    """Adagrad with ε outside the root; the sum starts at 0.1."""
    return _epsilon(epsilon)


@spelling(Form("adadelta", {**LR, "rho": "rho", "eps": "epsilon"}, state={"s": "accum_grad", "u": "accum_var"}))
def Adadelta(
    learning_rate: float = 0.001, rho: float = 0.95, epsilon: float = 1e-7, name: str = "Adadelta"
) -> Arguments:
    """Adadelta whose default lr is a thousandth of the paper's."""
    return _epsilon(epsilon)


@spelling(
    Form("adam_eps_hat", ADAM, {"amsgrad": False}, state={"m": "m", "v": "v"}),
    Form("amsgrad_eps_hat", ADAM, {"amsgrad": True}, state={"m": "m", "v": "v", "w": "vhat"}),
)
def Adam(
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    amsgrad: bool = False,
    name: str = "Adam",
) -> Arguments:
    """Adam with ε̂: ε is added before the bias correction."""
    return _epsilon(epsilon)


@spelling(
    Form(
        "nadam",
        {**ADAM, "momentum_decay": "schedule_decay"},
        state={"m": "m", "v": "v", "product": "momentum_cache"},
    ),
    wraps=CLIPPED,
    common={n: v for n, v in COMMON.items() if n != "decay"} | {"schedule_decay": 0.004},
)
def Nadam(
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    name: str = "Nadam",
) -> Arguments:
    """NAdam with torch's slow schedule of β₁; Keras 3's is 250 times as fast."""
    return _epsilon(epsilon)


@spelling(Form("adamax_keras", ADAM, state={"m": "m", "u": "v"}))
def Adamax(
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    name: str = "Adamax",
) -> Arguments:
    """Adamax with ε added to u where it divides."""
    return _epsilon(epsilon)
