"""Lessons seven to ten: ε, infrequent gradients, the learning rate, and which one when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ravine.playground.lessons.lesson import Lesson, Numbers, first
from ravine.simulate.runs import Run


def _eps(s: Sequence[Run]) -> Numbers:
    small, _, large = s
    return {
        "small": float(abs(small.step[0, 1] / small.step[0, 0])),
        "gradients": float(abs(small.gradient[0, 1] / small.gradient[0, 0])),
        "large": float(abs(large.step[0, 1] / large.step[0, 0])),
        "eps": large.hyper["eps"],
        "rate": float(large.hyper["lr"] / np.sqrt(large.hyper["eps"])),
        "late": float(np.median(large.step[100:, 0] / -large.gradient[100:, 0])),
    }


def _rare(s: Sequence[Run]) -> Numbers:
    steps = {n: [first(abs(r.x[:, k]) < 0.1) for k in (0, 1)] for n, r in zip(("gd", "rms", "adam"), s, strict=True)}
    return {
        "gd_x": steps["gd"][0],
        "gd_y": steps["gd"][1],
        **{n: rare / often for n, (often, rare) in steps.items()},
    }


def _tuning(s: Sequence[Run]) -> Numbers:
    good, small, large = s
    h = good.surface.parameters["condition"]
    return {
        "good": good.hyper["lr"],
        "small": small.hyper["lr"],
        "large": large.hyper["lr"],
        "bound": 2 / h,
        "h": h,
        "steps": first(good.value < 0.1),
        "left": float(small.value[-1] / small.value[0]),
        "grows": float(abs(1 - large.hyper["lr"] * h)),
    }


def _when(s: Sequence[Run]) -> Numbers:
    there = [r for r in s if np.linalg.norm(r.x[-1] - 1) < 0.1]
    adam = s[-1]
    return {
        "count": len(s),
        "there": len(there),
        "ball": int(there[0].rule.name == "rmsprop_momentum") if there else 0,
        "steps": adam.steps,
        "valley": max(first(abs(r.x[:, 1] - r.x[:, 0] ** 2) < 0.1) for r in s),
        "adam": float(np.linalg.norm(adam.x[-1] - 1)),
    }


PRACTICE = (
    Lesson(
        "epsilon",
        "The knob ε",
        "eps",
        "ε is there so that nothing is divided by zero. What happens if it is large?",
        "Three RMSprops with a small, a middling and a large ε. Move the middle one's ε and see which of the others it "
        "resembles.",
        (
            "With a small ε the first step's ratio across to along is {small:.3g}: the axes are equal. With ε = "
            "{eps:g} it is {large:.2g}, near the gradients' own {gradients:.2g}.",
            "Once gradients are small beside √ε, RMSprop is gradient descent with the learning rate lr/√ε = "
            "{rate:.3g}: what it really moves by, over the gradient, is {late:.3g} in the second half.",
        ),
        "TensorFlow's early recipes used ε = 1. What did that do?",
        "It made RMSprop gradient descent wherever gradients are small beside one. ε is a knob, not a detail.",
        _eps,
        lambda n: (
            abs(n["small"] - 1) < 1e-3 and n["large"] > 0.6 * n["gradients"] and abs(n["late"] / n["rate"] - 1) < 0.05
        ),
    ),
    Lesson(
        "rare",
        "Infrequent gradients",
        "infrequent",
        "Now y has a gradient in every tenth step only, as the weight of a rare word. How much longer does each "
        "optimizer take for y than for x?",
        "Play it, and watch y in the first chart and the effective rate in the second.",
        (
            "Gradient descent takes {gd_x} steps for x and {gd_y} for y, {gd:.3g} times as many: it moves both alike "
            "for each gradient.",
            "RMSprop takes {rms:.2g} times as many and Adam {adam:.2g}: between two gradients the average of squares "
            "forgets, so each of them counts more. That is what is meant by: small or infrequent gradients get larger "
            "updates.",
        ),
        "Is that good?",
        "For rare words and sparse features, yes. Where the rare gradient is an outlier, no: it is taken at full "
        "length.",
        _rare,
        lambda n: n["gd"] == 10 and n["rms"] < 4 and n["adam"] < 4,
    ),
    Lesson(
        "tuning",
        "The learning rate",
        "bowl_lr",
        "Gradient descent with three learning rates: {small:g}, {good:g} and {large:g}. The steep axis has curvature "
        "{h:g}. Which of them get to the bottom?",
        "Play it, then open the map of two knobs in [the whole playground]({whole}), for an optimizer with momentum.",
        (
            "The error along an axis of curvature h is multiplied by 1 − lr·h in each step, so 2/h = {bound:g} is the "
            "bound. At {large:g} the steep axis is multiplied by {grows:.3g} and grows.",
            "At {good:g} the loss is below a tenth after {steps} steps; at {small:g} {left:.1%} of it is left at the "
            "end. Too large overshoots, too small takes for ever, and the steepest axis decides.",
        ),
        "Do the rules that rescale have such a bound?",
        "No: with too large a learning rate they hover about the minimum instead. The map shows it.",
        _tuning,
        lambda n: n["small"] < n["good"] < n["bound"] < n["large"] and n["grows"] > 1 and n["left"] > 0.01,
    ),
    Lesson(
        "when",
        "Which one when",
        "banana",
        "{count} optimizers on Rosenbrock's banana, a bent valley with a flat floor. Who is at the minimum after "
        "{steps} steps?",
        "Play it. Then turn knobs: is there one who can't be made to win?",
        (
            "All are in the valley within {valley} steps, and following its floor is the hard part. At these settings "
            "{there} of the {count} is at the minimum at the end: RMSprop with momentum. Adam is {adam:.2g} away.",
            "A picture with one start and one setting proves nothing about training. Adaptive methods forgive a wrong "
            "learning rate, rescale what differs between parameters, and serve well where gradients are noisy or rare; "
            "well tuned momentum may be as fast, and may generalise better. [The page on claims](../claims.html) "
            "measures such sentences, with equal tuning for everybody; where you must choose, compare on your own "
            "task.",
        ),
        "What would you try first on a new problem, and what second?",
        "AdamW with a few learning rates a factor of three apart, then momentum with as many; and keep the one that "
        "your own comparison prefers.",
        _when,
        lambda n: n["there"] == n["ball"] == 1 and n["valley"] <= 20,
    ),
)
