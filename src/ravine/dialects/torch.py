"""torch.optim's optimizers, each as a recipe.

ε is outside every root but Adadelta's, lr outside every momentum buffer. `params`, where it is given, is not looked at:
the recipe gets its parameters later, by `.torch(params)`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from ravine.dialects.spelling import spelling as any_spelling
from ravine.dialects.table import Arguments, Form, Wrap, rmsprop_forms

COUPLED = Wrap("weight_decay", "weight_decay", "weight_decay", {"decoupled_weight_decay": False})
DECOUPLED = Wrap("decoupled_weight_decay", "weight_decay", "weight_decay", {"decoupled_weight_decay": True})
MAXIMIZE = Wrap("maximize", "maximize")
LR_DECAY = Wrap("lr_decay", "lr_decay", "lr_decay")
HOW = {"foreach": None, "maximize": False, "differentiable": False}  # all but maximize: how to compute, not what
WRAPS = (LR_DECAY, COUPLED, DECOUPLED, MAXIMIZE)
spelling = functools.partial(any_spelling, "torch", wraps=WRAPS)

LR = {"lr": "lr"}
SGD_NAMES = {**LR, "mu": "momentum", "dampening": "dampening"}
RMS = {**LR, "rho": "alpha", "eps": "eps"}
ADAM = {**LR, "beta1": "betas[0]", "beta2": "betas[1]", "eps": "eps"}
MOVING = {"t": "step", "s": "square_avg", "a": "grad_avg", "b": "momentum_buffer"}
MOMENTS = {"t": "step", "m": "exp_avg", "v": "exp_avg_sq"}


def _no_groups(params: Any) -> None:
    if isinstance(params, (int, float)):
        raise ValueError(
            f"params must be what the optimizer works on, or be left out, got {params!r}: name lr, as lr=…"
        )
    if isinstance(params, (list, tuple)) and any(isinstance(p, dict) for p in params):
        raise ValueError("params must not hold groups with settings of their own: make a recipe for each group")


SGD_DAMPENED = Form(
    "nesterov_torch_dampened",
    SGD_NAMES,
    {"momentum": True, "nesterov": True, "dampening": True},
    state={"b": "momentum_buffer"},
)
"""What torch's SGD refuses in its constructor and does in a group that has a dampening of its own."""


@spelling(
    Form("gd", LR, {"momentum": False}),
    Form("momentum_torch", SGD_NAMES, {"momentum": True, "nesterov": False}, state={"b": "momentum_buffer"}),
    Form(
        "nesterov_torch", {**LR, "mu": "momentum"}, {"momentum": True, "nesterov": True}, state={"b": "momentum_buffer"}
    ),
    common={**HOW, "fused": None},
)
def SGD(
    params: Any = None,
    lr: float = 0.001,
    momentum: float = 0,
    dampening: float = 0,
    weight_decay: float = 0,
    nesterov: bool = False,
) -> None:
    """Gradient descent, and momentum with lr outside the buffer; the first step is not dampened."""
    _no_groups(params)
    if nesterov and (not momentum or dampening):
        raise ValueError("nesterov=True needs a momentum and no dampening")


@spelling(*rmsprop_forms("rmsprop_torch", RMS, MOVING), common={**HOW, "capturable": False})
def RMSprop(
    params: Any = None,
    lr: float = 0.01,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0,
    momentum: float = 0,
    centered: bool = False,
) -> None:
    """RMSprop with ε outside the root and lr outside the momentum buffer."""
    _no_groups(params)


@spelling(
    Form(
        "adagrad",
        {**LR, "eps": "eps"},
        start={"s": "initial_accumulator_value"},
        state={"t": "step", "s": "sum"},
    ),
    common={**HOW, "fused": None},
)
def Adagrad(
    params: Any = None,
    lr: float = 0.01,
    lr_decay: float = 0,
    weight_decay: float = 0,
    initial_accumulator_value: float = 0,
    eps: float = 1e-10,
) -> None:
    """Adagrad with ε outside the root; the sum starts at zero."""
    _no_groups(params)


@spelling(
    Form("adadelta", {**LR, "rho": "rho", "eps": "eps"}, state={"t": "step", "s": "square_avg", "u": "acc_delta"}),
    common={**HOW, "capturable": False},
)
def Adadelta(params: Any = None, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0) -> None:
    """Adadelta as in the paper."""
    _no_groups(params)


ADAM_FORMS = (
    Form("adam", ADAM, {"amsgrad": False}, state=MOMENTS),
    Form("amsgrad", ADAM, {"amsgrad": True}, state={**MOMENTS, "w": "max_exp_avg_sq"}),
)


@spelling(*ADAM_FORMS, common={**HOW, "capturable": False, "fused": None, "decoupled_weight_decay": False})
def Adam(
    params: Any = None,
    lr: float = 0.001,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0,
    amsgrad: bool = False,
) -> None:
    """Adam as in the paper's algorithm 1: ε after the bias correction."""
    _no_groups(params)


@spelling(*ADAM_FORMS, common={**HOW, "capturable": False, "fused": None})
def AdamW(
    params: Any = None,
    lr: float = 0.001,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    amsgrad: bool = False,
) -> Arguments:
    """Adam with decoupled decay."""
    _no_groups(params)
    return {"decoupled_weight_decay": True}


@spelling(
    Form("nadam", {**ADAM, "momentum_decay": "momentum_decay"}, state={**MOMENTS, "product": "mu_product"}),
    common={**HOW, "capturable": False},
)
def NAdam(
    params: Any = None,
    lr: float = 0.002,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0,
    momentum_decay: float = 0.004,
    decoupled_weight_decay: bool = False,
) -> None:
    """NAdam with a slow schedule of β₁. torch keeps the schedule's product in float32, whatever the parameter."""
    _no_groups(params)


@spelling(Form("radam", ADAM, state=MOMENTS), common={**HOW, "capturable": False})
def RAdam(
    params: Any = None,
    lr: float = 0.001,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0,
    decoupled_weight_decay: bool = False,
) -> None:
    """RAdam, with ε before the bias correction."""
    _no_groups(params)


@spelling(
    Form("adamax", ADAM, state={"t": "step", "m": "exp_avg", "u": "exp_inf"}),
    common={**HOW, "capturable": False},
)
def Adamax(
    params: Any = None,
    lr: float = 0.002,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0,
) -> None:
    """Adamax with ε added to |g|, so that u remembers it."""
    _no_groups(params)


@spelling(
    Form(
        "rprop",
        {
            **LR,
            "eta_minus": "etas[0]",
            "eta_plus": "etas[1]",
            "step_min": "step_sizes[0]",
            "step_max": "step_sizes[1]",
        },
        state={"t": "step", "prev": "prev", "s": "step_size"},
    ),
    wraps=(MAXIMIZE,),
    common={"capturable": False, **HOW},
)
def Rprop(
    params: Any = None,
    lr: float = 0.01,
    etas: tuple[float, float] = (0.5, 1.2),
    step_sizes: tuple[float, float] = (1e-6, 50),
) -> None:
    """Rprop, where a gradient that has turned counts as zero."""
    _no_groups(params)


@spelling(
    Form(
        "asgd",
        {**LR, "lambd": "lambd", "alpha": "alpha", "t0": "t0"},
        state={"t": "step", "a": "ax", "eta": "eta", "w": "mu"},
    ),
)
def ASGD(
    params: Any = None,
    lr: float = 0.01,
    lambd: float = 0.0001,
    alpha: float = 0.75,
    t0: float = 1000000.0,
    weight_decay: float = 0,
    foreach: bool | None = None,
    maximize: bool = False,
    differentiable: bool = False,
    capturable: bool = False,
) -> None:
    """Averaged gradient descent: the step is not changed by the average, which lies in the state."""
    _no_groups(params)


@spelling(
    Form(
        "adafactor_torch",
        {**LR, "decay": "-beta2_decay", "eps": "eps[0]", "eps_scale": "eps[1]", "threshold": "d"},
        state={"t": "step", "row": "row_var", "col": "col_var"},
        whole="variance",
    ),
    wraps=(Wrap("decoupled_weight_decay", "weight_decay", "weight_decay"), MAXIMIZE),
)
def Adafactor(
    params: Any = None,
    lr: float = 0.01,
    beta2_decay: float = -0.8,
    eps: tuple[float | None, float] = (None, 0.001),
    d: float = 1.0,
    weight_decay: float = 0.0,
    *,
    foreach: bool | None = None,
    maximize: bool = False,
) -> Arguments:
    """Adafactor whose ε is a floor of the estimate; None is float32's. torch factors matrices alone, and no vectors."""
    _no_groups(params)
    return {"eps": (2.0**-23, *eps[1:])} if eps[0] is None else {}


MUON = {
    **LR,
    "beta": "momentum",
    "a": "ns_coefficients[0]",
    "b": "ns_coefficients[1]",
    "c": "ns_coefficients[2]",
    "steps": "ns_steps",
    "eps": "eps",
}

MUON_LENGTHS = (None, "original", "match_rms_adamw")
"""What `adjust_lr_fn` may be for a rule to follow it; torch has had "spectral_unclamped" too since 2.14."""


def _muon_forms() -> Iterator[Form]:
    """Nesterov's look ahead or not, and the two scalings."""
    state, as_adamw = {"m": "momentum_buffer"}, {"adjust_lr_fn": "match_rms_adamw"}
    for tail, nesterov in (("", True), ("_momentum", False)):
        yield Form(f"muon_rms{tail}", MUON, {"nesterov": nesterov, **as_adamw}, state=state)
        yield Form(f"muon{tail}", MUON, {"nesterov": nesterov}, state=state)


@spelling(*_muon_forms(), wraps=(Wrap("decoupled_weight_decay", "weight_decay", "weight_decay"),))
def Muon(
    params: Any = None,
    lr: float = 0.001,
    weight_decay: float = 0.1,
    momentum: float = 0.95,
    nesterov: bool = True,
    ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
    eps: float = 1e-7,
    ns_steps: int = 5,
    adjust_lr_fn: str | None = None,
) -> None:
    """Muon for matrices alone; torch multiplies in bfloat16, so a step is off by a few percent there."""
    _no_groups(params)
    if adjust_lr_fn not in MUON_LENGTHS:
        raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
