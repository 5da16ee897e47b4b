"""Schedule-Free: the average of the points is evaluated, and no schedule of learning rates is needed."""

from ravine.registry import register
from ravine.rules.descent import gd
from ravine.rules.rmsprop import rmsprop_torch_debiased
from ravine.transforms import decoupled_weight_decay, named, schedule_free

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
decay is of x. Keras's ScheduleFreeAdamW is another version of it.
""",
        kin=("adamw", "schedule_free_sgd"),
    )
)
