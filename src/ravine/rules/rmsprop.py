"""RMSprop: the gradient over a running root mean square of itself. ε, momentum and centring vary."""

from ravine.hyperparameter import DECAY
from ravine.math import debias, debias_root, ema_square, lerp, sqrt, variance
from ravine.registry import rule

HINTON = "Tieleman & Hinton 2012, Coursera: Neural Networks for Machine Learning, lecture 6.5"
GRAVES = "Graves 2013, arXiv:1308.0850, equations 38 to 45"


def ahead(delta, mu):
    """Where Nesterov's variants take the gradient."""
    return mu * delta


@rule(title="RMSprop", paper=HINTON, kin=("rmsprop_torch", "rmsprop_momentum", "rmsprop_centered", "adagrad", "adam"))
def rmsprop(g, s, *, lr=0.001, rho=0.9, eps=1e-7):
    """Divides by the root of an average of squared gradients, ε inside the root: √(s + ε).

    TensorFlow, Keras and optax by default; torch has ε outside (`rmsprop_torch`). g is weighted before it is squared,
    as in torch: after one g whose square overflows TensorFlow's s is NaN, Keras's and optax's is infinite for ever.
    """
    s = ema_square(s, g, rho)
    return -lr * g / sqrt(s + eps), s


@rule(
    title="RMSprop with momentum", paper=HINTON, kin=("rmsprop", "rmsprop_torch_momentum", "rmsprop_nesterov", "adam")
)
def rmsprop_momentum(g, s, delta, *, lr=0.001, rho=0.9, mu=0.9, eps=1e-7):
    """Heavy ball on the *rescaled* gradient, lr inside the buffer, ε inside the root. TensorFlow, Keras."""
    s = ema_square(s, g, rho)
    delta = mu * delta - lr * g / sqrt(s + eps)
    return delta, s, delta


@rule(title="RMSprop with Nesterov momentum", paper=HINTON, look_ahead=ahead, kin=("rmsprop_momentum", "nesterov"))
def rmsprop_nesterov(g, s, delta, *, lr=0.001, rho=0.9, mu=0.9, eps=1e-7):
    """RMSprop with momentum, g and so s taken at the look-ahead point x + μΔ; ε inside the root."""
    s = ema_square(s, g, rho)
    delta = mu * delta - lr * g / sqrt(s + eps)
    return delta, s, delta


@rule(title="RMSprop, centred", paper=GRAVES, kin=("rmsprop", "rmsprop_torch_centered"), wide=("s", "a"))
def rmsprop_centered(g, s, a, *, lr=0.001, rho=0.9, eps=1e-7):
    """Divides by the standard deviation of recent gradients, √(s − a² + ε), where a is their average.

    Under a steady gradient s − a² vanishes, and rounding may take it below zero: that counts as zero. Keras's and
    optax's step is NaN there once it is below −ε; TensorFlow's averages seldom come to it.
    """
    s = ema_square(s, g, rho)
    a = lerp(a, g, 1 - rho)
    return -lr * g / sqrt(variance(s, a) + eps), s, a


@rule(
    title="RMSprop with momentum, centred", paper=GRAVES, kin=("rmsprop_momentum", "rmsprop_centered"), wide=("s", "a")
)
def rmsprop_momentum_centered(g, s, a, delta, *, lr=0.001, rho=0.9, mu=0.9, eps=1e-7):
    """Graves's RMSprop: centred, heavy ball on the rescaled gradient, lr inside the buffer, ε inside the root."""
    s = ema_square(s, g, rho)
    a = lerp(a, g, 1 - rho)
    delta = mu * delta - lr * g / sqrt(variance(s, a) + eps)
    return delta, s, a, delta


@rule(
    title="RMSprop with Nesterov momentum, centred",
    paper=GRAVES,
    look_ahead=ahead,
    kin=("rmsprop_nesterov",),
    wide=("s", "a"),
)
def rmsprop_nesterov_centered(g, s, a, delta, *, lr=0.001, rho=0.9, mu=0.9, eps=1e-7):
    """Graves's RMSprop with everything taken at the look-ahead point x + μΔ; ε inside the root."""
    s = ema_square(s, g, rho)
    a = lerp(a, g, 1 - rho)
    delta = mu * delta - lr * g / sqrt(variance(s, a) + eps)
    return delta, s, a, delta


@rule(title="RMSprop (torch)", paper=HINTON, kin=("rmsprop", "rmsprop_torch_momentum", "rmsprop_torch_centered"))
def rmsprop_torch(g, s, *, lr=0.01, rho=0.99, eps=1e-8):
    """RMSprop with ε outside the root: √s + ε. torch.optim.RMSprop (torch/optim/rmsprop.py)."""
    s = ema_square(s, g, rho)
    return -lr * g / (sqrt(s) + eps), s


@rule(title="RMSprop with momentum (torch)", paper=HINTON, kin=("rmsprop_momentum", "rmsprop_torch"))
def rmsprop_torch_momentum(g, s, b, *, lr=0.01, rho=0.99, mu=0.9, eps=1e-8):
    """Momentum on the rescaled gradient with lr *outside* the buffer, ε outside the root. torch.optim.RMSprop."""
    s = ema_square(s, g, rho)
    b = mu * b + g / (sqrt(s) + eps)
    return -lr * b, s, b


@rule(title="RMSprop, centred (torch)", paper=GRAVES, kin=("rmsprop_centered", "rmsprop_torch"), wide=("s", "a"))
def rmsprop_torch_centered(g, s, a, *, lr=0.01, rho=0.99, eps=1e-8):
    """Centred RMSprop with ε outside the root: √(s − a²) + ε. torch.optim.RMSprop with centered=True.

    Under a steady gradient s − a² vanishes, and rounding may take it below zero: that counts as zero, where torch's
    step is NaN. The averages are taken in torch's order of operations.
    """
    s = ema_square(s, g, rho)
    a = lerp(a, g, 1 - rho)
    return -lr * g / (sqrt(variance(s, a)) + eps), s, a


@rule(title="RMSprop with momentum, centred (torch)", paper=GRAVES, kin=("rmsprop_momentum_centered",), wide=("s", "a"))
def rmsprop_torch_momentum_centered(g, s, a, b, *, lr=0.01, rho=0.99, mu=0.9, eps=1e-8):
    """Centred, momentum with lr outside the buffer, ε outside the root. torch.optim.RMSprop."""
    s = ema_square(s, g, rho)
    a = lerp(a, g, 1 - rho)
    b = mu * b + g / (sqrt(variance(s, a)) + eps)
    return -lr * b, s, a, b


@rule(
    title="RMSprop, bias-corrected",
    paper=HINTON,
    ranges={"rho": DECAY},
    kin=("rmsprop", "rmsprop_torch_debiased", "adam"),
)
def rmsprop_debiased(g, s, *, t, lr=0.001, rho=0.9, eps=1e-8):
    """RMSprop corrected for its start at zero, ε inside the root. optax.rmsprop with bias_correction=True."""
    s = ema_square(s, g, rho)
    return -lr * g / sqrt(debias(s, rho, t) + eps), s


@rule(
    title="RMSprop, bias-corrected (torch's ε)",
    paper=HINTON,
    ranges={"rho": DECAY},
    kin=("rmsprop_torch", "rmsprop_debiased", "adam"),
)
def rmsprop_torch_debiased(g, s, *, t, lr=0.001, rho=0.9, eps=1e-8):
    """RMSprop corrected for its start at zero, ε outside the root: Adam with β₁ = 0.

    optax.rmsprop with bias_correction=True and eps_in_sqrt=False.
    """
    s = ema_square(s, g, rho)
    return -lr * g / (debias_root(s, rho, t) + eps), s


@rule(
    title="RMSprop, bias-corrected and centred",
    paper=GRAVES,
    ranges={"rho": DECAY},
    start={"s": 0.1},
    kin=("rmsprop_centered", "rmsprop_debiased"),
    wide=("s", "a"),
)
def rmsprop_debiased_centered(g, s, a, *, t, lr=0.001, rho=0.9, eps=0.01):
    """Centred RMSprop with both averages corrected for a start at zero; ε inside the root.

    With s = 0 at the start, the first step would divide by the root of a rounding error and ε; so s starts at 0.1,
    and ε is large: along a steady gradient the variance under the root vanishes.
    optax.rmsprop with centered=True and bias_correction=True, whose s does start at zero by default.
    """
    s = ema_square(s, g, rho)
    a = lerp(a, g, 1 - rho)
    mean = debias(a, rho, t)
    return -lr * g / sqrt(variance(debias(s, rho, t), mean) + eps), s, a


@rule(
    title="RMSprop, bias-corrected and centred (torch's ε)",
    paper=GRAVES,
    ranges={"rho": DECAY},
    start={"s": 0.1},
    kin=("rmsprop_torch_centered", "rmsprop_debiased_centered"),
    wide=("s", "a"),
)
def rmsprop_torch_debiased_centered(g, s, a, *, t, lr=0.001, rho=0.9, eps=0.1):
    """As `rmsprop_debiased_centered`, ε outside the root. optax.rmsprop with eps_in_sqrt=False as well."""
    s = ema_square(s, g, rho)
    a = lerp(a, g, 1 - rho)
    mean = debias(a, rho, t)
    return -lr * g / (sqrt(variance(debias(s, rho, t), mean)) + eps), s, a
