"""Adam's relatives: another second moment, a second average of the gradient, or another order of the same steps."""

from ravine.hyperparameter import NON_NEGATIVE
from ravine.math import debias, debias_root, ema, ema_square, maximum, minimum, norm, power, sign, sqrt, where
from ravine.registry import rule


@rule(
    title="Adam, not bias-corrected",
    paper="Devlin et al. 2019, arXiv:1810.04805",
    kin=("adam", "adam_eps_hat"),
)
def adam_uncorrected(g, m, v, *, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-6):
    """Adam without the correction for a start at zero, as BERT was trained: its first steps are three times as long."""
    m = ema(m, g, beta1)
    v = ema_square(v, g, beta2)
    return -lr * m / (sqrt(v) + eps), m, v


@rule(
    title="Yogi",
    paper="Zaheer et al. 2018, Adaptive methods for nonconvex optimization",
    start={"m": 1e-6, "v": 1e-6},
    wide=("v",),  # it must not become zero, as a slot that may be negative does in few bits
    kin=("adam", "adabelief"),
)
def yogi(g, m, v, *, t, lr=0.01, beta1=0.9, beta2=0.999, eps=0.001):
    """Adam whose v moves towards g² by (1−β₂)·g², whatever the distance, so that it never falls fast.

    optax.yogi, which starts m at 1e-6 as well.
    """
    m = ema(m, g, beta1)
    v = v - (1 - beta2) * g * g * sign(v - g * g)
    return -lr * debias(m, beta1, t) / (sqrt(debias(v, beta2, t)) + eps), m, v


@rule(
    title="AdaBelief",
    paper="Zhuang et al. 2020, arXiv:2010.07468",
    ranges={"eps_root": NON_NEGATIVE},
    kin=("adam", "yogi", "rmsprop_centered"),
)
def adabelief(g, m, v, *, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-16, eps_root=1e-16):
    """Adam that divides by how far gradients are from their own average: long steps where they come as expected.

    ε′ is added to v in every step, and stays in it. optax.adabelief.
    """
    m = ema(m, g, beta1)
    v = ema_square(v, g - m, beta2) + eps_root
    return -lr * debias(m, beta1, t) / (sqrt(debias(v, beta2, t)) + eps), m, v


@rule(title="Adan", paper="Xie et al. 2022, arXiv:2208.06677", ranges={"eps_root": NON_NEGATIVE}, kin=("adam", "nadam"))
def adan(g, m, v, n, p, *, t, lr=0.001, beta1=0.98, beta2=0.92, beta3=0.99, eps=1e-8, eps_root=1e-8):
    """Nesterov's look-ahead by averages of the gradient and of its change, over that of their combined square.

    The paper's β are one minus these. optax.adan. p is the gradient before.
    """
    change = where(t > 1, g - p, 0)
    m = ema(m, g, beta1)
    v = ema(v, change, beta2)
    n = ema_square(n, g + (1 - beta2) * change, beta3)
    u = debias(m, beta1, t) + (1 - beta2) * debias(v, beta2, t)
    return -lr * u / (sqrt(debias(n, beta3, t) + eps_root) + eps), m, v, n, g


@rule(
    title="AdEMAMix",
    paper="Pagliardini, Ablin & Grangier 2024, arXiv:2409.03137",
    ranges={"alpha": NON_NEGATIVE},
    kin=("adam", "lion"),
)
def ademamix(g, m, s, v, *, t, lr=0.001, beta1=0.9, beta2=0.999, beta3=0.9999, alpha=5.0, eps=1e-8):
    """Adam with a second, very slow average of gradients, s, added α times and not corrected for its start.

    The paper warms β₃ and α up; optax.contrib.ademamix, as this, leaves that to the caller.
    """
    m = ema(m, g, beta1)
    s = ema(s, g, beta3)
    v = ema_square(v, g, beta2)
    return -lr * (debias(m, beta1, t) + alpha * s) / (sqrt(debias(v, beta2, t)) + eps), m, s, v


@rule(title="ADOPT", paper="Taniguchi et al. 2024, arXiv:2411.02853", kin=("adam", "rmsprop_torch"))
def adopt(g, m, v, *, t, lr=0.001, beta1=0.9, beta2=0.9999, eps=1e-6):
    """Rescales by the average from *before* this gradient, clips at (t−1)^¼, and then takes the momentum.

    The first step, clipped at 0, only starts v. optax.contrib.adopt.
    """
    bound = power(t - 1, 0.25)
    u = maximum(minimum(g / maximum(sqrt(v), eps), bound), -bound)
    m = ema(m, u, beta1)
    v = where(t > 1, ema_square(v, g, beta2), g * g)
    return -lr * m, m, v


@rule(title="LaProp", paper="Ziyin, Wang & Ueda 2020, arXiv:2002.04839", kin=("adam", "adopt", "rmsprop_momentum"))
def laprop(g, m, v, *, t, lr=0.0004, beta1=0.9, beta2=0.999, eps=1e-15):
    """Adam the other way round: the gradient is rescaled first, and the momentum is the average of rescaled ones.

    The authors' code and timm's weight each rescaled gradient with the lr of its own step as well; while lr is constant
    that is the same.
    """
    v = ema_square(v, g, beta2)
    m = ema(m, g / (debias_root(v, beta2, t) + eps), beta1)
    return -lr * debias(m, beta1, t), m, v


@rule(
    title="MARS",
    paper="Yuan et al. 2024, arXiv:2411.10438, algorithm 2, approximate",
    ranges={"gamma": NON_NEGATIVE},
    kin=("adamw", "adan"),
)
def mars(g, m, v, p, *, t, lr=0.003, beta1=0.95, beta2=0.99, gamma=0.025, eps=1e-8):
    """Adam on gradients corrected by how they changed since the step before, which takes noise out of their average.

    The corrected gradient c is shortened to norm 1, that of the whole parameter. Its change is taken against the
    gradient p of the batch before, not of this batch at the point before: that would cost a second gradient. Decay is
    decoupled: wrap it in `decoupled_weight_decay`. timm.optim.Mars on matrices.
    """
    c = g + gamma * (beta1 / (1 - beta1)) * where(t > 1, g - p, 0)
    c = c / maximum(norm(c), 1)
    m = ema(m, c, beta1)
    v = ema_square(v, c, beta2)
    return -lr * debias(m, beta1, t) / (debias_root(v, beta2, t) + eps), m, v, g
