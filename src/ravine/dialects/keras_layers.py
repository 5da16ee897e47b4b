"""Keras's optimizers whose equation reads the parameter, so that it sees the decay before the step."""

from __future__ import annotations

from ravine.dialects.keras_names import ADAM, BEFORE, CLIPPED, LR, MOMENTS, REFUSES, spelling
from ravine.dialects.table import Form


@spelling(Form("lamb_keras", ADAM, state=MOMENTS), wraps=BEFORE)
def Lamb(
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float | None = None,
) -> None:
    """LAMB whose decay is no part of the ratio of norms: the parameter decays before the step."""


@spelling(
    Form(
        "adafactor",
        {
            **LR,
            "decay": "-beta_2_decay",
            "eps": "epsilon_1",
            "eps_scale": "epsilon_2",
            "threshold": "clip_threshold",
        },
        state={"row": "r", "col": "c"},
        whole="velocity",
    ),
    wraps=BEFORE,
)
def Adafactor(
    learning_rate: float = 0.001,
    beta_2_decay: float = -0.8,
    epsilon_1: float = 1e-30,
    epsilon_2: float = 0.001,
    clip_threshold: float = 1.0,
    relative_step: bool = True,
    weight_decay: float | None = None,
) -> None:
    """Adafactor with ε added to the squares; lr is at most 1/√t whatever `relative_step` says."""


@spelling(
    Form(
        "ftrl",
        {
            **LR,
            "beta": "beta",
            "l1": "l1_regularization_strength",
            "l2": "2*l2_regularization_strength",
        },
        start={"n": "initial_accumulator_value"},
        state={"n": "accumulator", "z": "linear"},
    ),
    wraps=BEFORE,
    refuses={
        **REFUSES,
        "learning_rate_power": (-0.5, "only the root of the sum of squares is a rule of Ravine's"),
        "l2_shrinkage_regularization_strength": (0.0, "a penalty in the gradient alone is no rule of Ravine's"),
    },
)
def Ftrl(
    learning_rate: float = 0.001,
    learning_rate_power: float = -0.5,
    initial_accumulator_value: float = 0.1,
    l1_regularization_strength: float = 0.0,
    l2_regularization_strength: float = 0.0,
    l2_shrinkage_regularization_strength: float = 0.0,
    beta: float = 0.0,
    weight_decay: float | None = None,
) -> None:
    """FTRL-Proximal, whose l₂ is half the paper's; the sum starts at 0.1."""


FREE = {"z": "momentum", "v": "velocity"}


@spelling(
    Form("schedule_free_keras", {**ADAM, "weight_decay": "weight_decay"}, {"weight_decay": True}, state=FREE),
    Form("schedule_free_keras", ADAM, {"weight_decay": False}, state=FREE, fixed={"weight_decay": 0.0}),
    wraps=CLIPPED,
    refuses={
        **REFUSES,
        "use_ema": (False, "its own average is what is evaluated"),
        "warmup_steps": (0, "a schedule goes where it runs, as in recipe.optax(lr=schedule)"),
    },
)
def ScheduleFreeAdamW(
    learning_rate: float = 0.0025,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-8,
    warmup_steps: int = 0,
    weight_decay: float | None = None,
) -> None:
    """Schedule-Free AdamW as Keras computes it with JAX; with TensorFlow and torch it trains the average of z."""
