"""Adagrad and Adadelta: a learning rate for each coordinate from the history of its gradients."""

from ravine.math import ema_square, sqrt
from ravine.registry import rule


@rule(
    title="Adagrad",
    paper="Duchi, Hazan & Singer 2011, JMLR 12:2121",
    kin=("adagrad_keras", "rmsprop_torch", "adadelta"),
)
def adagrad(g, s, *, lr=0.01, eps=1e-10):
    """Divides by the root of the sum of all squared gradients, ε outside the root; steps only get shorter.

    torch's and TensorFlow 1's form differ in the start of s; Keras and optax have ε inside the root.
    """
    s = s + g * g
    return -lr * g / (sqrt(s) + eps), s


@rule(title="Adagrad (Keras)", paper="Duchi, Hazan & Singer 2011, JMLR 12:2121", kin=("adagrad", "rmsprop"))
def adagrad_keras(g, s, *, lr=0.001, eps=1e-7):
    """Adagrad with ε inside the root: √(s + ε).

    Keras and optax, which both start s at 0.1 (a recipe's `start`), so that the first steps are not ±lr.
    """
    s = s + g * g
    return -lr * g / sqrt(s + eps), s


@rule(title="Adadelta", paper="Zeiler 2012, arXiv:1212.5701", kin=("rmsprop", "adagrad"))
def adadelta(g, s, u, *, lr=1.0, rho=0.9, eps=1e-6):
    """RMSprop whose learning rate is the root mean square of its own steps, so units cancel; ε inside both roots.

    lr is 1 in the paper and in torch; Keras and TensorFlow default to 0.001, with which it hardly moves.
    """
    s = ema_square(s, g, rho)
    d = sqrt(u + eps) / sqrt(s + eps) * g
    u = ema_square(u, d, rho)
    return -lr * d, s, u
