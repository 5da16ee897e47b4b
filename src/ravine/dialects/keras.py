"""Keras 3's optimizers, each as a recipe.

ε is inside the roots of RMSprop and Adagrad, and ε̂ in Adam. Momentum always has lr inside the buffer. `weight_decay` is
decoupled in every class. ScheduleFreeAdamW is as with the JAX backend. With the TensorFlow backend the learning rate is
kept in `floatx`, float32 unless set.
"""

from __future__ import annotations

from typing import Any

from ravine.dialects.keras_layers import Adafactor, Ftrl, Lamb, ScheduleFreeAdamW
from ravine.dialects.keras_names import ADAM, LR, MOMENTS, MOMENTUM, MOVING, REFUSES, RMS, spelling
from ravine.dialects.table import Form, rmsprop_forms

__all__ = ["Adafactor", "Ftrl", "Lamb", "ScheduleFreeAdamW"]


@spelling(
    Form("gd", LR, {"momentum": False}),
    Form("momentum", MOMENTUM, {"momentum": True, "nesterov": False}, state={"delta": "momentum"}),
    Form("stored_at_look_ahead(nesterov)", MOMENTUM, {"momentum": True, "nesterov": True}, state={"delta": "momentum"}),
)
def SGD(
    learning_rate: float = 0.01,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float | None = None,
) -> None:
    """Gradient descent, and momentum with lr inside the buffer."""


@spelling(*rmsprop_forms("rmsprop", RMS, MOVING))
def RMSprop(
    learning_rate: float = 0.001,
    rho: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-7,
    centered: bool = False,
    weight_decay: float | None = None,
) -> None:
    """RMSprop with ε inside the root and lr inside the momentum buffer."""


@spelling(
    Form(
        "adagrad_keras",
        {**LR, "eps": "epsilon"},
        start={"s": "initial_accumulator_value"},
        state={"s": "accumulator"},
    )
)
def Adagrad(
    learning_rate: float = 0.001,
    initial_accumulator_value: float = 0.1,
    epsilon: float = 1e-7,
    weight_decay: float | None = None,
) -> None:
    """Adagrad with ε inside the root; the sum starts at 0.1."""


@spelling(Form("adadelta", RMS, state={"s": "accumulated_grad", "u": "accumulated_delta_var"}))
def Adadelta(
    learning_rate: float = 0.001,
    rho: float = 0.95,
    epsilon: float = 1e-7,
    weight_decay: float | None = None,
) -> None:
    """Adadelta, with a default lr a thousandth of the paper's."""


ADAM_FORMS = (
    Form("adam_eps_hat", ADAM, {"amsgrad": False}, state=MOMENTS),
    Form("amsgrad_eps_hat", ADAM, {"amsgrad": True}, state={**MOMENTS, "w": "velocity_hat"}),
)


@spelling(*ADAM_FORMS)
def Adam(
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    amsgrad: bool = False,
    weight_decay: float | None = None,
) -> None:
    """Adam with ε̂, added before the bias correction."""


@spelling(*ADAM_FORMS)
def AdamW(
    learning_rate: float = 0.001,
    weight_decay: float | None = 0.004,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    amsgrad: bool = False,
) -> None:
    """Adam with ε̂ and decoupled decay."""
    if weight_decay is None:
        raise ValueError("weight_decay must be a number, as Keras demands here, got None; 0.0 is no decay")


@spelling(Form("nadam", ADAM, state={**MOMENTS, "product": "u_product"}, fixed={"momentum_decay": 1.0}))
def Nadam(
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float | None = None,
) -> None:
    """NAdam whose β₁ is warmed up in some tens of steps: torch's schedule takes 250 times as long."""


@spelling(Form("adamax_keras", ADAM, state={"m": "momentum", "u": "norm"}))
def Adamax(
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float | None = None,
) -> None:
    """Adamax with ε added to u where it divides."""


@spelling(Form("lion", {n: ADAM[n] for n in ("lr", "beta1", "beta2")}, state={"m": "momentum"}))
def Lion(
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
    weight_decay: float | None = None,
) -> None:
    """Lion, with a default lr ten times the paper's and no decay."""


@spelling(
    Form(
        "muon_keras",
        {**MOMENTUM, "rms": "rms_rate", "a": "muon_a", "b": "muon_b", "c": "muon_c", "steps": "ns_steps"},
        state={"m": "momentum"},
        fixed={"eps": 1e-7},
    ),
    common={},
    refuses={**REFUSES, "nesterov": (True, "plain momentum under a sum of gradients is no rule of Ravine's")},
)
def Muon(
    learning_rate: float = 0.001,
    adam_beta_1: float = 0.9,
    adam_beta_2: float = 0.999,
    adam_weight_decay: float | None = 0.004,
    epsilon: float = 1e-7,
    weight_decay: float | None = 0.004,
    clipnorm: float | None = None,
    clipvalue: float | None = None,
    global_clipnorm: float | None = None,
    use_ema: bool = False,
    ema_momentum: float = 0.99,
    ema_overwrite_frequency: int | None = None,
    loss_scale_factor: float | None = None,
    gradient_accumulation_steps: int | None = None,
    name: str | None = None,
    exclude_layers: Any = None,
    exclude_embeddings: bool = True,
    muon_a: float = 3.4445,
    muon_b: float = -4.775,
    muon_c: float = 2.0315,
    adam_lr_ratio: float = 1,
    momentum: float = 0.95,
    ns_steps: int = 5,
    nesterov: bool = True,
    rms_rate: float | None = 0.2,
) -> None:
    """Muon on Keras's matrices, at AdamW's length; what it steps by Adam (embeddings, vectors) needs another."""
    if rms_rate is None:
        raise ValueError("rms_rate must be a number: without one the step has another scaling, which no rule here has")
