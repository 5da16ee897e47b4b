"""The course: ten lessons, each a question, a picture to play with, and an explanation whose numbers are computed.

A lesson's `numbers` come from the very runs that its picture shows; its text has places for them and none of its own.
`holds` says whether what the text says of them is so: no page is written where it isn't.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ravine.simulate.runs import Run

Numbers = dict[str, float]


@dataclass(frozen=True)
class Lesson:
    """A page of the course: what to predict, what to play with, what explains it, a question and its answer."""

    name: str
    title: str
    preset: str
    predict: str
    play: str
    explain: Sequence[str]
    question: str
    answer: str
    numbers: Callable[[Sequence[Run]], Numbers]
    holds: Callable[[Numbers], bool]


def first(condition: Any) -> int:
    """The first index at which it holds. Raises ValueError where it never does."""
    if not np.any(condition):
        raise ValueError("what a lesson speaks of never happens")
    return int(np.argmax(condition))


def _slope(s: Sequence[Run]) -> Numbers:
    plain, ball, adam = (abs(r.step[:, 0]) / r.hyper["lr"] for r in s)
    return {
        "steps": s[0].steps,
        "adam": float(adam.max()),
        "first": float(ball[0]),
        "last": float(ball[-1]),
        "top": float(ball.max()),
        "at": int(ball.argmax()) + 1,
        "limit": 1 / (1 - s[1].hyper["mu"]),
        "rms": float(plain[-1]),
    }


def _turn(s: Sequence[Run]) -> Numbers:
    def of(r: Run) -> tuple[float, int, int, float]:
        x = r.x[:, 0]
        floor, turn = first(x <= 0), int(x.argmin())
        back = first(x[turn:] >= 0) if (x[turn:] >= 0).any() else 0
        return float(-x.min()), turn - floor, back, float(abs(r.step[floor - 1, 0]) / r.hyper["lr"])

    (reach, turning, back, speed), (adam_reach, adam_turning, adam_back, adam_speed) = map(of, s)
    return {
        "reach": reach,
        "turning": turning,
        "back": back,
        "speed": speed,
        "adam_reach": adam_reach,
        "adam_turning": adam_turning,
        "adam_back": adam_back,
        "adam_speed": adam_speed,
        "times": reach / adam_reach,
    }


def _bias(s: Sequence[Run]) -> Numbers:
    with_it, without = (abs(r.step[:, 0]) / r.hyper["lr"] for r in s)
    m, v = (s[0].slots[n][:, 0] for n in "mv")
    return {
        "m": float(m[1]),
        "v": float(v[1]),
        "hat": float(with_it[0]),
        "first": float(without[0]),
        "top": float(without.max()),
        "at": int(without.argmax()) + 1,
    }


def _axes(s: Sequence[Run]) -> Numbers:
    gd, rms = s[0], s[2]
    return {
        "gradients": float(abs(rms.gradient[0, 1] / rms.gradient[0, 0])),
        "gd": float(abs(gd.step[0, 1] / gd.step[0, 0])),
        "rms": float(abs(rms.step[0, 1] / rms.step[0, 0])),
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


LESSONS = (
    Lesson(
        "slope",
        "A straight slope",
        "accumulate",
        "Three optimizers start from rest on a straight slope, with the same learning rate. Does one of them outrun "
        "the others, and by how much, after {steps} steps?",
        "Play it, and watch the chart of step sizes. Then move μ and see where the speed settles.",
        (
            "Adam's longest step is {adam:.3g} learning rates long: on a constant slope its average of gradients over "
            "the root of its average of squares is one, from the first step on. It averages, and never adds up.",
            "RMSprop with momentum adds up rescaled gradients. Its first step is {first:.3g} learning rates long, "
            "since the average of squares begins at zero; its last is {last:.3g}, and the limit is 1/(1−μ) = "
            "{limit:.3g}. On the way it passes the limit: {top:.3g} at step {at}.",
            "The denominators are alike. What differs is the momentum: of rescaled steps there, of the average before "
            "rescaling here.",
        ),
        "With μ = 0, what is left of RMSprop's momentum?",
        "Nothing: it is RMSprop, whose steps settle at {rms:.3g} learning rate, as Adam's.",
        _slope,
        lambda n: abs(n["adam"] - 1) < 1e-6 and abs(n["last"] / n["limit"] - 1) < 0.01 and n["top"] > n["limit"],
    ),
    Lesson(
        "turn",
        "The slope turns",
        "turn",
        "After a long descent the slope reverses and is ten times weaker. At the same learning rate, who goes further "
        "past the floor: RMSprop with momentum, or Adam?",
        "Play it. The lower picture shows the position, time running down. Then give Adam ten times the learning rate.",
        (
            "RMSprop with momentum goes {reach:.3g} past the floor and Adam {adam_reach:.2g}: {times:.2g} times as "
            "far, because it arrives at {speed:.3g} learning rates a step, and Adam at {adam_speed:.2g}.",
            "Adam takes {adam_turning} steps from the floor to its turn and {adam_back} back, RMSprop with momentum "
            "{turning} and {back}. Adam's average of squares remembers the steep side for about 1/(1−β₂) steps, so the "
            "weak slope back hardly moves it.",
        ),
        "Is it Adam's nature to come back slowly, or a knob?",
        "A knob: set β₂ to 0.9, the memory of RMSprop's average, and look again.",
        _turn,
        lambda n: n["times"] > 5 and n["adam_turning"] > n["turning"] and n["adam_back"] > 2 * n["back"],
    ),
    Lesson(
        "averages",
        "Averages that begin at zero",
        "bias_off",
        "Adam divides both of its averages by 1 − βᵗ. Without that, would its first steps be too short or too long?",
        "Step forward one by one, and watch v in the left chart and v̂ in the right one.",
        (
            "After a first gradient of one, m is {m:.3g} and v is {v:.2g}: both too small. Divided by 1 − βᵗ they are "
            "one, and the first step is {hat:.3g} learning rate long.",
            "Without the correction the steps are too long, not too short: v has the longer memory, stays too small "
            "for longer than m, and divides. The first step is {first:.2g} learning rates long, and the longest "
            "{top:.2g}, at step {at}.",
        ),
        "When does the correction stop to matter?",
        "When βᵗ is small for both: after a few times 1/(1−β₂) steps.",
        _bias,
        lambda n: abs(n["hat"] - 1) < 1e-6 and n["top"] > n["first"] > 3 and n["m"] < 0.2 and n["v"] < 0.01,
    ),
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
            "So it starts toward the middle at once, while gradient descent crosses the valley {crossings} times. The "
            "average begins at zero, so this first step is {long:.2g} times too long, as in the lesson before.",
        ),
        "Does that help on a valley that lies at 45 degrees?",
        "Less: the rescaling is by coordinate. Move the knob tilt to 1 and see.",
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
        "Play it, and watch y in the left chart and the effective rate in the right one.",
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
        "Play it, then open the map of two knobs in the whole playground, for an optimizer with momentum.",
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
            "well tuned momentum may be as fast, and may generalise better. The page on claims measures such "
            "sentences, with equal tuning for everybody; where you must choose, compare on your own task.",
        ),
        "What would you try first on a new problem, and what second?",
        "AdamW with a few learning rates a factor of three apart, then momentum with as many; and keep the one that "
        "your own comparison prefers.",
        _when,
        lambda n: n["there"] == n["ball"] == 1 and n["valley"] <= 20,
    ),
)
"""In the order in which they build on each other."""
