"""MADGRAD: dual averaging, where the parameter follows the sum of all gradients from where it started."""

from ravine.math import cbrt, ema, sqrt, where
from ravine.registry import rule


@rule(
    title="MADGRAD",
    paper="Defazio & Jelassi 2021, arXiv:2101.11075",
    wide=("nu", "s", "x0"),
    kin=("adagrad", "ftrl"),
)
def madgrad(x, g, nu, s, x0, *, t, lr=0.01, mu=0.9, eps=1e-6):
    """Adagrad by dual averaging, with the cube root of the sum of squares; x is an average of the points z so found.

    Late gradients weigh more, by √t. x₀ is where the parameter started, which the first step remembers. The authors'
    code, as this and optax.contrib.madgrad, adds ε to lr as well. It needs less weight decay than others, often none.
    """
    x0 = where(t > 1, x0, x)
    weight = (lr + eps) * sqrt(t)
    nu = nu + weight * g * g
    s = s + weight * g
    z = x0 - s / (cbrt(nu) + eps)
    return ema(x, z, mu) - x, nu, s, x0
