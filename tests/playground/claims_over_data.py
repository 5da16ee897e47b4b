"""What the stories of scenarios over data say, sentence by sentence, as checks of their runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ravine.simulate import Noise, run, surface
from ravine.simulate.expression import Program
from ravine.simulate.runs import Run

Scene = list[Run]


def curvatures(s: Any) -> Any:
    """Of a quadratic: the eigenvalues of its Hessian, from gradients."""
    origin = s.gradient(np.zeros(2))
    return np.linalg.eigvalsh(np.stack([s.gradient(e) - origin for e in np.eye(2)]))


@cache
def lowest(s: Any) -> Any:
    """The point of the least loss of a convex surface, by Newton's method, which no story is about."""
    x, h = np.zeros(2), 1e-5
    for _ in range(40):
        hessian = np.stack([(s.gradient(x + h * e) - s.gradient(x - h * e)) / (2 * h) for e in np.eye(2)])
        x = x - np.linalg.solve(hessian, s.gradient(x))
    assert np.abs(s.gradient(x)).max() < 1e-9
    return x


def above(r: Run) -> Any:
    """The loss above the least one."""
    return r.value - r.surface.value(lowest(r.surface))


def arrival(r: Run, within: float = 1e-3) -> int:
    near = above(r) < within
    assert near.any()
    return int(near.argmax())


def right(r: Run, step: int = -1) -> int:
    """Of how many examples the weights after a step, or at the end, are right."""
    examples = r.surface.examples
    assert examples is not None
    weights = dict(zip("xy", r.x[step], strict=True))
    (output,) = Program([examples.output])({**weights, **r.surface.parameters, **examples.columns})
    return int((np.where(output > 0, 1, -1) == examples.rows[:, -1]).sum())


def again(r: Run, s: Any = None, noise: Noise | None = None, **hyper: float) -> Run:
    """The same once more, on another surface, with other noise or other knobs."""
    return run(r.rule, s or r.surface, start=r.x[0], steps=r.steps, noise=noise, **{**r.hyper, **hyper})


def heights(s: Scene) -> list[float]:
    return [float(above(r)[-150:].mean()) for r in s]


CLAIMS_OVER_DATA: dict[str, dict[str, Callable[[Scene], bool] | str]] = {
    "line": {
        "The width of a petal from its length: two weights, 150 irises.": lambda s: (
            s[0].surface.examples is not None and s[0].surface.examples.rows.shape == (150, 2)
        ),
        "The bowl is 105 times as steep across as along, since no length is near zero.": lambda s: (
            round(np.divide(*curvatures(s[0].surface)[::-1])) == 105
        ),
        "To within a thousandth of the least loss momentum takes 38 steps, gradient descent 154.": lambda s: (
            [arrival(r) for r in s[:2]] == [154, 38]
        ),
        "Set centred to 1: the condition number is 3.1, and gradient descent takes 15.": lambda s: (
            round(np.divide(*curvatures(surface("petal_line", centred=1))[::-1]), 1) == 3.1
            and arrival(again(s[0], surface("petal_line", centred=1))) == 15
        ),
    },
    "batch": {
        "Each step sees five of 150 irises, so the path never rests: it hovers, ten times as high with four times the "
        "learning rate.": lambda s: (
            abs(heights(s)[0] / heights(s)[1] / 10 - 1) < 0.05 and s[0].hyper["lr"] == 4 * s[1].hyper["lr"]
        ),
        "With the smallest rate it hovers lowest and arrives last.": lambda s: (
            s[2].hyper["lr"] == min(r.hyper["lr"] for r in s)
            and heights(s)[2] == min(heights(s))
            and arrival(s[2], 1e-2) > 4 * max(arrival(r, 1e-2) for r in s[:2])
        ),
        "With a size of 150 all three come to rest at the least loss.": lambda s: all(
            above(again(r, noise=Noise("batches", 150, seed=1)))[-1] < 1e-6 for r in s
        ),
        "With a size of 1 the largest rate is too large for single irises: the loss climbs past ten thousand.": (
            lambda s: bool(again(s[0], noise=Noise("batches", 1, seed=1)).value.max() > 1e4)
        ),
    },
    "unit": {
        "Two kinds of iris by logistic regression, the petal's length in centimetres and its width in millimetres.": (
            lambda s: s[0].surface.parameters["unit"] == 10
        ),
        "RMSprop and Adam rescale each weight and are within a thousandth of the least loss after 200 steps.": (
            lambda s: [r.rule.name for r in s[2:]] == ["rmsprop", "adam"] and all(above(r)[200] < 1e-3 for r in s[2:])
        ),
        "Gradient descent and momentum are not within a twentieth after 300, and in gradient descent the weight of the "
        "length still has the wrong sign: the large input bounds the rate for both.": lambda s: (
            all(above(r)[300] > 1 / 20 for r in s[:2]) and s[0].x[-1, 0] < 0 < s[3].x[-1, 0]
        ),
        "Set unit to 1 and its lr to 3, and it comes within a hundredth.": lambda s: bool(
            above(again(s[0], surface("petal_kinds"), lr=3.0))[-1] < 1e-2
        ),
    },
    "rare": {
        "A one or a seven, ten digits a step: 17 of 150 have ink in the pixel of y, so a third of the steps have no "
        "gradient for it at all.": lambda s: (
            s[0].surface.examples is not None
            and (s[0].surface.examples.rows[:, 1] > 0).sum() == 17
            and abs((s[0].gradient[:, 1] == 0).mean() - 1 / 3) < 0.05
        ),
        "After 400 steps gradient descent has moved y a tenth of its way, Adagrad more than half, RMSprop nearly all "
        "of it.": lambda s: (
            (way := [r.x[-1, 1] / lowest(r.surface)[1] for r in s[:3]])[0] < 0.12
            and 0.5 < way[1] < 0.7
            and way[2] > 0.95
        ),
        "The bars show the rate that each coordinate gets.": "seen in tests/playground/test_page.py",
    },
    "network": {
        "A network's loss along two random directions from its trained weights.": "tests/simulate/test_problems.py",
        "The trained ones are right about 144 of 150 irises; the four that start here end at a poorer minimum, right "
        "about 100 or fewer.": lambda s: (
            right(run("gd", s[0].surface, start=(0, 0), steps=1, lr=0.0)) == 144
            and all(right(r) <= 100 and np.linalg.norm(r.x[-1] - s[3].x[-1]) < 0.15 for r in s)
            and max(abs(s[3].surface.gradient(s[3].x[-1]))) < 1e-3
        ),
        "Set the noise to batches of the data with size 10: now gradient descent leaps out of it, and finds the better "
        "one.": lambda s: (
            right(leapt := again(s[0], noise=Noise("batches", 10, seed=1))) == 144 and bool(leapt.value[-1] < 0.1)
        ),
    },
}
