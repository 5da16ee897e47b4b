"""optax.contrib's optimizers, each as a recipe."""

from __future__ import annotations

import functools
from typing import Any

from ravine.dialects.optax_names import ADAM, DECOUPLED, MOMENTS, NONE
from ravine.dialects.spelling import spelling as any_spelling
from ravine.dialects.table import Form, Wrap

SHAPES = "a rule sees a matrix as its array is, rows and then columns"
OTHERS = "only Frobenius's norm before the iteration is a rule of Ravine's"
FUNCTION = "x**0.25"
"""What stands for a default that is a function."""

REFUSES = {
    "mu_dtype": (None, "a slot has its parameter's type: leave it out"),
    "weight_decay_mask": (None, "a recipe treats all parameters alike: make a set of recipes"),
    "adaptive": (False, "scaling by the dual norm is no rule of Ravine's"),
    "nesterov": (True, "plain momentum with a correction is no rule of Ravine's"),
    "preconditioning": ("frobenius", OTHERS),
    "muon_weight_dimension_numbers": (None, SHAPES),
}
spelling = functools.partial(any_spelling, "optax", module="contrib")

COUPLED = (Wrap("weight_decay", "weight_decay", "weight_decay"),)
NS = {"a": "ns_coeffs[0]", "b": "ns_coeffs[1]", "c": "ns_coeffs[2]", "steps": "ns_steps"}
MUON = {"lr": "learning_rate", "beta": "beta", "eps": "eps", **NS}
STATE = {"m": "muon.0.mu", "t": "muon.0.count"}


@spelling(
    Form("muon_optax_rms", {**MUON, "rms": "consistent_rms"}, {"consistent_rms": True}, state=STATE),
    Form("muon_optax", MUON, state=STATE),
    wraps=DECOUPLED,
    refuses=REFUSES,
)
def muon(
    learning_rate: float,
    ns_coeffs: Any = (3.4445, -4.775, 2.0315),
    ns_steps: int = 5,
    beta: float = 0.95,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    weight_decay_mask: Any = None,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: str = "frobenius",
    adam_b1: float = 0.9,
    adam_b2: float = 0.999,
    adam_eps_root: float = 0.0,
    adam_weight_decay: float = 0.0,
    adam_learning_rate: float | None = None,
    muon_weight_dimension_numbers: Any = None,
    consistent_rms: float | None = None,
) -> None:
    """Muon on optax's matrices, which are in × out; what it steps by AdamW (all that is no matrix) needs another."""
    if isinstance(ns_coeffs, str) or not isinstance(ns_coeffs[0], (int, float)):
        raise ValueError(f"ns_coeffs must be three numbers for all iterations, got {ns_coeffs!r}")


@spelling(
    Form(
        "ademamix",
        {**ADAM, "beta3": "b3", "alpha": "alpha"},
        state={"t": "0.count", "m": "0.m1", "s": "0.m2", "v": "0.nu"},
    ),
    wraps=DECOUPLED,
    refuses={**REFUSES, "mask": REFUSES["weight_decay_mask"], "eps_root": (0.0, NONE)},
)
def ademamix(
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    b3: float = 0.9999,
    alpha: float = 5.0,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    weight_decay: float = 0.0,
    mask: Any = None,
) -> None:
    """AdEMAMix with decoupled decay; the paper's warm-up of β₃ and α is the caller's."""


@spelling(
    Form("adopt", ADAM, state=MOMENTS),
    refuses={
        "mu_dtype": REFUSES["mu_dtype"],
        "nesterov": (False, NONE),
        "use_clipping": (True, NONE),
        "clip_value_fn": (FUNCTION, "the bound is (t − 1)^¼ in the rule"),
    },
)
def adopt(
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.9999,
    eps: float = 1e-6,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: Any = FUNCTION,
) -> None:
    """ADOPT, clipped at (t − 1)^¼."""


@spelling(
    Form(
        "madgrad",
        {"lr": "learning_rate", "mu": "momentum", "eps": "eps"},
        state={"t": "1.count", "nu": "1.grad_sum_sq", "s": "1.s", "x0": "1.x0"},
    ),
    wraps=COUPLED,
)
def madgrad(learning_rate: float, momentum: float = 0.9, weight_decay: float = 0.0, eps: float = 1e-6) -> None:
    """MADGRAD with coupled decay; ε is added to lr as well."""


SCHEDULE_FREE = {"lr": "learning_rate", "weight_lr_power": "weight_lr_power"}
SUMS = {"z": "z", "lr_max": "max_lr", "total": "weight_sum"}
UNSCHEDULED = {
    "warmup_steps": (None, "a schedule goes where it runs, as in recipe.optax(lr=schedule)"),
    "state_dtype": REFUSES["mu_dtype"],
}


@spelling(Form("schedule_free_sgd", {**SCHEDULE_FREE, "beta": "b1"}, state=SUMS), wraps=COUPLED, refuses=UNSCHEDULED)
def schedule_free_sgd(
    learning_rate: float = 1.0,
    warmup_steps: int | None = None,
    b1: float = 0.9,
    weight_decay: float | None = None,
    weight_lr_power: float = 2.0,
    state_dtype: Any = None,
) -> None:
    """Schedule-Free SGD with coupled decay; what is evaluated is the average, the recipe's read-out."""


@spelling(
    Form(
        "schedule_free_adamw",
        {**ADAM, **SCHEDULE_FREE, "weight_decay": "weight_decay"},
        state={**SUMS, "s": "base_optimizer_state.0.nu"},
    ),
    refuses=UNSCHEDULED,
)
def schedule_free_adamw(
    learning_rate: float = 0.0025,
    warmup_steps: int | None = None,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    weight_lr_power: float = 2.0,
    state_dtype: Any = None,
) -> None:
    """Schedule-Free AdamW, whose decay is that of the point which is trained."""
