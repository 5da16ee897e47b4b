"""Averaged gradient descent: the mean of the points that were visited is the result."""

from ravine.hyperparameter import NON_NEGATIVE
from ravine.math import lerp, maximum, power, where
from ravine.registry import rule


@rule(
    title="ASGD",
    paper="Polyak & Juditsky 1992, doi:10.1137/0330046",
    scalar=("eta", "w"),
    wide=("a",),
    start={"w": 1.0},
    ranges={"lambd": NON_NEGATIVE, "alpha": NON_NEGATIVE},
    read_out=lambda a: a,
    kin=("gd",),
)
def asgd(x, g, a, eta, w, *, t, lr=0.01, lambd=0.0001, alpha=0.75, t0=1e6):
    """Gradient descent with a falling rate eta and a decay lambd; a is x, and from step t0 on the mean of x.

    torch.optim.ASGD (torch/optim/asgd.py), after Bottou's program: eta and the weight w are those of the next step.
    The step does not read a, which is what is to be evaluated; torch, where it is the state's `ax`, leaves that to
    whoever wants it.
    """
    eta = where(t > 1, eta, lr)
    step = -lambd * eta * x - eta * g
    return step, lerp(a, x + step, w), lr / power(1 + lambd * lr * t, alpha), 1 / maximum(t - t0, 1)
