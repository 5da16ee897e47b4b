"""optax's optimizers that are Adam's kin or read signs alone."""

from __future__ import annotations

from typing import Any

from ravine.dialects.optax_names import ADAM, DECOUPLED, LR, MOMENTS, NONE, spelling
from ravine.dialects.table import Form


@spelling(
    Form("adabelief", {**ADAM, "eps_root": "eps_root"}, state=MOMENTS),
    refuses={"nesterov": (False, NONE)},
)
def adabelief(
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-16,
    eps_root: float = 1e-16,
    *,
    nesterov: bool = False,
) -> None:
    """AdaBelief; ε′ is added to v in every step and stays in it."""


@spelling(Form("adamax", ADAM, state={"t": "0.count", "m": "0.mu", "u": "0.nu"}), wraps=DECOUPLED)
def adamaxw(
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0001,
    mask: Any = None,
) -> None:
    """Adamax with decoupled decay."""


@spelling(
    Form(
        "adan",
        {**ADAM, "beta3": "b3", "eps_root": "eps_root"},
        state={"t": "0.t", "m": "0.m", "v": "0.v", "n": "0.n", "p": "0.g"},
    ),
    wraps=DECOUPLED,
)
def adan(
    learning_rate: float,
    b1: float = 0.98,
    b2: float = 0.92,
    b3: float = 0.99,
    eps: float = 1e-8,
    eps_root: float = 1e-8,
    weight_decay: float = 0.0,
    mask: Any = None,
) -> None:
    """Adan, whose β are one minus the paper's, with decoupled decay."""


@spelling(Form("yogi", ADAM, state=MOMENTS))
def yogi(learning_rate: float, b1: float = 0.9, b2: float = 0.999, eps: float = 0.001) -> None:
    """Yogi, whose averages start at 1e-6."""


@spelling(
    Form("radam_optax", {**ADAM, "eps_root": "eps_root", "threshold": "threshold"}, state=MOMENTS),
    refuses={"nesterov": (False, NONE)},
)
def radam(
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    threshold: float = 5.0,
    *,
    nesterov: bool = False,
) -> None:
    """RAdam with ε after the bias correction, where torch has it before."""


@spelling(Form("sign_sgd", LR))
def sign_sgd(learning_rate: float) -> None:
    """The gradient's sign."""


@spelling(Form("signum", {**LR, "beta": "beta"}, state={"m": "0.ema"}))
def signum(learning_rate: float, beta: float = 0.9, accumulator_dtype: Any = None) -> None:
    """The sign of the averaged gradient."""


@spelling(
    Form(
        "rprop_optax",
        {
            **LR,
            "eta_minus": "eta_minus",
            "eta_plus": "eta_plus",
            "step_min": "min_step_size",
            "step_max": "max_step_size",
        },
        state={"prev": "0.prev_updates", "s": "0.step_sizes"},
    )
)
def rprop(
    learning_rate: float,
    eta_minus: float = 0.5,
    eta_plus: float = 1.2,
    min_step_size: float = 1e-6,
    max_step_size: float = 50.0,
) -> None:
    """Rprop that bounds a step length where it changes alone; `learning_rate` is where the lengths start."""
