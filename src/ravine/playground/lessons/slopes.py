"""The first three lessons: a slope, a slope that turns, averages that begin at zero."""

from __future__ import annotations

from collections.abc import Sequence

from ravine.playground.lessons.lesson import Lesson, Numbers, first
from ravine.simulate.runs import Run


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


SLOPES = (
    Lesson(
        "slope",
        "A straight slope",
        "accumulate",
        "Three optimizers start from rest on a straight slope, with the same learning rate. Does one of them outrun "
        "the others, and by how much, after {steps} steps?",
        "Play it, and watch the chart of step sizes. Then move μ and see where the speed settles.",
        (
            "Adam's longest step is {adam:.3g} times the learning rate: on a constant slope its average of gradients "
            "over the root of its average of squares is one, from the first step on. It averages, and never adds up.",
            "RMSprop with momentum adds up rescaled gradients. Its first step is {first:.3g} times the learning rate, "
            "since the average of squares begins at zero; its last is {last:.3g} times, and the limit is 1/(1−μ) = "
            "{limit:.3g}. On the way it passes the limit: {top:.3g} at step {at}.",
            "The denominators are alike. What differs is the momentum: of rescaled steps there, of the average before "
            "rescaling here.",
        ),
        "With μ = 0, what is left of RMSprop's momentum?",
        "Nothing: it is RMSprop, whose steps settle at {rms:.3g} times the learning rate, as Adam's.",
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
            "far, because it arrives at {speed:.3g} times the learning rate a step, and Adam at {adam_speed:.2g}.",
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
        "Step forward one by one, and watch v in the first chart and v̂ in the second.",
        (
            "After a first gradient of one, m is {m:.3g} and v is {v:.2g}: both too small. Divided by 1 − βᵗ they are "
            "one, and the first step is {hat:.3g} times the learning rate.",
            "Without the correction the steps are too long, not too short: v has the longer memory, stays too small "
            "for longer than m, and divides. The first step is {first:.2g} times the learning rate, and the "
            "longest {top:.2g} times, at step {at}.",
        ),
        "When does the correction stop mattering?",
        "When βᵗ is small for both: after a few times 1/(1−β₂) steps.",
        _bias,
        lambda n: abs(n["hat"] - 1) < 1e-6 and n["top"] > n["first"] > 3 and n["m"] < 0.2 and n["v"] < 0.01,
    ),
)
