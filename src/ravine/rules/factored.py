"""Adafactor: an average of squares kept as its means over rows and columns."""

from ravine.hyperparameter import NON_NEGATIVE, POSITIVE
from ravine.math import debias, debias_root, ema, ema_square, maximum, mean, minimum, power, rms, sqrt
from ravine.registry import rule

SHAZEER = "Shazeer & Stern 2018, arXiv:1804.04235"
RANGES = {"decay": NON_NEGATIVE, "eps_scale": NON_NEGATIVE, "threshold": POSITIVE}


def scaled_step(x, u, rate, eps_scale, threshold):
    """Against u by `rate` of the parameter's root mean square, and less where u's own is above the threshold."""
    return -rate * maximum(rms(x), eps_scale) * u / maximum(1, rms(u) / threshold)


@rule(title="Adafactor", paper=SHAZEER, ranges=RANGES, kin=("adafactor_optax", "adafactor_torch", "adam"))
def adafactor(x, g, row, col, *, t, lr=0.01, decay=0.8, eps=1e-30, eps_scale=0.001, threshold=1.0):
    """RMSprop whose average of squares is the product of its rows' and columns' means: r + c numbers instead of r·c.

    The step is as long as the parameter (its root mean square, at least `eps_scale`) times min(lr, 1/√t), and clipped
    where its own root mean square is above `threshold`; the average's β is 1 − t^−decay. ε is added to the mean of g².
    Of a vector it keeps the squares as they are: their means over one column.
    """
    beta = 1 - power(t, -decay)
    row = ema_square(row, rms(g, axis=1), beta) + (1 - beta) * eps
    col = ema_square(col, rms(g, axis=0), beta) + (1 - beta) * eps
    u = g / (sqrt(row / mean(row, axis=0)) * sqrt(col))
    return scaled_step(x, u, minimum(lr, 1 / sqrt(t)), eps_scale, threshold), row, col


@rule(title="Adafactor (optax)", paper=SHAZEER, ranges=RANGES, kin=("adafactor", "adafactor_optax_whole"))
def adafactor_optax(x, g, row, col, *, t, lr=0.01, decay=0.8, eps=1e-30, eps_scale=0.001, threshold=1.0):
    """Adafactor whose lr does not fall with 1/√t: optax.adafactor, which factors from 128 rows and columns on."""
    beta = 1 - power(t, -decay)
    row = ema_square(row, rms(g, axis=1), beta) + (1 - beta) * eps
    col = ema_square(col, rms(g, axis=0), beta) + (1 - beta) * eps
    u = g / (sqrt(row / mean(row, axis=0)) * sqrt(col))
    return scaled_step(x, u, lr, eps_scale, threshold), row, col


@rule(title="Adafactor, not factored (optax)", paper=SHAZEER, ranges=RANGES, kin=("adafactor_optax",))
def adafactor_optax_whole(x, g, v, *, t, lr=0.01, decay=0.8, eps=1e-30, eps_scale=0.001, threshold=1.0):
    """`adafactor_optax` that keeps the average of squares itself: optax.adafactor with factored=False."""
    beta = 1 - power(t, -decay)
    v = ema_square(v, g, beta) + (1 - beta) * eps
    return scaled_step(x, g / sqrt(v), lr, eps_scale, threshold), v


@rule(title="Adafactor (torch)", paper=SHAZEER, ranges=RANGES, kin=("adafactor", "adafactor_torch_whole"))
def adafactor_torch(x, g, row, col, *, t, lr=0.01, decay=0.8, eps=2.0**-23, eps_scale=0.001, threshold=1.0):
    """Adafactor with ε as a floor, not a summand: of the rows' mean, and its square of the estimate.

    torch.optim.Adafactor (torch/optim/_adafactor.py), whose ε is that of the parameter's type: by default float32's.
    """
    beta = 1 - power(t, -decay)
    row = ema_square(row, rms(g, axis=1), beta)
    col = ema_square(col, rms(g, axis=0), beta)
    u = g / sqrt(maximum(row * col / maximum(mean(row, axis=0), eps), eps * eps))
    return scaled_step(x, u, minimum(lr, 1 / sqrt(t)), eps_scale, threshold), row, col


@rule(title="Adafactor, not factored (torch)", paper=SHAZEER, ranges=RANGES, kin=("adafactor_torch",))
def adafactor_torch_whole(x, g, v, *, t, lr=0.01, decay=0.8, eps=2.0**-23, eps_scale=0.001, threshold=1.0):
    """`adafactor_torch` that keeps the average of squares itself: torch.optim.Adafactor on vectors and numbers."""
    v = ema_square(v, g, 1 - power(t, -decay))
    u = g / sqrt(maximum(v, eps * eps))
    return scaled_step(x, u, minimum(lr, 1 / sqrt(t)), eps_scale, threshold), v


@rule(title="Adam-mini", paper="Zhang et al. 2024, arXiv:2406.16793", kin=("adam",))
def adam_mini(g, m, v, *, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    """Adam with one average of squares for each row, which is the mean over it: a neuron's weights share a step size.

    The paper's blocks are rows too, but those of a whole head for queries and keys.
    """
    m = ema(m, g, beta1)
    v = ema_square(v, rms(g, axis=1), beta2)
    return -lr * debias(m, beta1, t) / (debias_root(v, beta2, t) + eps), m, v
