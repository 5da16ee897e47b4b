"""Every sentence of a scenario's story, held against the very runs that its picture shows."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from claims_over_data import CLAIMS_OVER_DATA

from ravine.playground.presets import PRESETS, Preset
from ravine.playground.scene import scene, view
from ravine.simulate.runs import Run

Scene = list[Run]


def first(condition: np.ndarray) -> int:
    """The first step at which it holds."""
    assert condition.any()
    return int(condition.argmax())


def arrival(r: Run) -> float:
    """The first step that is low in the valley, if any is."""
    low = r.value < 0.1
    return first(low) if low.any() else np.inf


def turns(values: np.ndarray) -> int:
    """How often the sign changes."""
    return int((np.diff(np.sign(values)) != 0).sum())


def about(a: float, b: float, within: float = 0.1) -> bool:
    return bool(abs(a / b - 1) < within)


def along_and_across(r: Run) -> tuple[np.ndarray, np.ndarray]:
    tilt = r.surface.parameters["tilt"]
    c = 1 / np.sqrt(1 + tilt**2)
    return c * (r.x[:, 0] + tilt * r.x[:, 1]), c * (r.x[:, 1] - tilt * r.x[:, 0])


def down_the_middle(s: Scene) -> bool:
    gd, momentum, rmsprop, *_ = s
    (_, swinging), (slow, bouncing), (slowest, straight) = map(along_and_across, (momentum, gd, rmsprop))
    bounces = turns(bouncing) == gd.steps and abs(slow[60]) > 0.2 * abs(slow[0])
    swings = 20 < turns(swinging) < gd.steps and s.index(min(s, key=arrival)) == 1
    creeps = abs(straight[50:]).max() < 0.15 * abs(slowest[50:]).min() and rmsprop.value[-1] == max(
        r.value[-1] for r in s
    )
    return bounces and swings and creeps


SHARP, FLAT = -0.953347783024502, 2.988782086794161


def bend(r: Run, x: float) -> float:
    """The curvature at a point."""
    left, right = r.surface.gradient(np.array([[x - 1e-4], [x + 1e-4]]))[:, 0]
    return float((right - left) / 2e-4)


def at_rest(r: Run, x: float) -> bool:
    return bool(np.all(abs(r.x[-10:, 0] - x) < 0.03))


def overshoots(s: Scene) -> bool:
    return [r.rule.name for r in s if along_and_across(r)[0].max() > 0] == ["rmsprop_momentum"]


def crossing(r: Run) -> int:
    return first(r.x[:, 0] <= 0)


def speed_there(r: Run) -> float:
    return float(abs(r.step[crossing(r) - 1, 0]))


def returning(r: Run) -> int:
    """The steps from the farthest point back to half of that distance."""
    x = r.x[:, 0]
    turn = int(x.argmin())
    return first(x[turn:] > x[turn] / 2)


def equal_first_steps(r: Run) -> bool:
    return about(*abs(r.step[0]), within=1e-6)


def outlier(r: Run) -> int:
    return int(abs(r.gradient).max(axis=1).argmax())


def sizes(r: Run) -> np.ndarray:
    return np.linalg.norm(r.step, axis=1)


def floor_of_the_valley(r: Run) -> int:
    return first(abs(r.x[:, 1] - r.x[:, 0] ** 2) < 0.1)


def near(r: Run, coordinate: int) -> int:
    return first(abs(r.x[:, coordinate]) < 0.1)


def share(r: Run, coordinate: int) -> float:
    """How much of the first ten gradients' lengths is left in their sum."""
    g = r.gradient[:10, coordinate]
    return float(abs(g.sum()) / abs(g).sum())


def leaves(r: Run) -> int:
    return first(abs(r.x[:, 1]) > 0.5)


def memory_of_the_outlier(r: Run) -> bool:
    k, size = outlier(r), sizes(r)
    longest = size[k] == size[20:].max() and k == int(size[20:].argmax()) + 20
    return longest and about(np.median(size[k + 10 :]), 0.5 * np.median(size[100:k]), 0.15)


PICTURE = "seen in tests/playground/test_page.py"
CLAIMS: dict[str, dict[str, Callable[[Scene], bool] | str]] = {
    "ravine": {
        "A long, narrow valley, eighty times as steep across as along.": lambda s: (
            s[0].surface.parameters["condition"] == 80
        ),
        "Gradient descent bounces and crawls, momentum swings and is first at the bottom, RMSprop creeps down the "
        "middle.": down_the_middle,
        "Who overshoots?": overshoots,
    },
    "accumulate": {
        "A straight slope, from rest, at equal lr.": lambda s: (
            {r.hyper["lr"] for r in s} == {0.01} and all(np.ptp(r.gradient) == 0 for r in s)
        ),
        "Adam moves at speed lr from the first step on; RMSprop with momentum gathers speed until it moves at "
        "lr/(1−μ), ten times as fast.": lambda s: (
            np.allclose(abs(s[2].step), 0.01, rtol=1e-6)
            and bool((abs(s[1].step[:30]) < 0.11).all())
            and about(abs(s[1].step[-1, 0]), 0.01 / (1 - 0.9), 0.01)
        ),
        "Watch the step sizes.": PICTURE,
    },
    "turn": {
        "After a long descent the slope reverses and is ten times weaker.": lambda s: (
            set(np.unique(s[0].gradient)) == {1.0, -0.1} and s[0].x[0, 0] == 2
        ),
        "At equal lr, RMSprop with momentum arrives about ten times as fast and goes much farther before it turns.": (
            lambda s: about(speed_there(s[0]), 10 * speed_there(s[1])) and s[0].x.min() < 5 * s[1].x.min()
        ),
        "The lower picture is the position, time running down.": PICTURE,
    },
    "turn_fast": {
        "The same valley with Adam's lr 1/(1−μ) times as large, so that both arrive at about the same speed.": (
            lambda s: (
                about(s[1].hyper["lr"], s[0].hyper["lr"] / (1 - 0.9), 1e-9)
                and about(speed_there(s[0]), speed_there(s[1]))
            )
        ),
        "Now Adam goes farther: its averages remember the steep side, so it is slow to turn and much slower to come "
        "back.": lambda s: (
            s[1].x.min() < s[0].x.min()
            and s[1].x[:, 0].argmin() - crossing(s[1]) > s[0].x[:, 0].argmin() - crossing(s[0])
            and returning(s[1]) > 1.5 * returning(s[0])
        ),
    },
    "turn_all": {
        "Eight optimizers with learning rates of their own, from x = 2 on the kinked valley: who overshoots, who "
        "turns, who comes back?": lambda s: len(s) == 8 and all(r.x[0, 0] == 2 for r in s),
        "Two of them are still on their way.": lambda s: sum(bool((r.x > 0).all()) for r in s) == 2,
    },
    "bias": {
        "Averages that start at zero are too small at first.": lambda s: about(
            s[2].slots["m"][1, 0], 0.1 * s[2].gradient[0, 0], 1e-9
        ),
        "Adam divides that away, so its first step has length lr.": lambda s: all(
            about(abs(r.step[0, 0]), 0.01, 1e-6) for r in s[1:]
        ),
        "RMSprop does not: its root is too small, its first step 1/√(1−ρ) times too long.": lambda s: about(
            abs(s[0].step[0, 0]), 0.01 / np.sqrt(1 - 0.999), 1e-3
        ),
        "Step forward one by one.": PICTURE,
    },
    "bowl_lr": {
        "Gradient descent with a good learning rate, with one that is too small, and with one a little above 2/20, "
        "where the steep axis stops shrinking and grows.": lambda s: (
            s[0].value[-1] < 1e-6
            and s[1].value[-1] > 1
            and 2 / 20 < s[2].hyper["lr"] < 1.02 * 2 / 20
            and bool((np.diff(abs(s[2].x[:, 1])) > 0).all())
        ),
    },
    "bowl": {
        "Momentum damps the axis that oscillates and keeps the long one going.": lambda s: (
            all(abs(s[1].x[t : t + 4, 1]).max() < abs(s[0].x[t : t + 4, 1]).max() for t in (10, 15, 20, 30))
            and abs(s[1].x[20, 0]) < 0.1 * abs(s[0].x[20, 0])
        ),
        "RMSprop begins with equal steps on both axes.": lambda s: equal_first_steps(s[2]),
        "Adam does so too, and its momentum brings it to the bottom long before RMSprop.": lambda s: (
            equal_first_steps(s[3]) and 1.5 * first(s[3].value < 0.1) < first(s[2].value < 0.1)
        ),
    },
    "eps": {
        "With a small ε every coordinate moves at full speed, however small its gradient.": lambda s: (
            equal_first_steps(s[0]) and abs(s[0].gradient[0, 1] / s[0].gradient[0, 0]) > 6
        ),
        "With a large one RMSprop turns into gradient descent with lr/√ε once its gradients are small.": lambda s: (
            np.allclose(s[2].step[100:], -0.05 / np.sqrt(100) * s[2].gradient[100:], rtol=0.05, atol=1e-12)
        ),
    },
    "beta": {
        "How long the average of squared gradients remembers, under heavy-tailed noise.": lambda s: (
            [r.hyper["beta2"] for r in s] == [0.5, 0.9, 0.999]
        ),
        "The largest gradient comes in step 258.": lambda s: all(outlier(r) + 1 == 258 for r in s),
        "With β₂ = 0.5 it is divided by itself and moves Adam less than most.": lambda s: (
            sizes(s[0])[outlier(s[0])] < np.median(sizes(s[0]))
        ),
        "With 0.999 it makes Adam's longest step since the start; those that follow are about half as long as "
        "before.": (lambda s: memory_of_the_outlier(s[2])),
    },
    "mu": {
        "No momentum crawls, a good deal is fast.": lambda s: (
            s[0].x[60, 0] < -2 and s[1].value[60] < 0.01 * s[0].value[60]
        ),
        "Too much swings past the minimum again and again.": lambda s: (
            turns(s[2].x[:, 0]) >= 5 and turns(s[1].x[:, 0]) == turns(s[0].x[:, 0]) == 0
        ),
    },
    "map": {
        "The map of two knobs shows the loss after the last step for every pair of them: dark is low.": PICTURE,
        "Click in it, and the optimizer takes that pair.": PICTURE,
    },
    "banana": {
        "Everybody finds the curved valley within 20 steps.": lambda s: all(floor_of_the_valley(r) <= 20 for r in s),
        "Following its floor to the minimum is the hard part: after 600 only RMSprop with momentum is there.": (
            lambda s: (
                [r.rule.name for r in s if np.linalg.norm(r.x[-1] - 1) < 0.1] == ["rmsprop_momentum"]
                and s[0].steps == 600
            )
        ),
    },
    "saddle": {
        "The gradient along the way out is tiny.": lambda s: all(
            abs(r.gradient[0, 1]) < 0.01 * abs(r.gradient[0, 0]) for r in s
        ),
        "Rules that rescale each coordinate leave within 15 steps; the others take 40.": lambda s: (
            all(40 <= leaves(r) < 50 for r in s[:2]) and all(leaves(r) <= 15 for r in s[2:])
        ),
    },
    "heavy": {
        "A narrow pit in the side of a wide valley: a sharp minimum on the way to a flat one.": lambda s: (
            bend(s[0], SHARP) > 50 * bend(s[0], FLAT) > 0 and s[0].x[0, 0] < SHARP < FLAT
        ),
        "Gradient descent and RMSprop end in the pit.": lambda s: all(abs(r.x[-1, 0] - SHARP) < 0.05 for r in s[:2]),
        "Momentum, a heavy ball with friction, rolls over it and comes to rest in the flat minimum.": lambda s: (
            s[2].rule.name == "momentum" and at_rest(s[2], FLAT)
        ),
        "So does Adam with lr 0.1, whose average of gradients is such a ball; with half of that it ends in the pit, "
        "too.": lambda s: (
            s[3].hyper["lr"] == 0.1 == 2 * s[4].hyper["lr"] and at_rest(s[3], FLAT) and at_rest(s[4], SHARP)
        ),
    },
    "family": {
        "Twenty of the family on one surface, with one learning rate.": lambda s: (
            len({r.rule.name for r in s}) == 20 and len({r.hyper["lr"] for r in s}) == 1
        ),
    },
    "bias_off": {
        "The same Adam with and without it.": lambda s: (
            s[0].hyper == s[1].hyper and all(np.array_equal(s[0].slots[n], s[1].slots[n]) for n in "mv")
        ),
        "Its averages m and v begin at zero; divided by 1 − βᵗ, as m̂ and v̂, both are right from the first step on.": (
            lambda s: all(
                s[0].slots[n][0, 0] == 0
                and np.allclose(s[0].slots[n][1:, 0] / (1 - b ** np.arange(1.0, 61)), 1, rtol=1e-9)
                for n, b in (("m", 0.9), ("v", 0.999))
            )
        ),
        "Without it v is too small for longer than m, and v divides: the first step is 3.2 times lr, and the twelfth "
        "6.6 times.": lambda s: (
            s[1].slots["m"][-1, 0] > 0.99
            and s[1].slots["v"][-1, 0] < 0.06
            and [round(abs(s[1].step[t, 0]) / 0.01, 1) for t in (0, 11)] == [3.2, 6.6]
        ),
        "The charts show v and the corrected v̂.": PICTURE,
    },
    "infrequent": {
        "A round bowl on which y hears of its gradient in every tenth step only.": lambda s: all(
            r.surface.parameters["condition"] == 1
            and list(np.flatnonzero(r.gradient[:35, 1]) + 1) == [10, 20, 30]
            and bool(r.gradient[:35, 0].all())
            for r in s
        ),
        "Gradient descent moves x and y alike for each gradient, so y takes ten times as many steps as x.": lambda s: (
            np.array_equal(s[0].x[1:60, 0], s[0].x[10:600:10, 1]) and near(s[0], 1) == 10 * near(s[0], 0)
        ),
        "RMSprop and Adam move y further for each: they need less than four times as many.": lambda s: all(
            near(r, 1) < 4 * near(r, 0) for r in s[1:]
        ),
    },
    "average": {
        "Momentum as an average of gradients, v = βv + (1−β)g.": lambda s: bool(
            np.allclose(s[1].slots["v"][1:], 0.5 * s[1].slots["v"][:-1] + 0.5 * s[1].gradient, rtol=1e-12)
        ),
        "Across the valley gradients of both signs cancel in v; along it they all point one way and reinforce each "
        "other.": lambda s: (
            share(s[0], 1) < 0.1 and share(s[1], 0) > 0.9 and abs(s[1].slots["v"][8, 1]) < abs(s[0].gradient[7, 1]) / 2
        ),
        "Watch the arrows.": PICTURE,
    },
    **CLAIMS_OVER_DATA,
}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.name)
def test_the_picture_shows_what_the_story_says(preset: Preset) -> None:
    claims = CLAIMS[preset.name]
    sentences = re.split(r"(?<=[.?!]) ", preset.story)
    assert sentences == list(claims)
    runs = scene(preset.link)
    false = [text for text, check in claims.items() if callable(check) and not check(runs)]
    assert false == []


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.name)
def test_the_paths_stay_in_the_picture(preset: Preset) -> None:
    runs = scene(preset.link)
    own, count = view(preset.link), runs[0].surface.dimension
    low, high = np.transpose(runs[0].surface.view if own is None else own[:count])
    assert all(np.all((r.x > low) & (r.x < high)) for r in runs)
