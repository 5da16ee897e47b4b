"""Muon: momentum made orthogonal, so that a step turns all directions of a matrix alike. For hidden matrices only."""

from ravine.hyperparameter import FRACTION, NON_NEGATIVE
from ravine.math import columns, ema, maximum, mean, newton_schulz, norm, rows, sqrt, where
from ravine.registry import register, rule
from ravine.transforms import hyperball, named

JORDAN = "Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks"
HYPERBALL = "Wen et al. 2025, Fantastic pretraining optimizers and where to find them 2: hyperball optimization"


@rule(title="Muon", paper=JORDAN, ranges={"steps": NON_NEGATIVE}, kin=("muon_rms", "muon_momentum", "normuon"))
def muon(g, m, *, lr=0.001, beta=0.95, a=3.4445, b=-4.775, c=2.0315, steps=5.0, eps=1e-7):
    """Nesterov's average of gradients, orthogonalized by Newton–Schulz; a matrix higher than wide takes longer steps.

    torch.optim.Muon (torch/optim/_muon.py), which multiplies in bfloat16. Its decay is decoupled, by default 0.1.
    """
    m = ema(m, g, beta)
    u = (1 - beta) * g + beta * m
    return -lr * sqrt(maximum(1, rows(g) / columns(g))) * newton_schulz(u / maximum(norm(u), eps), a, b, c, steps), m


@rule(
    title="Muon (Adam's step length)",
    paper="Liu et al. 2025, arXiv:2502.16982",
    ranges={"steps": NON_NEGATIVE},
    kin=("muon", "adamw"),
)
def muon_rms(g, m, *, lr=0.001, beta=0.95, a=3.4445, b=-4.775, c=2.0315, steps=5.0, eps=1e-7):
    """Muon whose steps have about the root mean square of Adam's, 0.2·lr, so that both take one lr and one decay.

    torch.optim.Muon with adjust_lr_fn="match_rms_adamw".
    """
    m = ema(m, g, beta)
    u = (1 - beta) * g + beta * m
    return -lr * 0.2 * sqrt(maximum(rows(g), columns(g))) * newton_schulz(u / maximum(norm(u), eps), a, b, c, steps), m


@rule(title="Muon without Nesterov", paper=JORDAN, ranges={"steps": NON_NEGATIVE}, kin=("muon",))
def muon_momentum(g, m, *, lr=0.001, beta=0.95, a=3.4445, b=-4.775, c=2.0315, steps=5.0, eps=1e-7):
    """Muon that orthogonalizes the average itself. torch.optim.Muon with nesterov=False."""
    m = ema(m, g, beta)
    return -lr * sqrt(maximum(1, rows(g) / columns(g))) * newton_schulz(m / maximum(norm(m), eps), a, b, c, steps), m


@rule(
    title="NorMuon",
    paper="Li et al. 2025, arXiv:2510.05491",
    ranges={"steps": NON_NEGATIVE, "beta2": FRACTION},
    kin=("muon", "muon_rms"),
)
def normuon(g, m, v, *, lr=0.001, beta=0.95, beta2=0.95, a=3.4445, b=-4.775, c=2.0315, steps=5.0, eps=1e-8):
    """Muon whose rows are divided by a running root mean square of their own, so that all neurons move alike.

    The step's root mean square is 0.2·lr exactly.
    """
    m = ema(m, g, beta)
    o = newton_schulz(m / maximum(norm(m), eps), a, b, c, steps)
    v = ema(v, mean(o * o, axis=1), beta2)
    u = o / (sqrt(v) + eps)
    size = where(norm(u) > 0, norm(u), 1)
    return -lr * 0.2 * sqrt(rows(g) * columns(g)) / size * u, m, v


muonh = register(
    named(hyperball(muon), name="muonh", title="MuonH", paper=HYPERBALL, defaults={"lr": 0.01}, kin=("muon", "adamh"))
)
