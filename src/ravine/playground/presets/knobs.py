"""Scenarios in which one knob is turned."""

from __future__ import annotations

from ravine.playground.presets.preset import Preset, link

KNOBS = (
    Preset(
        "eps",
        "The knob ε",
        "With a small ε every coordinate moves at full speed, however small its gradient. With a large one RMSprop "
        "turns into gradient descent with lr/√ε once its gradients are small.",
        link(
            "oblong_bowl",
            [("rmsprop", {"lr": 0.05, "eps": e}) for e in (1e-7, 1.0, 100.0)],
            start="-4.5,1.5",
            steps="200",
            speed="25",
            sel="1",
        ),
    ),
    Preset(
        "beta",
        "The knob β₂",
        "How long the average of squared gradients remembers, under heavy-tailed noise. The largest gradient comes in "
        "step 258. With β₂ = 0.5 it is divided by itself and moves Adam less than most. With 0.999 it makes Adam's "
        "longest step since the start; those that follow are about half as long as before.",
        link(
            "oblong_bowl",
            [("adam", {"lr": 0.1, "beta2": b}) for b in (0.5, 0.9, 0.999)],
            start="-4.5,1.5",
            steps="300",
            speed="40",
            sel="2",
            noise="heavy_tailed,1,7",
        ),
    ),
    Preset(
        "mu",
        "The knob μ",
        "No momentum crawls, a good deal is fast. Too much swings past the minimum again and again.",
        link(
            "oblong_bowl",
            [("momentum", {"lr": 0.01, "mu": m}) for m in (0.0, 0.8, 0.98)],
            start="-4.5,1.5",
            steps="200",
            speed="25",
            sel="1",
        ),
    ),
    Preset(
        "map",
        "A map of lr × μ",
        "The map of two knobs shows the loss after the last step for every pair of them: dark is low. Click in it, "
        "and the optimizer takes that pair.",
        link(
            "oblong_bowl",
            [("rmsprop_momentum", {"lr": 0.01, "mu": 0.9})],
            start="-4.5,1.5",
            steps="150",
            speed="20",
            map="lr,mu",
        ),
    ),
)
