"""Scenarios of one dimension: a slope that stays, a slope that turns, averages that begin at zero."""

from __future__ import annotations

from ravine.playground.presets.preset import Preset, link

SLOPES = (
    Preset(
        "accumulate",
        "Accumulating momentum",
        "A straight slope, from rest, at equal lr. Adam moves at speed lr from the first step on; RMSprop with "
        "momentum gathers speed until it moves at lr/(1−μ), ten times as fast. Watch the step sizes.",
        link(
            "constant_slope",
            [("rmsprop", {"lr": 0.01}), ("rmsprop_momentum", {"lr": 0.01}), ("adam", {"lr": 0.01})],
            view="-11,1,-1,1",
            steps="100",
            speed="20",
            sel="1",
        ),
    ),
    Preset(
        "turn",
        "Changing direction",
        "After a long descent the slope reverses and is ten times weaker. At equal lr, RMSprop with momentum "
        "arrives about ten times as fast and goes much farther before it turns. The lower picture is the position, "
        "time running down.",
        link(
            "kinked_valley",
            [("rmsprop_momentum", {"lr": 0.01}), ("adam", {"lr": 0.01})],
            steps="320",
            speed="40",
            sel="1",
        ),
    ),
    Preset(
        "turn_fast",
        "Changing direction, equal speed",
        "The same valley with Adam's lr 1/(1−μ) times as large, so that both arrive at about the same speed. Now Adam "
        "goes farther: its averages remember the steep side, so it is slow to turn and much slower to come back.",
        link(
            "kinked_valley",
            [("rmsprop_momentum", {"lr": 0.01}), ("adam", {"lr": 0.1})],
            steps="150",
            speed="20",
            sel="1",
        ),
    ),
    Preset(
        "turn_all",
        "Changing direction, eight rules",
        "Eight optimizers with learning rates of their own, from x = 2 on the kinked valley: who overshoots, who "
        "turns, who comes back? Two of them are still on their way.",
        link(
            "kinked_valley",
            [
                ("gd", {"lr": 0.00008}),
                ("momentum", {"lr": 0.00008}),
                ("nesterov", {"lr": 0.008}),
                ("rmsprop", {"lr": 0.02}),
                ("rmsprop_momentum", {"lr": 0.001}),
                ("rmsprop_nesterov", {"lr": 0.008}),
                ("adadelta", {}),
                ("adam", {"lr": 0.01}),
            ],
            steps="500",
            speed="50",
            sel="7",
        ),
    ),
    Preset(
        "bias",
        "Bias correction",
        "Averages that start at zero are too small at first. Adam divides that away, so its first step has length "
        "lr. RMSprop does not: its root is too small, its first step 1/√(1−ρ) times too long. Step forward one by "
        "one.",
        link(
            "constant_slope",
            [
                ("rmsprop", {"lr": 0.01, "rho": 0.999}),
                ("adam", {"lr": 0.01, "beta1": 0.0, "beta2": 0.999}),
                ("adam", {"lr": 0.01, "beta1": 0.9, "beta2": 0.999}),
            ],
            steps="60",
            speed="6",
            sel="2",
        ),
    ),
    Preset(
        "bias_off",
        "Bias correction, switched off",
        "The same Adam with and without it. Its averages m and v begin at zero; divided by 1 − βᵗ, as m̂ and v̂, both "
        "are right from the first step on. Without it v is too small for longer than m, and v divides: the first step "
        "is 3.2 times lr, and the twelfth 6.6 times. The charts show v and the corrected v̂.",
        link(
            "constant_slope",
            [("adam", {"lr": 0.01}), ("adam_uncorrected", {"lr": 0.01, "eps": 1e-8})],
            steps="60",
            speed="6",
            sel="0",
            charts=["=v", "=v̂"],
        ),
    ),
)
