"""Lion, Signum and signSGD: only the sign of the momentum, or of the gradient."""

from ravine.hyperparameter import FRACTION
from ravine.math import ema, sign
from ravine.registry import rule


@rule(
    title="Lion",
    paper="Chen et al. 2023, arXiv:2302.06675",
    kin=("momentum_ema", "adam"),
    ranges={"beta1": FRACTION, "beta2": FRACTION},
)
def lion(g, m, *, lr=0.0001, beta1=0.9, beta2=0.99):
    """Every coordinate moves by exactly ±lr, along the sign of an average of m and g; m is kept with another average.

    The paper's decay is decoupled: wrap it in `decoupled_weight_decay`.
    """
    return -lr * sign(ema(m, g, beta1)), ema(m, g, beta2)


@rule(title="Signum", paper="Bernstein et al. 2018, arXiv:1802.04434", kin=("lion", "momentum_ema"))
def signum(g, m, *, lr=0.001, beta=0.9):
    """Every coordinate moves by exactly ±lr, along the sign of its averaged gradient. optax.signum."""
    m = ema(m, g, beta)
    return -lr * sign(m), m


@rule(title="signSGD", paper="Bernstein et al. 2018, arXiv:1802.04434", kin=("signum", "gd", "rprop"))
def sign_sgd(g, *, lr=0.001):
    """Every coordinate moves by exactly ±lr, against its gradient; nothing is remembered. optax.sign_sgd."""
    return -lr * sign(g)
