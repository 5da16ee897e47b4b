"""Scenarios of real problems: the loss of two weights over data, and of a network along two directions."""

from __future__ import annotations

from ravine.playground.presets.preset import Preset, link

DATA = (
    Preset(
        "line",
        "A line through petals",
        "The width of a petal from its length: two weights, 150 irises. The bowl is 105 times as steep across as "
        "along, since no length is near zero. To within a thousandth of the least loss momentum takes 38 steps, "
        "gradient descent 154. Set centred to 1: the condition number is 3.1, and gradient descent takes 15.",
        link(
            "petal_line",
            [("gd", {"lr": 0.1}), ("momentum", {"lr": 0.1, "mu": 0.8}), ("adam", {"lr": 0.1})],
            view="-1.2,1.8,-1.8,1.8",
            steps="200",
            speed="20",
            sel="1",
        ),
    ),
    Preset(
        "batch",
        "The size of a batch",
        "Each step sees five of 150 irises, so the path never rests: it hovers, ten times as high with four times the "
        "learning rate. With the smallest rate it hovers lowest and arrives last. With a size of 150 all three come "
        "to rest at the least loss. With a size of 1 the largest rate is too large for single irises: the loss climbs "
        "past ten thousand.",
        link(
            "petal_line",
            [("gd", {"lr": 0.4}), ("gd", {"lr": 0.1}), ("gd", {"lr": 0.02})],
            param=["centred:1"],
            steps="300",
            speed="30",
            sel="1",
            noise="batches,5,1",
        ),
    ),
    Preset(
        "unit",
        "One input in millimetres",
        "Two kinds of iris by logistic regression, the petal's length in centimetres and its width in millimetres. "
        "RMSprop and Adam rescale each weight and are within a thousandth of the least loss after 200 steps. Gradient "
        "descent and momentum are not within a twentieth after 300, and in gradient descent the weight of the length "
        "still has the wrong sign: the large input bounds the rate for both. Set unit to 1 and its lr to 3, and it "
        "comes within a hundredth.",
        link(
            "petal_kinds",
            [
                ("gd", {"lr": 0.06}),
                ("momentum", {"lr": 0.02, "mu": 0.9}),
                ("rmsprop", {"lr": 0.3}),
                ("adam", {"lr": 0.5}),
            ],
            param=["unit:10"],
            steps="300",
            speed="30",
            sel="3",
        ),
    ),
    Preset(
        "rare",
        "A rare pixel",
        "A one or a seven, ten digits a step: 17 of 150 have ink in the pixel of y, so a third of the steps have no "
        "gradient for it at all. After 400 steps gradient descent has moved y a tenth of its way, Adagrad more than "
        "half, RMSprop nearly all of it. The bars show the rate that each coordinate gets.",
        link(
            "rare_pixel",
            [
                ("gd", {"lr": 2.0}),
                ("adagrad", {"lr": 1.0}),
                ("rmsprop", {"lr": 0.2}),
                ("adam", {"lr": 0.2}),
            ],
            steps="400",
            speed="40",
            sel="1",
            noise="batches,10,1",
            charts=["y", "rate,log"],
            coord="1",
        ),
    ),
    Preset(
        "network",
        "A network, sliced",
        "A network's loss along two random directions from its trained weights. The trained ones are right about 144 "
        "of 150 irises; the four that start here end at a poorer minimum, right about 100 or fewer. Set the noise to "
        "batches of the data with size 10: now gradient descent leaps out of it, and finds the better one.",
        link(
            "network_slice",
            [
                ("gd", {"lr": 0.1}),
                ("momentum", {"lr": 0.02, "mu": 0.9}),
                ("rmsprop", {"lr": 0.05}),
                ("adam", {"lr": 0.1}),
            ],
            steps="200",
            speed="20",
            sel="0",
        ),
    ),
)
