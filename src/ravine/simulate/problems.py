"""Real problems of two weights: their loss over data as surfaces, each written as its model and what an error costs.

The petals are Fisher's irises (The use of multiple measurements in taxonomic problems, 1936), the pixels handwritten
digits by Alpaydin & Kaynak (1998): from the UCI repository (CC BY 4.0), as scikit-learn has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ravine.simulate.examples import Examples, table
from ravine.simulate.expression import apply
from ravine.simulate.surface import Interval, Point, Surface, signature, trace_over
from ravine.simulate.surfaces import register

PETALS, PIXELS = table("petals"), table("pixels")
LENGTH, WIDTH, SPECIES = PETALS.T


def squared_error(output: Any, wanted: Any) -> Any:
    """Half the square of what is missing."""
    return 0.5 * ((output - wanted) * (output - wanted))


def logistic(output: Any, wanted: Any) -> Any:
    """−log of the probability 1/(1 + e^(−output)) of the second class, or of the first one's, which is the rest."""
    return apply("log", 1 + apply("exponential", -wanted * output))


def tanh(a: Any) -> Any:
    return 1 - 2 / (1 + apply("exponential", 2 * a))


def _declare(
    *,
    title: str,
    about: str,
    inputs: Mapping[str, str],
    wanted: str,
    classes: tuple[str, ...] = (),
    rows: Any,
    loss: Callable[[Any, Any], Any],
    view: tuple[Interval, Interval],
    start: Point,
    traits: tuple[str, ...],
) -> Callable[[Callable[..., Any]], Surface]:
    def declare(model: Callable[..., Any]) -> Surface:
        graph, output = trace_over(model, loss, inputs)
        return register(
            model,
            title=title,
            dimension=2,
            view=view,
            start=start,
            traits=traits,
            parameters=MappingProxyType(signature(model, 2 + len(inputs))[1]),
            graph=graph,
            examples=Examples(about, inputs, wanted, classes, rows, output),
        )

    return declare


@_declare(
    title="Petals: a line",
    about="150 irises",
    inputs={"length": "petal length, cm"},
    wanted="petal width, cm",
    rows=np.stack([LENGTH, WIDTH], axis=1),
    loss=squared_error,
    view=((-1.2, 1.8), (-1.6, 1.6)),
    start=(-0.6, 1.0),
    traits=("linear regression on real data", "condition number 105, and 3 with the input centred"),
)
def petal_line(x: Any, y: Any, length: Any, *, centred: float = 0.0) -> Any:
    """The width of a petal from its length, as x·length + y: the mean of half the squared error of 150 irises.

    `centred` is how much of its mean the length is given without: 0 leaves it as it is, 1 centres it.
    """
    return x * (length - centred * float(LENGTH.mean())) + y


TWO = SPECIES > 0


@_declare(
    title="Petals: two kinds",
    about="100 irises",
    inputs={"length": "petal length, cm", "width": "petal width, cm"},
    wanted="",
    classes=("versicolor", "virginica"),
    rows=np.stack([LENGTH, WIDTH, 2 * SPECIES - 3], axis=1)[TWO],
    loss=logistic,
    view=((-4.0, 12.0), (-4.0, 14.0)),
    start=(-2.0, -2.0),
    traits=("logistic regression on real data", "two inputs that go together", "a unit that scales one of them"),
)
def petal_kinds(x: Any, y: Any, length: Any, width: Any, *, unit: float = 1.0) -> Any:
    """Versicolor or virginica, from a petal's length and width, both without their means: the mean logistic loss.

    x and y are the weights of length and width; `unit` is how many units a centimetre of width has: 10 for
    millimetres.
    """
    return x * (length - float(LENGTH[TWO].mean())) + y * (unit * (width - float(WIDTH[TWO].mean())))


@_declare(
    title="Digits: a rare pixel",
    about="150 handwritten digits",
    inputs={"bottom": "ink near the bottom", "corner": "ink near the corner"},
    wanted="",
    classes=("one", "seven"),
    rows=np.stack([PIXELS[:, 0] / 16, PIXELS[:, 1] / 16, (PIXELS[:, 2] - 4) / 3], axis=1),
    loss=logistic,
    view=((-14.0, 4.0), (-4.0, 26.0)),
    start=(0.0, 0.0),
    traits=("logistic regression on real data", "a sparse input: zero for 133 of 150 digits"),
)
def rare_pixel(x: Any, y: Any, bottom: Any, corner: Any) -> Any:
    """A one or a seven, from two pixels of 8 × 8: the mean logistic loss.

    x is the weight of a pixel in the bottom row, given without its mean; y that of one near the upper left corner,
    which few have inked at all, so that few examples have a gradient for it.
    """
    return x * (bottom - float(PIXELS[:, 0].mean()) / 16) + y * corner


SCALED = np.stack([(LENGTH - LENGTH.mean()) / LENGTH.std(), (WIDTH - WIDTH.mean()) / WIDTH.std()], axis=1)
"""The petals' lengths and widths with mean 0 and standard deviation 1."""

SLICE = (
    *((-1.48, 1.95, -1.45), (-1.27, 0.33, -1.12), (-1.51, -1.47, -1.64)),  # a hidden unit, its bias last
    *((1.88, -1.68, 2.24), (1.69, 2.80, -0.26), (-2.11, 0.36, -2.39)),  # the second
    *((-4.05, -5.68, 1.49), (-4.02, -0.27, 3.01), (-3.78, -3.81, -5.97)),  # the output's
)
"""A trained network's nine weights, and what the two directions of the slice add to each.

tests/simulate/test_problems.py trains it again, and draws the directions again: at random, each unit's part as long as
the unit's own weights (Li et al. 2018, arXiv:1712.09913).
"""


@_declare(
    title="A network, sliced",
    about="150 irises",
    inputs={"length": "petal length, standardised", "width": "petal width, standardised"},
    wanted="",
    classes=("another", "versicolor"),
    rows=np.concatenate([SCALED, np.where(SPECIES == 1, 1.0, -1.0)[:, None]], axis=1),
    loss=logistic,
    view=((-2.0, 2.0), (-2.0, 2.0)),
    start=(-1.8, -1.0),
    traits=("two directions through the nine weights of a trained network", "not convex: a second, poorer minimum"),
)
def network_slice(x: Any, y: Any, length: Any, width: Any) -> Any:
    """Versicolor or not, by a network of two hidden units: its loss along two random directions from trained weights.

    At x = y = 0 it is as it was trained. Elsewhere x times the one direction and y times the other are added to its
    nine weights.
    """
    a1, a2, a0, b1, b2, b0, c1, c2, c0 = (trained + x * first + y * second for trained, first, second in SLICE)
    return c1 * tanh(a1 * length + a2 * width + a0) + c2 * tanh(b1 * length + b2 * width + b0) + c0


PROBLEMS = {s.name: s for s in (petal_line, petal_kinds, rare_pixel, network_slice)}
"""The surfaces over data, by name; they are among `SURFACES`, too."""
