"""Prodigy: Adam that estimates its own learning rate, from how far the parameter has come."""

from ravine.hyperparameter import POSITIVE
from ravine.math import abs, ema, ema_square, maximum, power, sqrt, total, where
from ravine.registry import rule

MISHCHENKO = "Mishchenko & Defazio 2023, arXiv:2306.06101"
RANGES = {"d0": POSITIVE, "d_coef": POSITIVE}


def estimate(x, g, s, x0, r, d, *, rate, beta, d0, d_coef):
    """(s, r, d): the solution is at least as far as x has come along the gradients, over the size of their sum s."""
    weight = d / d0 * rate
    r = beta * r + weight * total(g * (x0 - x))
    s = beta * s + weight * g
    size = total(abs(s))
    return s, r, maximum(d, d_coef * r / where(size > 0, size, 1))


@rule(
    title="Prodigy",
    paper=MISHCHENKO + ", algorithm 4",
    ranges=RANGES,
    wide=("s", "x0"),
    kin=("adamw", "prodigy_optax"),
)
def prodigy(
    x, g, m, v, s, x0, r, d, *, t, lr=1.0, beta1=0.9, beta2=0.999, eps=1e-8, d0=1e-6, d_coef=1.0, weight_decay=0.0
):
    """AdamW, not bias-corrected, with lr·d for lr, where d only grows: an estimate of how far from x₀ a solution is.

    The authors' code, whose β₃ is √β₂ by default. lr is for a schedule: leave it at 1. A rule sees one parameter at a
    time, so that each tensor has a d of its own; the paper has one for all of a model's, and is the same where there is
    one tensor.
    """
    x0, d = where(t > 1, x0, x), where(t > 1, d, d0)
    rate = lr * d
    m = ema(m, d * g, beta1)
    v = ema_square(v, d * g, beta2)
    s, r, d = estimate(x, g, s, x0, r, d, rate=rate, beta=sqrt(beta2), d0=d0, d_coef=d_coef)
    return -rate * (m / (sqrt(v) + d * eps) + weight_decay * x), m, v, s, x0, r, d


@rule(
    title="Prodigy (optax)",
    paper=MISHCHENKO,
    ranges=RANGES,
    wide=("s", "x0"),
    kin=("prodigy",),
)
def prodigy_optax(
    x, g, m, v, s, x0, r, d, *, t, lr=1.0, beta1=0.9, beta2=0.999, eps=1e-8, d0=1e-6, d_coef=1.0, weight_decay=0.0
):
    """Prodigy whose rate has Adam's correction for averages that start at zero. optax.contrib.prodigy on one array.

    The authors' code with use_bias_correction=True.
    """
    x0, d = where(t > 1, x0, x), where(t > 1, d, d0)
    rate = lr * sqrt(1 - power(beta2, t)) / (1 - power(beta1, t)) * d
    m = ema(m, d * g, beta1)
    v = ema_square(v, d * g, beta2)
    s, r, d = estimate(x, g, s, x0, r, d, rate=rate, beta=sqrt(beta2), d0=d0, d_coef=d_coef)
    return -rate * (m / (sqrt(v) + d * eps) + weight_decay * x), m, v, s, x0, r, d
