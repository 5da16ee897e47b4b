"""The scenarios of the playground: each is a link's text, and two sentences on what to look for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote


class Preset(NamedTuple):
    """A scenario: `link` is what stands after # in the address of a page that shows it."""

    name: str
    title: str
    story: str
    link: str


def _link(
    surface: str,
    optimizers: list[tuple[str, dict[str, float]]],
    param: Sequence[str] = (),
    charts: Sequence[str] = (),
    **settings: str,
) -> str:
    """The state of a page as the text of a link. The page's state.js reads it."""
    fields = [("surface", surface), *(("param", p) for p in param), *settings.items()]
    fields += [("chart", c) for c in charts]
    for rule, hyper in optimizers:
        fields.append(("opt", ",".join([rule, *(f"{name}={value!r}" for name, value in hyper.items())])))
    return "&".join(f"{key}={quote(value, safe=',:=()')}" for key, value in fields)


BASIC = ("gd", "momentum", "nesterov", "adagrad", "rmsprop", "rmsprop_momentum", "adadelta", "adam", "adamw")
"""What comes first in the menu of optimizers: those of the textbooks."""

TWENTY = (
    *("momentum_ema", "adagrad", "adadelta", "rmsprop", "rmsprop_centered", "rmsprop_momentum"),
    *("rmsprop_momentum_centered", "rmsprop_nesterov", "rmsprop_torch", "rmsprop_torch_centered"),
    *("rmsprop_torch_momentum", "rmsprop_torch_momentum_centered", "adam", "adam_eps_hat", "amsgrad", "adamw"),
    *("nadam", "radam", "adamax", "lion"),
)

PRESETS = (
    Preset(
        "ravine",
        "Down the ravine",
        "A long, narrow valley, eighty times as steep across as along. Gradient descent bounces and crawls, momentum "
        "swings and is first at the bottom, RMSprop creeps down the middle. Who overshoots?",
        _link(
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
        "accumulate",
        "Accumulating momentum",
        "A straight slope, from rest, at equal lr. Adam moves at speed lr from the first step on; RMSprop with "
        "momentum gathers speed until it moves at lr/(1−μ), ten times as fast. Watch the step sizes.",
        _link(
            "constant_slope",
            [("rmsprop", {"lr": 0.01}), ("rmsprop_momentum", {"lr": 0.01}), ("adam", {"lr": 0.01})],
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
        _link(
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
        _link(
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
        _link(
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
        _link(
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
        _link(
            "constant_slope",
            [("adam", {"lr": 0.01}), ("adam_uncorrected", {"lr": 0.01})],
            steps="60",
            speed="6",
            sel="0",
            charts=["=v", "=v̂"],
        ),
    ),
    Preset(
        "infrequent",
        "Infrequent gradients",
        "A round bowl on which y hears of its gradient in every tenth step only. Gradient descent moves x and y alike "
        "for each gradient, so y takes ten times as many steps as x. RMSprop and Adam move y further for each: they "
        "need less than four times as many.",
        _link(
            "oblong_bowl",
            [("gd", {"lr": 0.05}), ("rmsprop", {"lr": 0.02}), ("adam", {"lr": 0.02})],
            param=["condition:1"],
            start="3,3",
            steps="1000",
            speed="80",
            sel="1",
            noise="infrequent,10,0",
            charts=["y", "rate,log"],
            coord="1",
        ),
    ),
    Preset(
        "average",
        "Averaged momentum on the bowl",
        "Momentum as an average of gradients, v = βv + (1−β)g. Across the valley gradients of both signs cancel in v; "
        "along it they all point one way and reinforce each other. Watch the arrows.",
        _link(
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
        "bowl_lr",
        "Bowl: three learning rates",
        "Gradient descent with a good learning rate, with one that is too small, and with one a little above 2/20, "
        "where the steep axis stops shrinking and grows.",
        _link(
            "oblong_bowl",
            [("gd", {"lr": 0.09}), ("gd", {"lr": 0.005}), ("gd", {"lr": 0.1005})],
            start="-4.5,1",
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
        _link(
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
        "eps",
        "The knob ε",
        "With a small ε every coordinate moves at full speed, however small its gradient. With a large one RMSprop "
        "turns into gradient descent with lr/√ε once its gradients are small.",
        _link(
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
        _link(
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
        _link(
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
        _link(
            "oblong_bowl",
            [("rmsprop_momentum", {"lr": 0.01, "mu": 0.9})],
            start="-4.5,1.5",
            steps="150",
            speed="20",
            map="lr,mu",
        ),
    ),
    Preset(
        "banana",
        "Rosenbrock's banana",
        "Everybody finds the curved valley within 20 steps. Following its floor to the minimum is the hard part: after "
        "600 only RMSprop with momentum is there.",
        _link(
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
        _link(
            "saddle",
            [("gd", {"lr": 0.1}), ("momentum", {"lr": 0.02}), ("rmsprop", {"lr": 0.02}), ("adam", {"lr": 0.05})],
            steps="150",
            speed="20",
            sel="3",
        ),
    ),
    Preset(
        "family",
        "Twenty at once",
        "Twenty of the family on one surface, with one learning rate.",
        _link("styblinski_tang", [(name, {"lr": 0.02}) for name in TWENTY], steps="600", speed="60", sel="12"),
    ),
)
"""In the order of the menu; the first is what opens."""
