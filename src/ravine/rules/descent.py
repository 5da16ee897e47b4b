"""Gradient descent, and momentum on the gradient."""

from ravine.math import ema, where
from ravine.registry import rule

POLYAK = "Polyak 1964, doi:10.1016/0041-5553(64)90137-5"
SUTSKEVER = "Sutskever, Martens, Dahl & Hinton 2013, On the importance of initialization and momentum in deep learning"


@rule(title="Gradient descent", paper="Cauchy 1847", kin=("momentum",))
def gd(g, *, lr=0.01):
    """A step against the gradient, as long as the gradient is steep."""
    return -lr * g


@rule(title="Momentum (heavy ball)", paper=POLYAK, kin=("momentum_ema", "momentum_torch", "nesterov"))
def momentum(g, delta, *, lr=0.01, mu=0.9):
    """The step itself decays and accumulates. lr is inside the buffer: a drop of lr acts only on gradients to come.

    Keras's SGD does this; TensorFlow 1 and torch keep lr outside the buffer (`momentum_torch`).
    """
    delta = mu * delta - lr * g
    return delta, delta


@rule(title="Momentum (averaged gradient)", paper=POLYAK, kin=("momentum",))
def momentum_ema(g, v, *, lr=0.1, beta=0.9):
    """A step along an exponentially weighted average of gradients: heavy ball with lr·(1−β) for lr."""
    v = ema(v, g, beta)
    return -lr * v, v


@rule(title="Momentum (torch)", paper=SUTSKEVER, kin=("momentum", "nesterov_torch"))
def momentum_torch(g, b, *, t, lr=0.01, mu=0.9, dampening=0.0):
    """Gradients accumulate, lr is outside the buffer: a drop of lr acts at once. The first step is not dampened.

    torch.optim.SGD (torch/optim/sgd.py).
    """
    b = where(t > 1, mu * b + (1 - dampening) * g, g)
    return -lr * b, b


@rule(title="Nesterov momentum (torch)", paper=SUTSKEVER, kin=("nesterov", "momentum_torch"))
def nesterov_torch(g, b, *, lr=0.01, mu=0.9):
    """Nesterov's method written for gradients taken at the stored parameter, lr outside the buffer.

    torch.optim.SGD with nesterov=True (torch/optim/sgd.py). While lr is constant it moves the parameter as `nesterov`
    does when its look-ahead point is what is stored.
    """
    b = mu * b + g
    return -lr * (g + mu * b), b


@rule(title="Nesterov momentum, dampened (torch)", paper=SUTSKEVER, kin=("nesterov_torch", "momentum_torch"))
def nesterov_torch_dampened(g, b, *, t, lr=0.01, mu=0.9, dampening=0.5):
    """`nesterov_torch` with the dampening of `momentum_torch`. It is no Nesterov method, but torch computes it.

    torch.optim.SGD's constructor refuses it; a parameter group that has a dampening of its own is stepped by it.
    """
    b = where(t > 1, mu * b + (1 - dampening) * g, g)
    return -lr * (g + mu * b), b


@rule(
    title="Nesterov's accelerated gradient",
    paper="Nesterov 1983; " + SUTSKEVER,
    look_ahead=lambda delta, mu: mu * delta,
    kin=("momentum", "nesterov_torch"),
)
def nesterov(g, delta, *, lr=0.01, mu=0.9):
    """Heavy ball that takes the gradient where its momentum is about to carry it, at x + μΔ."""
    delta = mu * delta - lr * g
    return delta, delta
