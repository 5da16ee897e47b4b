"""optax's optimizers, each as a recipe.

RMSprop's ε is inside the root unless `eps_in_sqrt=False`, Adagrad's always; Adam's is after the bias correction, with a
second one inside the root on request. In RMSprop with momentum lr is inside the buffer, in plain momentum outside.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from ravine.dialects import contrib
from ravine.dialects.optax_kin import adabelief, adamaxw, adan, radam, rprop, sign_sgd, signum, yogi
from ravine.dialects.optax_layers import adafactor, fromage, lamb, lars, novograd
from ravine.dialects.optax_names import ADAM, DECOUPLED, LR, MOMENTS, MOMENTUM, RMS, RMS_START, spelling
from ravine.dialects.table import Form, Wrap

__all__ = [
    "adabelief",
    "adafactor",
    "adamaxw",
    "adan",
    "contrib",
    "fromage",
    "lamb",
    "lars",
    "novograd",
    "radam",
    "rprop",
    "sign_sgd",
    "signum",
    "yogi",
]


@spelling(
    Form("gd", LR, {"momentum": False}),
    Form("momentum_torch", MOMENTUM, {"momentum": True, "nesterov": False}, state={"b": "0.trace"}),
    Form("nesterov_torch", MOMENTUM, {"momentum": True, "nesterov": True}, state={"b": "0.trace"}),
)
def sgd(
    learning_rate: float, momentum: float | None = None, nesterov: bool = False, accumulator_dtype: Any = None
) -> None:
    """Gradient descent, and momentum with lr outside the buffer."""


def _rmsprop_forms() -> Iterator[Form]:
    """Every combination of optax.rmsprop's four switches."""
    switches = ("centered", "eps_in_sqrt", "bias_correction", "momentum")
    for centered, inside, corrected, momentum in itertools.product((False, True), repeat=4):
        name = "rmsprop" + "_torch" * (not inside) + "_debiased" * corrected + "_centered" * centered
        when = dict(zip(switches, (centered, inside, corrected, momentum), strict=True))
        state = {"s": "0.nu"} | ({"a": "0.mu"} if centered else {}) | ({"t": "0.count"} if corrected else {})
        if not momentum:
            yield Form(name, RMS, when, RMS_START, state)
            continue
        for ball, nesterov in (("heavy_ball", False), ("nesterov_ball", True)):
            on = {**when, "nesterov": nesterov}
            yield Form(f"{ball}({name})", {**RMS, "mu": "momentum"}, on, RMS_START, {**state, "delta": "2.trace"})


@spelling(*_rmsprop_forms())
def rmsprop(
    learning_rate: float,
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: float | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> None:
    """RMSprop in all its variants, lr inside the momentum buffer."""


@spelling(
    Form(
        "adagrad_keras",
        {**LR, "eps": "eps"},
        start={"s": "initial_accumulator_value"},
        state={"s": "0.sum_of_squares"},
    )
)
def adagrad(learning_rate: float, initial_accumulator_value: float = 0.1, eps: float = 1e-7) -> None:
    """Adagrad with ε inside the root; the sum starts at 0.1."""
    if not initial_accumulator_value and not eps:
        raise ValueError("eps must be > 0 where initial_accumulator_value is 0: optax then makes 0 of 0/0")


@spelling(
    Form("adadelta", {**LR, "rho": "rho", "eps": "eps"}, state={"s": "1.e_g", "u": "1.e_x"}),
    wraps=(Wrap("weight_decay", "weight_decay", "weight_decay"),),
)
def adadelta(
    learning_rate: float | None = None,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    weight_decay_mask: Any = None,
) -> None:
    """Adadelta; weight decay is coupled. A learning rate must be given."""
    if learning_rate is None:
        raise ValueError("learning_rate must be given: without one optax's adadelta goes uphill")


ADAM_FORMS = (
    Form("adam", ADAM, {"nesterov": False, "eps_root": False}, state=MOMENTS),
    Form("adam_eps_root", {**ADAM, "eps_root": "eps_root"}, {"nesterov": False, "eps_root": True}, state=MOMENTS),
    Form("nadam_optax", {**ADAM, "eps_root": "eps_root"}, {"nesterov": True}, state=MOMENTS),
)


@spelling(*ADAM_FORMS)
def adam(
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
) -> None:
    """Adam as in the paper's algorithm 1, with another ε inside the root on request."""


@spelling(*ADAM_FORMS, wraps=DECOUPLED)
def adamw(
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    weight_decay: float = 0.0001,
    mask: Any = None,
    *,
    nesterov: bool = False,
) -> None:
    """Adam with decoupled decay, a hundredth of torch's by default."""


@spelling(*ADAM_FORMS)
def nadam(
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
) -> None:
    """NAdam without the schedule of β₁ that torch and Keras have."""


@spelling(*ADAM_FORMS, wraps=DECOUPLED)
def nadamw(
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    weight_decay: float = 0.0001,
    mask: Any = None,
    *,
    nesterov: bool = True,
) -> None:
    """NAdam without a schedule, with decoupled decay."""


@spelling(
    Form(
        "amsgrad_optax",
        {**ADAM, "eps_root": "eps_root"},
        state={**MOMENTS, "w": "0.nu_max"},
    )
)
def amsgrad(
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
) -> None:
    """AMSGrad that remembers the largest corrected v."""


@spelling(Form("adamax", ADAM, state={"t": "0.count", "m": "0.mu", "u": "0.nu"}))
def adamax(learning_rate: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> None:
    """Adamax with ε added to |g|, so that u remembers it."""


@spelling(
    Form("lion", {n: ADAM[n] for n in ("lr", "beta1", "beta2")}, state={"t": "0.count", "m": "0.mu"}), wraps=DECOUPLED
)
def lion(
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.99,
    mu_dtype: Any = None,
    weight_decay: float = 0.001,
    mask: Any = None,
) -> None:
    """Lion with decoupled decay."""
