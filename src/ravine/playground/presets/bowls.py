"""Scenarios on bowls: what momentum, rescaling and both do on a valley with a long axis."""

from __future__ import annotations

from ravine.playground.presets.preset import Preset, link

BOWLS = (
    Preset(
        "ravine",
        "Down the ravine",
        "A long, narrow valley, eighty times as steep across as along. Gradient descent bounces and crawls, momentum "
        "swings and is first at the bottom, RMSprop creeps down the middle. Who overshoots?",
        link(
            "oblong_bowl",
            [
                ("gd", {"lr": 0.0238}),
                ("momentum", {"lr": 0.01, "mu": 0.8}),
                ("rmsprop", {"lr": 0.02, "rho": 0.9}),
                ("rmsprop_momentum", {"lr": 0.01, "rho": 0.9, "mu": 0.9}),
                ("adam", {"lr": 0.1, "beta1": 0.9, "beta2": 0.99}),
            ],
            param=["condition:80", "tilt:0.25"],
            start="-4.2,0.3",
            steps="160",
            speed="24",
            sel="3",
        ),
    ),
    Preset(
        "bowl_lr",
        "Bowl: three learning rates",
        "Gradient descent with a good learning rate, with one that is too small, and with one a little above 2/20, "
        "where the steep axis stops shrinking and grows.",
        link(
            "oblong_bowl",
            [("gd", {"lr": 0.09}), ("gd", {"lr": 0.005}), ("gd", {"lr": 0.1005})],
            start="-4.5,1",
            view="-5,5,-3.5,3.5",
            steps="120",
            speed="15",
            sel="0",
        ),
    ),
    Preset(
        "bowl",
        "Bowl: what each idea adds",
        "Momentum damps the axis that oscillates and keeps the long one going. RMSprop begins with equal steps on both "
        "axes. Adam does so too, and its momentum brings it to the bottom long before RMSprop.",
        link(
            "oblong_bowl",
            [
                ("gd", {"lr": 0.09}),
                ("momentum", {"lr": 0.09, "mu": 0.5}),
                ("rmsprop", {"lr": 0.05}),
                ("adam", {"lr": 0.15, "beta2": 0.99}),
            ],
            start="-4.5,1.5",
            steps="150",
            speed="20",
            sel="3",
        ),
    ),
    Preset(
        "average",
        "Averaged momentum on the bowl",
        "Momentum as an average of gradients, v = βv + (1−β)g. Across the valley gradients of both signs cancel in v; "
        "along it they all point one way and reinforce each other. Watch the arrows.",
        link(
            "oblong_bowl",
            [("gd", {"lr": 0.095}), ("momentum_ema", {"lr": 0.19, "beta": 0.5})],
            start="-4.5,1",
            steps="60",
            speed="6",
            sel="1",
            charts=["=v", "y"],
            coord="1",
            arrows="1",
        ),
    ),
    Preset(
        "infrequent",
        "Infrequent gradients",
        "A round bowl on which y hears of its gradient in every tenth step only. Gradient descent moves x and y alike "
        "for each gradient, so y takes ten times as many steps as x. RMSprop and Adam move y further for each: they "
        "need less than four times as many.",
        link(
            "oblong_bowl",
            [("gd", {"lr": 0.05}), ("rmsprop", {"lr": 0.02}), ("adam", {"lr": 0.02})],
            param=["condition:1"],
            start="3,3",
            view="-0.5,3.5,-0.5,3.5",
            steps="1000",
            speed="80",
            sel="1",
            noise="infrequent,10,0",
            charts=["y", "rate,log"],
            coord="1",
        ),
    ),
)
