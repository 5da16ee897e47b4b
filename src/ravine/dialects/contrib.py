"""optax.contrib's optimizers, each as a recipe."""

from __future__ import annotations

import functools
from typing import Any

from ravine.dialects.spelling import spelling as any_spelling
from ravine.dialects.table import Form, Wrap

SHAPES = "a rule sees a matrix as its array is, rows and then columns"
OTHERS = "only Frobenius's norm before the iteration is a rule of Ravine's"
REFUSES = {
    "mu_dtype": (None, "a slot has its parameter's type"),
    "weight_decay_mask": (None, "a recipe treats all parameters alike: make a set of recipes"),
    "adaptive": (False, "scaling by the dual norm is no rule of Ravine's"),
    "nesterov": (True, "plain momentum with a correction is no rule of Ravine's"),
    "preconditioning": ("frobenius", OTHERS),
    "muon_weight_dimension_numbers": (None, SHAPES),
}
spelling = functools.partial(any_spelling, "optax", module="contrib")

NS = {"a": "ns_coeffs[0]", "b": "ns_coeffs[1]", "c": "ns_coeffs[2]", "steps": "ns_steps"}
MUON = {"lr": "learning_rate", "beta": "beta", "eps": "eps", **NS}
STATE = {"m": "muon.0.mu", "t": "muon.0.count"}


@spelling(
    Form("muon_optax_rms", {**MUON, "rms": "consistent_rms"}, {"consistent_rms": True}, state=STATE),
    Form("muon_optax", MUON, state=STATE),
    wraps=(Wrap("decoupled_weight_decay", "weight_decay", "weight_decay"),),
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
