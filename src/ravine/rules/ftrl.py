"""Follow the regularized leader: the parameter is found anew from all gradients, and an l₁ penalty makes it sparse."""

from ravine.hyperparameter import NON_NEGATIVE, POSITIVE
from ravine.math import maximum, minimum, sqrt
from ravine.registry import rule


@rule(
    title="FTRL-Proximal",
    paper="McMahan et al. 2013, Ad click prediction: a view from the trenches",
    ranges={"lr": POSITIVE, "beta": NON_NEGATIVE, "l1": NON_NEGATIVE, "l2": NON_NEGATIVE},
    wide=("z", "n"),
    kin=("adagrad", "gd"),
)
def ftrl(x, g, z, n, *, lr=0.1, beta=1.0, l1=0.0, l2=0.0):
    """Adagrad's rates, with penalties l₁·|x| and l₂·x²/2 counted exactly: where |z| is at most l₁ the parameter is 0.

    The first step forgets where the parameter started, but for what n started with: 0 here and in the paper, 0.1 in
    TensorFlow and Keras, whose β is 0 and whose l₂ is half as large.
    """
    root = sqrt(n)
    n = n + g * g
    z = z + g - (sqrt(n) - root) / lr * x
    return (minimum(maximum(z, -l1), l1) - z) / ((beta + sqrt(n)) / lr + l2) - x, z, n
