"""Rprop: each coordinate has a step length of its own, and of the gradient only the sign is read."""

from ravine.hyperparameter import DECAY, POSITIVE, Range
from ravine.math import maximum, minimum, sign, where
from ravine.registry import rule

RIEDMILLER = "Riedmiller & Braun 1993, doi:10.1109/ICNN.1993.298623"
RANGES = {
    "eta_minus": DECAY,
    "eta_plus": Range(low=1.0, low_open=True),
    "step_min": POSITIVE,
    "step_max": POSITIVE,
}


@rule(title="Rprop", paper=RIEDMILLER, ranges=RANGES, kin=("rprop_optax", "lion", "rmsprop"))
def rprop(g, prev, s, *, t, lr=0.01, eta_minus=0.5, eta_plus=1.2, step_min=1e-6, step_max=50.0):
    """Step lengths start at lr, grow while the gradient's sign stays and shrink where it turns; there nothing moves.

    torch.optim.Rprop (torch/optim/rprop.py): after a turn the gradient counts as zero, so the length is then kept once.
    lr is read in the first step alone. A gradient that is NaN has no sign, and moves nothing. For whole batches:
    noise in a minibatch turns signs.
    """
    s = where(t > 1, s, s + lr)
    agreement = g * prev
    s = where(agreement > 0, s * eta_plus, where(agreement < 0, s * eta_minus, s))
    s = minimum(maximum(s, step_min), step_max)
    g = where(agreement < 0, 0, g)
    return where(g > 0, -s, where(g < 0, s, 0)), g, s


@rule(title="Rprop (optax)", paper=RIEDMILLER, ranges=RANGES, kin=("rprop",))
def rprop_optax(g, prev, s, *, t, lr=0.01, eta_minus=0.5, eta_plus=1.2, step_min=1e-6, step_max=50.0):
    """Rprop that takes each step when the next gradient comes, unless that has turned: optax.rprop (0.2.8).

    It remembers the step, not the gradient, the first step is zero, and a length is bounded only where it changes.
    """
    s = where(t > 1, s, s + lr)
    agreement = g * prev
    longer, shorter = (minimum(maximum(s * eta, step_min), step_max) for eta in (eta_plus, eta_minus))
    s = where(agreement > 0, longer, where(agreement < 0, shorter, s))
    has_turned = agreement < 0
    return where(has_turned, 0, -prev), where(has_turned, 0, s * sign(g)), s
