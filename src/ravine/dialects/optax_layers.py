"""optax's optimizers whose step reads a whole layer: its norms, or the means of its rows and columns."""

from __future__ import annotations

from typing import Any

from ravine.dialects.optax_names import ADAM, LR, MASK, MOMENTS, NONE, REFUSES, spelling
from ravine.dialects.table import Form

MASKED = {"weight_decay_mask": (True, MASK), "trust_ratio_mask": (True, MASK)}
FACTOR = {
    **LR,
    "decay": "decay_rate",
    "eps": "eps",
    "threshold": "clipping_threshold",
}
DECAYED = "a decay that lr does not multiply is no transform of Ravine's"


@spelling(
    Form("lamb", {**ADAM, "weight_decay": "weight_decay"}, state=MOMENTS),
    refuses={**REFUSES, "eps_root": (0.0, NONE)},
)
def lamb(
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-6,
    eps_root: float = 0.0,
    weight_decay: float = 0.0,
    mask: Any = None,
) -> None:
    """LAMB, whose ratio of norms is not bounded; the decay is part of the step whose norm is taken."""


@spelling(
    Form(
        "lars",
        {**LR, "mu": "momentum", "trust": "trust_coefficient", "eps": "eps", "weight_decay": "weight_decay"},
        state={"delta": "3.trace"},
    ),
    refuses={**MASKED, "nesterov": (False, NONE)},
)
def lars(
    learning_rate: float,
    weight_decay: float = 0.0,
    weight_decay_mask: Any = True,
    trust_coefficient: float = 0.001,
    eps: float = 0.0,
    trust_ratio_mask: Any = True,
    momentum: float = 0.9,
    nesterov: bool = False,
) -> None:
    """LARS over the norm of g + λx, with lr inside the momentum buffer."""


@spelling(
    Form("novograd", {**ADAM, "weight_decay": "weight_decay"}, state=MOMENTS),
    refuses={"eps_root": (0.0, NONE)},
)
def novograd(
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.25,
    eps: float = 1e-6,
    eps_root: float = 0.0,
    weight_decay: float = 0.0,
) -> None:
    """NovoGrad: gradients over an average of the layer's squared norm are added up."""


@spelling(Form("fromage", {**LR, "min_norm": "min_norm"}))
def fromage(learning_rate: float, min_norm: float = 1e-6) -> None:
    """Fromage, where no norm counts as less than `min_norm`."""


@spelling(
    Form(
        "adafactor_optax",
        FACTOR,
        {"factored": True},
        state={"t": "0.count", "row": "0.v_row", "col": "0.v_col"},
        tall={"row": "0.v_col", "col": "0.v_row"},  # v_row is the mean over the longer side
        fixed={"eps_scale": 0.001},
        whole="0.v",
    ),
    Form(
        "adafactor_optax_whole",
        FACTOR,
        {"factored": False},
        state={"t": "0.count", "v": "0.v"},
        fixed={"eps_scale": 0.001},
        idle=("0.v_row", "0.v_col"),
    ),
    refuses={
        **REFUSES,
        "decay_offset": (0, NONE),
        "multiply_by_parameter_scale": (True, NONE),
        "momentum": (None, NONE),
        "weight_decay_rate": (None, DECAYED),
    },
)
def adafactor(
    learning_rate: float | None = None,
    min_dim_size_to_factor: int = 128,
    decay_rate: float = 0.8,
    decay_offset: int = 0,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: float | None = 1.0,
    momentum: float | None = None,
    dtype_momentum: Any = "float32",
    weight_decay_rate: float | None = None,
    eps: float = 1e-30,
    factored: bool = True,
    weight_decay_mask: Any = None,
) -> None:
    """Adafactor whose lr does not fall. Here each matrix is factored, in optax those of min_dim_size_to_factor or more.

    What is smaller there, or no matrix, keeps a whole average of squares: that is `factored=False`.
    """
    if learning_rate is None:
        raise ValueError("learning_rate must be given: without one optax's adafactor takes steps of lr = 1")
    if clipping_threshold is None:
        raise ValueError("clipping_threshold must be a number: a step that is not clipped is no rule of Ravine's")
