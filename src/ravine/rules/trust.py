"""Step lengths by layer: the norm of the whole parameter, or of its gradient, sets them."""

from ravine.hyperparameter import DECAY, NON_NEGATIVE, POSITIVE
from ravine.math import debias, ema, ema_square, maximum, norm, rms, sqrt, where
from ravine.registry import rule


def ratio_of_norms(x, u):
    """‖x‖ / ‖u‖, or 1 where one of them is zero."""
    return where(norm(x) > 0, where(norm(u) > 0, norm(x) / norm(u), 1), 1)


@rule(title="LAMB", paper="You et al. 2020, arXiv:1904.00962", kin=("lamb_keras", "lars", "adamw"))
def lamb(x, g, m, v, *, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.0):
    """Adam with decay, whose whole step is made as long as the parameter times lr.

    optax.lamb; the ratio of the norms is not bounded, as it is in NVIDIA's.
    """
    m = ema(m, g, beta1)
    v = ema_square(v, g, beta2)
    u = debias(m, beta1, t) / (sqrt(debias(v, beta2, t)) + eps) + weight_decay * x
    return -lr * ratio_of_norms(x, u) * u, m, v


@rule(title="LAMB (Keras)", paper="You et al. 2020, arXiv:1904.00962", kin=("lamb", "adam"))
def lamb_keras(x, g, m, v, *, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-7):
    """LAMB whose step has no decay in it: in keras.optimizers.Lamb that is done before, and no part of the ratio."""
    m = ema(m, g, beta1)
    v = ema_square(v, g, beta2)
    u = debias(m, beta1, t) / (sqrt(debias(v, beta2, t)) + eps)
    return -lr * ratio_of_norms(x, u) * u, m, v


@rule(
    title="LARS",
    paper="You, Gitman & Ginsburg 2017, arXiv:1708.03888",
    ranges={"trust": NON_NEGATIVE},
    kin=("lamb", "momentum"),
)
def lars(x, g, delta, *, lr=0.1, mu=0.9, trust=0.001, eps=0.0, weight_decay=0.0):
    """Heavy ball, lr inside the buffer, on gradients made as long as the parameter times the trust coefficient.

    optax.lars, which divides by ‖g + λx‖; the paper divides by ‖g‖ + λ‖x‖. Where a norm is zero the gradient is taken
    as it is.
    """
    u = g + weight_decay * x
    ratio = where(norm(x) > 0, where(norm(u) > 0, trust * norm(x) / (norm(u) + eps), 1), 1)
    delta = mu * delta - lr * ratio * u
    return delta, delta


@rule(
    title="NovoGrad",
    paper="Ginsburg et al. 2019, arXiv:1905.11286",
    ranges={"beta1": DECAY},
    kin=("adam", "lamb"),
)
def novograd(x, g, m, v, *, t, lr=0.001, beta1=0.9, beta2=0.25, eps=1e-6, weight_decay=0.0):
    """Gradients over an average of the layer's squared norm, one number; their sum with decay β₁ is the step.

    v and m start at the first gradient's. optax.novograd.
    """
    size = norm(g)
    v = where(t > 1, ema_square(v, size, beta2), size * size)
    m = beta1 * m + g / (sqrt(v) + eps) + weight_decay * x
    return -lr * m, m, v


@rule(
    title="Fromage",
    paper="Bernstein, Vahdat, Yue & Liu 2020, arXiv:2002.03432",
    ranges={"min_norm": POSITIVE},
    kin=("lars", "gd"),
)
def fromage(x, g, *, lr=0.01, min_norm=1e-6):
    """A step along the gradient as long as the parameter times lr, after which all is shrunk by √(1 + lr²).

    So steps across the parameter leave its norm as it is. optax.fromage, where no norm counts as less than `min_norm`;
    the paper takes the plain gradient where a norm is zero.
    """
    ratio = maximum(norm(x), min_norm) / maximum(norm(g), min_norm)
    shrunk = 1 / sqrt(1 + lr * lr)
    return (shrunk - 1) * x - lr * shrunk * ratio * g


@rule(title="StableAdamW", paper="Wortsman et al. 2023, arXiv:2304.13013, algorithm 2", kin=("adamw", "adafactor"))
def stable_adamw(x, g, m, v, *, t, lr=0.001, beta1=0.9, beta2=0.99, eps=1e-8, weight_decay=0.01):
    """AdamW whose lr is divided by the root mean square of g/√v̂ where that is over 1: while v is too small for g.

    Adafactor's clipping of updates, by the gradient and not its average, so that it is as strong as the surprise is.
    The whole parameter has one rate, and the decay follows it.
    """
    m = ema(m, g, beta1)
    v = ema_square(v, g, beta2)
    root = sqrt(debias(v, beta2, t))
    rate = lr / maximum(rms(g / maximum(root, eps)), 1)
    return -rate * (debias(m, beta1, t) / (root + eps) + weight_decay * x), m, v
