"""The surfaces, each written once as its formula: values, gradients and the playground's JavaScript come from it.

Formulas of + − × ÷ √ and comparisons alone give the same bits in every language.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from ravine.errors import unknown
from ravine.math import sqrt, where
from ravine.simulate.surface import Interval, Point, Surface, signature, trace

SURFACES: dict[str, Surface] = {}
"""Every surface by name."""


def surface(name: str, **parameters: float) -> Surface:
    """A surface by name, with some of its parameters changed. Raises ValueError, naming the nearest name."""
    if name not in SURFACES:
        raise unknown("surface", name, SURFACES, listed_by="ravine simulate surfaces")
    return SURFACES[name].with_parameters(**parameters)


def register(
    function: Callable[..., Any],
    *,
    view: tuple[Interval, ...],
    domain: tuple[Interval, ...] | None = None,
    minima: tuple[Point, ...] = (),
    minimum: float | None = None,
    log_contours: bool = False,
    **about: Any,
) -> Surface:
    """Make a surface that has a function's name and docstring, and an expression, one of `SURFACES`. `about` are the
    other fields of `Surface`; `domain` is by default the view."""
    made = SURFACES[function.__name__] = Surface(
        name=function.__name__,
        summary=inspect.cleandoc(function.__doc__ or ""),
        view=view,
        domain=domain or view,
        minima=minima,
        minimum=minimum,
        log_contours=log_contours,
        gradient_by="symbolic",
        **about,
    )
    return made


def _declare(
    *,
    title: str,
    view: tuple[Interval, ...],
    start: Point,
    minima: tuple[Point, ...] = (),
    minimum: float | None = None,
    traits: tuple[str, ...],
    domain: tuple[Interval, ...] | None = None,
    log_contours: bool = False,
) -> Callable[[Callable[..., Any]], Surface]:
    def declare(function: Callable[..., Any]) -> Surface:
        coordinates, parameters = signature(function)
        return register(
            function,
            title=title,
            dimension=len(coordinates),
            domain=domain,
            view=view,
            start=start,
            minima=minima,
            minimum=minimum,
            traits=traits,
            parameters=MappingProxyType(parameters),
            log_contours=log_contours,
            graph=trace(function),
        )

    return declare


@_declare(
    title="Kinked valley",
    view=((-2.5, 2.5),),
    domain=((-10.0, 10.0),),
    start=(2.0,),
    minima=((0.0,),),
    minimum=0.0,
    traits=("one-dimensional", "the slope reverses and is ten times weaker on the far side", "not smooth at 0"),
)
def kinked_valley(x: Any) -> Any:
    """x to the right of zero, −0.1·x to the left: a long descent, then a slope that reverses and is ten times weaker.

    At x = 0 itself the gradient is that of the left side.
    """
    return where(x > 0, x, -0.1 * x)


@_declare(
    title="Constant slope",
    view=((-10.0, 1.0),),
    domain=((-100.0, 100.0),),
    start=(0.0,),
    traits=("one-dimensional", "no minimum: shows the speed that an optimizer builds up"),
)
def constant_slope(x: Any, *, slope: float = 1.0) -> Any:
    """A straight line downhill for ever."""
    return slope * x


@_declare(
    title="Sharp and flat",
    view=((-4.5, 5.5),),
    domain=((-10.0, 10.0),),
    start=(-4.0,),
    minima=((2.988782086794161,),),
    minimum=-0.002243654128336265,
    traits=("one-dimensional", "a sharp minimum at −0.95 lies on the way to a flat one at 2.99, which is lower"),
)
def sharp_and_flat(x: Any) -> Any:
    """0.05·(x − 3)² − 0.4 / (1 + ((x + 1) / 0.3)²): a wide valley, with a narrow pit in its side."""
    pit = (x + 1) / 0.3
    return 0.05 * ((x - 3) * (x - 3)) - 0.4 / (1 + pit * pit)


@_declare(
    title="Oblong bowl",
    view=((-5.0, 5.0), (-2.5, 2.5)),
    domain=((-10.0, 10.0), (-10.0, 10.0)),
    start=(-4.5, 1.5),
    minima=((0.0, 0.0),),
    minimum=0.0,
    traits=("convex", "the axes' curvatures are 1 and `condition`", "turned so that the long axis rises by `tilt`"),
)
def oblong_bowl(x: Any, y: Any, *, condition: float = 20.0, tilt: float = 0.0) -> Any:
    """A quadratic with curvature 1 along its long axis and `condition` across it.

    `tilt` is the slope of the long axis: 0 along x, 1 at 45 degrees.
    """
    c = 1 / sqrt(1 + tilt * tilt)
    s = tilt * c
    along, across = c * x + s * y, c * y - s * x
    return 0.5 * (along * along + condition * (across * across))


@_declare(
    title="Rosenbrock's banana",
    view=((-2.0, 2.0), (-1.0, 3.0)),
    domain=((-5.0, 10.0), (-5.0, 10.0)),
    start=(-1.2, 1.0),
    minima=((1.0, 1.0),),
    minimum=0.0,
    traits=("a curved, nearly flat valley between steep walls", "condition number about 2500 at the minimum"),
    log_contours=True,
)
def rosenbrock(x: Any, y: Any, *, steepness: float = 100.0) -> Any:
    """(1 − x)² + `steepness`·(y − x²)²: finding the valley is easy, following it is not (Rosenbrock 1960)."""
    off = y - x * x
    return (1 - x) * (1 - x) + steepness * (off * off)


@_declare(
    title="Beale",
    view=((-2.0, 4.0), (-2.0, 2.0)),
    domain=((-4.5, 4.5), (-4.5, 4.5)),
    start=(1.0, 1.5),
    minima=((3.0, 0.5),),
    minimum=0.0,
    traits=("flat valleys along the axes", "very steep corners"),
    log_contours=True,
)
def beale(x: Any, y: Any) -> Any:
    """Three squares of 1.5 − x(1 − y), 2.25 − x(1 − y²), 2.625 − x(1 − y³) (Beale 1958)."""
    a = 1.5 - x + x * y
    b = 2.25 - x + x * (y * y)
    c = 2.625 - x + x * (y * y * y)
    return a * a + b * b + c * c


@_declare(
    title="Himmelblau",
    view=((-6.0, 6.0), (-6.0, 6.0)),
    domain=((-5.0, 5.0), (-5.0, 5.0)),
    start=(0.0, -1.0),
    minima=(
        (3.0, 2.0),
        (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.283185991286170),
        (3.584428340330492, -1.848126526964404),
    ),
    minimum=0.0,
    traits=("four equal minima", "where a run ends depends on the start and the optimizer"),
    log_contours=True,
)
def himmelblau(x: Any, y: Any) -> Any:
    """(x² + y − 11)² + (x + y² − 7)²: four valleys, equally deep (Himmelblau 1972)."""
    a = x * x + y - 11
    b = x + y * y - 7
    return a * a + b * b


@_declare(
    title="Rastrigin",
    view=((-5.12, 5.12), (-5.12, 5.12)),
    start=(3.3, 2.2),
    minima=((0.0, 0.0),),
    minimum=0.0,
    traits=("a bowl full of local minima, one near each pair of whole numbers",),
)
def rastrigin(x: Any, y: Any) -> Any:
    """20 + x² + y² − 10·cos 2πx − 10·cos 2πy (Rastrigin 1974)."""
    return 20 + x * x + y * y - 10 * np.cos(2 * math.pi * x) - 10 * np.cos(2 * math.pi * y)


@_declare(
    title="Styblinski–Tang",
    view=((-5.0, 5.0), (-5.0, 5.0)),
    start=(0.0, 4.5),
    minima=((-2.903534027771177, -2.903534027771177),),
    minimum=-78.33233140754282,
    traits=("four minima, one of them the least", "very steep outside"),
)
def styblinski_tang(x: Any, y: Any) -> Any:
    """Half the sum of x⁴ − 16x² + 5x over the coordinates (Styblinski & Tang 1990)."""
    xx, yy = x * x, y * y
    return 0.5 * (xx * xx - 16 * xx + 5 * x + yy * yy - 16 * yy + 5 * y)


@_declare(
    title="Saddle",
    view=((-1.6, 1.6), (-1.6, 1.6)),
    domain=((-3.0, 3.0), (-3.0, 3.0)),
    start=(-1.4, 0.01),
    minima=((0.0, -1.0), (0.0, 1.0)),
    minimum=-0.25,
    traits=("a saddle point at 0 between two minima", "the gradient along the escape is tiny at first"),
)
def saddle(x: Any, y: Any) -> Any:
    """½x² − ½y² + ¼y⁴: downhill to the saddle at zero, from which only y leads on."""
    yy = y * y
    return 0.5 * (x * x) - 0.5 * yy + 0.25 * (yy * yy)


@_declare(
    title="Plateau",
    view=((-6.0, 6.0), (-6.0, 6.0)),
    domain=((-20.0, 20.0), (-20.0, 20.0)),
    start=(-4.5, 3.5),
    minima=((0.0, 0.0),),
    minimum=0.0,
    traits=("nearly flat far away", "the gradient falls as the cube of the distance"),
)
def plateau(x: Any, y: Any) -> Any:
    """r² / (1 + r²): a hole in a plain."""
    r = x * x + y * y
    return r / (1 + r)
