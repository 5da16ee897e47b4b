"""TensorFlow 1's optimizers (`tf.compat.v1.train`), each as a recipe.

ε is inside RMSprop's root, whose average starts at one; Adam's is ε̂; Adagrad has none. In RMSprop with momentum lr is
inside the buffer, in plain momentum outside. TensorFlow rounds hyperparameters given as Python numbers to float32, for
float64 variables too.
"""

from __future__ import annotations

import functools

from ravine.dialects.spelling import spelling as any_spelling
from ravine.dialects.table import Form, rmsprop_forms

spelling = functools.partial(any_spelling, "tensorflow")
RMS = {"lr": "learning_rate", "rho": "decay", "eps": "epsilon"}
MOMENTUM = {"lr": "learning_rate", "mu": "momentum"}
MOVING = {"s": "rms", "a": "mg", "delta": "-momentum"}


@spelling(Form("gd", {"lr": "learning_rate"}))
def GradientDescentOptimizer(learning_rate: float, use_locking: bool = False, name: str = "GradientDescent") -> None:
    """Gradient descent."""


@spelling(
    Form("momentum_torch", MOMENTUM, {"use_nesterov": False}, state={"b": "momentum"}),
    Form("nesterov_torch", MOMENTUM, {"use_nesterov": True}, state={"b": "momentum"}),
)
def MomentumOptimizer(
    learning_rate: float,
    momentum: float,
    use_locking: bool = False,
    name: str = "Momentum",
    use_nesterov: bool = False,
) -> None:
    """Momentum with lr outside the buffer, as in torch."""


@spelling(*rmsprop_forms("rmsprop", RMS, MOVING, start={"s": 1.0}))
def RMSPropOptimizer(
    learning_rate: float,
    decay: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-10,
    use_locking: bool = False,
    centered: bool = False,
    name: str = "RMSProp",
) -> None:
    """RMSprop with ε inside the root, lr inside the momentum buffer, and an average that starts at one."""


@spelling(
    Form(
        "adagrad",
        {"lr": "learning_rate"},
        start={"s": "initial_accumulator_value"},
        state={"s": "accumulator"},
        fixed={"eps": 0.0},
    )
)
def AdagradOptimizer(
    learning_rate: float, initial_accumulator_value: float = 0.1, use_locking: bool = False, name: str = "Adagrad"
) -> None:
    """Adagrad without ε; the sum starts at 0.1."""
    if initial_accumulator_value <= 0:
        raise ValueError(f"initial_accumulator_value must be > 0, got {initial_accumulator_value!r}: there is no ε")


@spelling(
    Form(
        "adadelta",
        {"lr": "learning_rate", "rho": "rho", "eps": "epsilon"},
        state={"s": "accum", "u": "accum_update"},
    )
)
def AdadeltaOptimizer(
    learning_rate: float = 0.001,
    rho: float = 0.95,
    epsilon: float = 1e-8,
    use_locking: bool = False,
    name: str = "Adadelta",
) -> None:
    """Adadelta, with a default lr a thousandth of the paper's."""


@spelling(
    Form(
        "adam_eps_hat",
        {"lr": "learning_rate", "beta1": "beta1", "beta2": "beta2", "eps": "epsilon"},
        state={"m": "m", "v": "v"},
    )
)
def AdamOptimizer(
    learning_rate: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    use_locking: bool = False,
    name: str = "Adam",
    use_own_namescope_for_non_slot_vars: bool = False,
) -> None:
    """Adam with ε̂, added before the bias correction."""
