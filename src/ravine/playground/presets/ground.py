"""Scenarios on ground that is no bowl."""

from __future__ import annotations

from ravine.playground.presets.preset import Preset, link

TWENTY = (
    *("momentum_ema", "adagrad", "adadelta", "rmsprop", "rmsprop_centered", "rmsprop_momentum"),
    *("rmsprop_momentum_centered", "rmsprop_nesterov", "rmsprop_torch", "rmsprop_torch_centered"),
    *("rmsprop_torch_momentum", "rmsprop_torch_momentum_centered", "adam", "adam_eps_hat", "amsgrad", "adamw"),
    *("nadam", "radam", "adamax", "lion"),
)

GROUND = (
    Preset(
        "banana",
        "Rosenbrock's banana",
        "Everybody finds the curved valley within 20 steps. Following its floor to the minimum is the hard part: after "
        "600 only RMSprop with momentum is there.",
        link(
            "rosenbrock",
            [
                ("gd", {"lr": 0.0018}),
                ("momentum", {"lr": 0.0008, "mu": 0.9}),
                ("nesterov", {"lr": 0.0008, "mu": 0.9}),
                ("rmsprop", {"lr": 0.005}),
                ("rmsprop_momentum", {"lr": 0.001}),
                ("adam", {"lr": 0.02, "beta2": 0.99}),
            ],
            steps="600",
            speed="80",
            sel="5",
        ),
    ),
    Preset(
        "saddle",
        "Escape from a saddle",
        "The gradient along the way out is tiny. Rules that rescale each coordinate leave within 15 steps; the others "
        "take 40.",
        link(
            "saddle",
            [("gd", {"lr": 0.1}), ("momentum", {"lr": 0.02}), ("rmsprop", {"lr": 0.02}), ("adam", {"lr": 0.05})],
            steps="150",
            speed="20",
            sel="3",
        ),
    ),
    Preset(
        "heavy",
        "A heavy ball and a flat minimum",
        "A narrow pit in the side of a wide valley: a sharp minimum on the way to a flat one. Gradient descent and "
        "RMSprop end in the pit. Momentum, a heavy ball with friction, rolls over it and comes to rest in the flat "
        "minimum. So does Adam with lr 0.1, whose average of gradients is such a ball; with half of that it ends in "
        "the pit, too.",
        link(
            "sharp_and_flat",
            [
                ("gd", {"lr": 0.05}),
                ("rmsprop", {"lr": 0.05}),
                ("momentum", {"lr": 0.02, "mu": 0.9}),
                ("adam", {"lr": 0.1}),
                ("adam", {"lr": 0.05}),
            ],
            steps="250",
            speed="30",
            sel="2",
        ),
    ),
    Preset(
        "family",
        "Twenty at once",
        "Twenty of the family on one surface, with one learning rate.",
        link("styblinski_tang", [(name, {"lr": 0.02}) for name in TWENTY], steps="600", speed="60", sel="12"),
    ),
)
