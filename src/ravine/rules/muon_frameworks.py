"""Muon as frameworks have it that differ from `muon`: in momentum, scaling, or the side that is the input's."""

from ravine.hyperparameter import NON_NEGATIVE
from ravine.math import columns, debias, ema, maximum, newton_schulz, norm, orthogonalize, rows, sqrt
from ravine.registry import rule

JORDAN = "Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks"
MOONLIGHT = "Liu et al. 2025, arXiv:2502.16982"
RANGES = {"steps": NON_NEGATIVE, "rms": NON_NEGATIVE}


@rule(
    title="Muon without Nesterov (Adam's step length)",
    paper=MOONLIGHT,
    ranges={"steps": NON_NEGATIVE},
    kin=("muon_rms", "muon_momentum"),
)
def muon_rms_momentum(g, m, *, lr=0.001, beta=0.95, a=3.4445, b=-4.775, c=2.0315, steps=5.0, eps=1e-7):
    """`muon_rms` that orthogonalizes the average itself.

    torch.optim.Muon with nesterov=False and adjust_lr_fn="match_rms_adamw".
    """
    m = ema(m, g, beta)
    return -lr * 0.2 * sqrt(maximum(rows(g), columns(g))) * newton_schulz(m / maximum(norm(m), eps), a, b, c, steps), m


@rule(title="Muon (Keras)", paper=MOONLIGHT, ranges=RANGES, kin=("muon_rms",))
def muon_keras(g, m, *, lr=0.001, mu=0.95, rms=0.2, a=3.4445, b=-4.775, c=2.0315, steps=5.0, eps=1e-7):
    """`muon_rms` whose momentum is a sum of gradients, not their average, and whose 0.2 may be another number.

    keras.optimizers.Muon. Its direction is that of `muon_rms` wherever the momentum is not as small as ε.
    """
    m = mu * m + g
    return -lr * rms * sqrt(maximum(rows(g), columns(g))) * orthogonalize(g + mu * m, a, b, c, steps, eps), m


@rule(title="Muon (optax)", paper=JORDAN, ranges={"steps": NON_NEGATIVE}, kin=("muon", "muon_optax_rms"))
def muon_optax(g, m, *, t, lr=0.001, beta=0.95, a=3.4445, b=-4.775, c=2.0315, steps=5.0, eps=1e-8):
    """Muon with m and g corrected for m's start at zero, which turns early directions; a matrix is inputs × outputs.

    optax.contrib.muon on its matrices. √max(1, c/r) is there what √max(1, r/c) is for torch's outputs × inputs.
    """
    m = ema(m, g, beta)
    u = beta * debias(m, beta, t + 1) + (1 - beta) * debias(g, beta, t)
    return -lr * sqrt(maximum(1, columns(g) / rows(g))) * orthogonalize(u, a, b, c, steps, eps), m


@rule(title="Muon (optax, Adam's step length)", paper=MOONLIGHT, ranges=RANGES, kin=("muon_optax", "muon_rms"))
def muon_optax_rms(g, m, *, t, lr=0.001, beta=0.95, rms=0.2, a=3.4445, b=-4.775, c=2.0315, steps=5.0, eps=1e-8):
    """`muon_optax` whose steps have about the root mean square `rms`·lr. optax.contrib.muon with consistent_rms."""
    m = ema(m, g, beta)
    u = beta * debias(m, beta, t + 1) + (1 - beta) * debias(g, beta, t)
    return -lr * rms * sqrt(maximum(rows(g), columns(g))) * orthogonalize(u, a, b, c, steps, eps), m
