"""Adam and its relatives: a running mean of gradients over the root of a running mean of their squares."""

from ravine.hyperparameter import FRACTION, NON_NEGATIVE, Range
from ravine.math import abs, debias, debias_root, ema, ema_square, maximum, power, sqrt, where
from ravine.registry import register, rule
from ravine.transforms import decoupled_weight_decay, hyperball, named

ADAM = "Kingma & Ba 2015, arXiv:1412.6980"


@rule(
    title="Adam",
    paper=ADAM,
    kin=("adam_uncorrected", "adam_eps_hat", "adam_eps_root", "amsgrad", "adamw", "nadam", "radam", "rmsprop_torch"),
)
def adam(g, m, v, *, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    """Momentum over RMSprop, both corrected for their start at zero; ε outside the root, after the correction.

    torch and optax do this; TensorFlow and Keras add ε before the correction (`adam_eps_hat`). In torch's order, g is
    weighted before it is squared, and v's root is taken before the correction: one g of 1e20 in float32, whose square
    is infinite, passes. It leaves optax's v infinite, so its steps are zero for ever.
    """
    m = ema(m, g, beta1)
    v = ema_square(v, g, beta2)
    return -lr * debias(m, beta1, t) / (debias_root(v, beta2, t) + eps), m, v


@rule(title="Adam with ε̂", paper=ADAM + ", end of section 2", ranges={"beta2": FRACTION}, kin=("adam",))
def adam_eps_hat(g, m, v, *, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-7):
    """Adam with both corrections folded into the learning rate, so ε is added to the uncorrected root.

    TensorFlow and Keras. ε weighs 1/√(1−β₂ᵗ) times as much as Adam's: 32 times at the first step. After one g whose
    square overflows theirs is NaN; here g is weighted before it is squared, as in `adam`.
    """
    m = ema(m, g, beta1)
    v = ema_square(v, g, beta2)
    return -(lr * sqrt(1 - power(beta2, t)) / (1 - power(beta1, t))) * m / (sqrt(v) + eps), m, v


@rule(title="Adam with ε in the root", paper=ADAM, ranges={"eps_root": NON_NEGATIVE}, kin=("adam", "adam_eps_hat"))
def adam_eps_root(g, m, v, *, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8, eps_root=1e-16):
    """Adam with a second ε inside the root, which keeps the root's derivative finite where v is zero.

    optax.adam with eps_root, for differentiating through the update.
    """
    m = ema(m, g, beta1)
    v = ema_square(v, g, beta2)
    return -lr * debias(m, beta1, t) / (sqrt(debias(v, beta2, t) + eps_root) + eps), m, v


@rule(
    title="AMSGrad",
    paper="Reddi, Kale & Kumar 2018, arXiv:1904.09237",
    kin=("adam", "amsgrad_eps_hat", "amsgrad_optax"),
)
def amsgrad(g, m, v, w, *, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    """Adam whose denominator never shrinks: w is the largest v so far, corrected for bias after the maximum.

    torch.optim.Adam with amsgrad=True; optax takes the maximum of corrected v's.
    """
    m = ema(m, g, beta1)
    v = ema_square(v, g, beta2)
    w = maximum(w, v)
    return -lr * debias(m, beta1, t) / (debias_root(w, beta2, t) + eps), m, v, w


@rule(
    title="AMSGrad with ε̂",
    paper="Reddi, Kale & Kumar 2018, arXiv:1904.09237",
    ranges={"beta2": FRACTION},
    kin=("amsgrad", "adam_eps_hat"),
)
def amsgrad_eps_hat(g, m, v, w, *, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-7):
    """AMSGrad with both corrections folded into the learning rate, so ε is added to the uncorrected root.

    keras.optimizers.Adam with amsgrad=True.
    """
    m = ema(m, g, beta1)
    v = ema_square(v, g, beta2)
    w = maximum(w, v)
    return -(lr * sqrt(1 - power(beta2, t)) / (1 - power(beta1, t))) * m / (sqrt(w) + eps), m, v, w


@rule(
    title="AMSGrad (optax)",
    paper="Reddi, Kale & Kumar 2018, arXiv:1904.09237",
    ranges={"eps_root": NON_NEGATIVE},
    kin=("amsgrad", "adam_eps_root"),
)
def amsgrad_optax(g, m, v, w, *, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8, eps_root=0.0):
    """AMSGrad that remembers the largest *corrected* v: the first steps, where v̂ is one g², weigh for ever."""
    m = ema(m, g, beta1)
    v = ema_square(v, g, beta2)
    w = maximum(w, debias(v, beta2, t))
    return -lr * debias(m, beta1, t) / (sqrt(w + eps_root) + eps), m, v, w


@rule(
    title="NAdam",
    paper="Dozat 2016, Incorporating Nesterov Momentum into Adam",
    scalar=("product",),
    start={"product": 1.0},
    kin=("adam", "nadam_optax", "nesterov"),
)
def nadam(g, m, v, product, *, t, lr=0.002, beta1=0.9, beta2=0.999, eps=1e-8, momentum_decay=0.004):
    """Adam with Nesterov's look at the next step, β₁ warmed up by a schedule; `product` is the product of its values.

    torch.optim.NAdam (torch/optim/nadam.py); Keras's Nadam is this with momentum_decay 1. optax has no schedule.
    """
    mu = beta1 * (1 - 0.5 * power(0.96, t * momentum_decay))
    mu_next = beta1 * (1 - 0.5 * power(0.96, (t + 1) * momentum_decay))
    product = product * mu
    m = ema(m, g, beta1)
    v = ema_square(v, g, beta2)
    ahead = (1 - mu) / (1 - product) * g + mu_next / (1 - product * mu_next) * m
    return -lr * ahead / (sqrt(debias(v, beta2, t)) + eps), m, v, product


@rule(
    title="NAdam (optax)",
    paper="Dozat 2016, Incorporating Nesterov Momentum into Adam",
    ranges={"eps_root": NON_NEGATIVE},
    kin=("nadam", "adam_eps_root"),
)
def nadam_optax(g, m, v, *, t, lr=0.002, beta1=0.9, beta2=0.999, eps=1e-8, eps_root=0.0):
    """NAdam whose β₁ is not warmed up, so no product is kept. optax.nadam, and optax.adam with nesterov=True."""
    m = ema(m, g, beta1)
    v = ema_square(v, g, beta2)
    ahead = beta1 * debias(m, beta1, t + 1) + (1 - beta1) * debias(g, beta1, t)
    return -lr * ahead / (sqrt(debias(v, beta2, t) + eps_root) + eps), m, v


def rectification(longest, beta2, t):
    """RAdam's ρ, how many gradients the average v is worth at step t, and its factor r; `longest` is ρ in the end."""
    decayed = power(beta2, t)
    length = longest - 2 * t * decayed / (1 - decayed)
    return length, sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))


@rule(title="RAdam", paper="Liu et al. 2020, arXiv:1908.03265", kin=("adam", "radam_optax"))
def radam(g, m, v, *, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    """Adam that goes by momentum alone until the average v is long enough (ρ > 5), then rectified. ε outside the root.

    torch.optim.RAdam (torch/optim/radam.py), which adds ε before the bias correction, as here.
    """
    m = ema(m, g, beta1)
    v = ema_square(v, g, beta2)
    longest = maximum(2 / (1 - beta2) - 1, 5)  # a shorter average never gets past 5: the lower bound keeps r finite
    length, r = rectification(longest, beta2, t)
    adaptive = r * sqrt(1 - power(beta2, t)) / (sqrt(v) + eps)
    return -lr * debias(m, beta1, t) * where(length > 5, adaptive, 1), m, v


@rule(
    title="RAdam (optax)",
    paper="Liu et al. 2020, arXiv:1908.03265",
    ranges={"eps_root": NON_NEGATIVE, "threshold": Range(low=4.5)},
    kin=("radam", "adam_eps_root"),
)
def radam_optax(g, m, v, *, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8, eps_root=0.0, threshold=5.0):
    """RAdam with ε after the bias correction, rectified from ρ = `threshold` on. optax.radam."""
    m = ema(m, g, beta1)
    v = ema_square(v, g, beta2)
    longest = maximum(2 / (1 - beta2) - 1, 4.5)  # a shorter average never gets to the threshold
    length, r = rectification(longest, beta2, t)
    adaptive = r / (sqrt(debias(v, beta2, t) + eps_root) + eps)
    return -lr * debias(m, beta1, t) * where(length >= threshold, adaptive, 1), m, v


@rule(title="Adamax", paper=ADAM + ", section 7.1", kin=("adam", "adamax_keras"))
def adamax(g, m, u, *, t, lr=0.002, beta1=0.9, beta2=0.999, eps=1e-8):
    """Adam with a decaying maximum of |g| for the root mean square; ε is added to |g|, so u is never zero.

    torch.optim.Adamax (torch/optim/adamax.py); the paper has no ε, Keras adds it to u.
    """
    m = ema(m, g, beta1)
    u = maximum(beta2 * u, abs(g) + eps)
    return -(lr / (1 - power(beta1, t))) * m / u, m, u


@rule(title="Adamax (Keras)", paper=ADAM + ", section 7.1", ranges={"beta2": FRACTION}, kin=("adamax",))
def adamax_keras(g, m, u, *, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-7):
    """Adamax with ε added to u where it divides, so u itself remembers |g| exactly. keras.optimizers.Adamax."""
    m = ema(m, g, beta1)
    u = maximum(beta2 * u, abs(g))
    return -(lr / (1 - power(beta1, t))) * m / (u + eps), m, u


adamw = register(
    named(
        decoupled_weight_decay(adam),
        name="adamw",
        title="AdamW",
        paper="Loshchilov & Hutter 2019, arXiv:1711.05101",
        defaults={"weight_decay": 0.01},
        kin=("adam",),
    )
)

adamh = register(
    named(
        hyperball(adam),
        name="adamh",
        title="AdamH",
        paper="Wen et al. 2025, Fantastic pretraining optimizers and where to find them 2: hyperball optimization",
        defaults={"lr": 0.01},
        kin=("adam", "muonh"),
    )
)
