"""Schedule-Free: the average of the points is evaluated, and no schedule of learning rates is needed."""

from ravine.hyperparameter import Range
from ravine.math import debias_root, ema_square, where
from ravine.registry import register, rule
from ravine.rules.descent import gd
from ravine.rules.rmsprop import rmsprop_torch_debiased
from ravine.transforms import behind, decoupled_weight_decay, named, schedule_free

DEFAZIO = "Defazio et al. 2024, arXiv:2405.15682"

schedule_free_sgd = register(
    named(
        schedule_free(gd),
        name="schedule_free_sgd",
        title="Schedule-Free SGD",
        paper=DEFAZIO,
        defaults={"lr": 1.0},
        called={"interpolation": "beta"},
        family=__name__,
        summary="""Gradient descent of z; x, which is trained, lies between z and the average of z, which is evaluated.

optax.contrib.schedule_free_sgd, and the authors' SGDScheduleFree with r = 0. Where lr never rises all z weigh alike.
""",
        kin=("gd", "schedule_free_adamw", "asgd", "madgrad"),
    )
)

schedule_free_adamw = register(
    named(
        schedule_free(decoupled_weight_decay(rmsprop_torch_debiased)),
        name="schedule_free_adamw",
        title="Schedule-Free AdamW",
        paper=DEFAZIO,
        defaults={"lr": 0.0025, "beta2": 0.999},
        called={"interpolation": "beta1", "rho": "beta2"},
        family=__name__,
        summary="""AdamW's steps for z without momentum, whose place the average takes: x, which is trained, is between.

optax.contrib.schedule_free_adamw, and the authors' AdamWScheduleFree with r = 0: the average is what is evaluated. The
decay is of x.
""",
        kin=("adamw", "schedule_free_sgd", "schedule_free_keras"),
    )
)


@rule(
    title="Schedule-Free AdamW (Keras)",
    paper=DEFAZIO,
    ranges={"beta1": Range(low=0.0, high=1.0, low_open=True)},
    wide=("z",),
    read_out=lambda x, z, beta1: behind(x, z, beta1),
    kin=("schedule_free_adamw", "adamw"),
)
def schedule_free_keras(x, g, v, z, *, t, lr=0.0025, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """Schedule-Free AdamW in which all z weigh alike, whatever lr was, and the decay of x is not one of z.

    keras.optimizers.ScheduleFreeAdamW with the JAX backend. With TensorFlow or torch it reads z when that has moved
    already, and so trains the plain average of z, whatever β₁ is; no rule here does that.
    """
    v = ema_square(v, g, beta2)
    z = where(t > 1, z, x)
    average = behind(x - lr * weight_decay * x, z, beta1)
    z = z - lr * g / (debias_root(v, beta2, t) + eps)
    average = (1 - 1 / t) * average + 1 / t * z
    return beta1 * average + (1 - beta1) * z - x, v, z
