"""Lessons four to six: the axes of RMSprop, a bowl, and Adam, which is both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ravine.playground.lessons.lesson import Lesson, Numbers, first
from ravine.simulate.runs import Run


def _axes(s: Sequence[Run]) -> Numbers:
    gd, rms = s[0], s[2]
    return {
        "gradients": float(abs(rms.gradient[0, 1] / rms.gradient[0, 0])),
        "gd": float(abs(gd.step[0, 1] / gd.step[0, 0])),
        "rms": float(abs(rms.step[0, 1] / rms.step[0, 0])),
        "steps": gd.steps,
        "crossings": int(np.sum(gd.x[1:, 1] * gd.x[:-1, 1] < 0)),
        "long": float(1 / np.sqrt(1 - rms.hyper["rho"])),
    }


def _bowl(s: Sequence[Run]) -> Numbers:
    gd, ball = s

    def left(k: int) -> float:
        g = gd.gradient[:10, k]
        return float(abs(g.sum()) / abs(g).sum())

    return {
        "along": left(0),
        "across": left(1),
        "gd": first(gd.value < 0.1),
        "ball": first(ball.value < 0.1),
        "beta": ball.hyper["beta"],
    }


def _both(s: Sequence[Run]) -> Numbers:
    gd, ball, rms, adam = (first(r.value < 0.1) for r in s)
    return {
        "gd": gd,
        "ball": ball,
        "rms": rms,
        "adam": adam,
        "equal": float(abs(s[3].step[0, 1] / s[3].step[0, 0])),
        "lr": s[3].hyper["lr"],
    }


BOWLS = (
    Lesson(
        "axes",
        "RMSprop's axes",
        "bowl",
        "At the start the gradient across the valley is {gradients:.2g} times the one along it. In which direction "
        "does RMSprop's first step go?",
        "Switch the arrows on, choose RMSprop, and go to step zero. Then look at the bars of the effective rate.",
        (
            "Each coordinate is divided by the root of the average of its own squares, so a large gradient gets a "
            "small rate: RMSprop's first step is as long across as along, a ratio of {rms:.3g}, where gradient "
            "descent's is {gd:.2g}.",
            "So it starts toward the middle at once, while gradient descent crosses the valley in {crossings} of "
            "{steps} steps. The average begins at zero, so this first step is {long:.2g} times too long, as in the "
            "lesson before.",
        ),
        "Does that help on a valley that lies at 45 degrees?",
        "Less: the rescaling is by coordinate. Move the knob tilt to 1 in [the whole playground]({whole}) and see.",
        _axes,
        lambda n: abs(n["rms"] - 1) < 1e-6 and n["gd"] > 5 and n["crossings"] > 10,
    ),
    Lesson(
        "bowl",
        "The bowl: what cancels, what adds up",
        "average",
        "Gradient descent swings across an oblong bowl and creeps along it. What does an average of its gradients "
        "point to?",
        "Step forward with the arrows on: the gradient points across, the momentum along.",
        (
            "Of the first ten gradients across the valley {across:.0%} is left when they are added up, since their "
            "signs change; of those along it {along:.0%}. An average, v = βv + (1−β)g, keeps what is common and lets "
            "the rest cancel.",
            "Here with β = {beta:g} and twice the learning rate the loss is below a tenth after {ball} steps, gradient "
            "descent's after {gd}.",
        ),
        "Why may momentum take the larger learning rate?",
        "Because the steps across, which bound it, have become shorter. The table of the bowl's own axes has the "
        "factors.",
        _bowl,
        lambda n: n["across"] < 0.1 and n["along"] > 0.9 and n["ball"] < n["gd"],
    ),
    Lesson(
        "adam",
        "Adam: both at once",
        "bowl",
        "Adam has RMSprop's rescaling and an average of gradients. Who is near the bottom first: gradient descent, "
        "momentum, RMSprop or Adam?",
        "Play it, then select Adam and compare its equation with RMSprop's below the picture.",
        (
            "Adam's first step has equal parts along and across, a ratio of {equal:.3g}, as RMSprop's; and its "
            "momentum brings the loss below a tenth after {adam} steps, where RMSprop takes {rms}.",
            "But on this bowl, which lies straight and has no noise, well tuned momentum takes {ball} steps and "
            "gradient descent {gd}. Adam's strength is elsewhere: rates that differ from coordinate to coordinate, "
            "and noise.",
        ),
        "What would make Adam RMSprop?",
        "β₁ = 0: then it is RMSprop with its average corrected.",
        _both,
        lambda n: n["adam"] < n["rms"] and n["ball"] < n["adam"] and abs(n["equal"] - 1) < 1e-6,
    ),
)
