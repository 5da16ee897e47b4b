"""The look of every picture, and its moving parts. Matplotlib is imported when the first picture is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ravine import palette
from ravine.errors import missing
from ravine.simulate.surface import Surface

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT = "#333333", "#8A8A8A"
LOOK: Any = {
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "lines.linewidth": 2.2,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "ravine",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
}


@contextmanager
def look() -> Iterator[None]:
    """Matplotlib with Ravine's look. Raises ImportError, naming what to install, where it is missing."""
    try:
        import matplotlib
    except ImportError as error:
        raise missing("a picture", error) from error
    with matplotlib.rc_context(LOOK):
        yield


def style(rule: str, variant: int = 0) -> dict[str, Any]:
    """A rule's look as Matplotlib wants it; variants of one rule keep its colour and differ in their dashes."""
    chosen = palette.style(rule)
    if variant:
        chosen = chosen._replace(dash=((4.0, 1.5), (1.2, 1.2), (6.0, 1.5, 1.2, 1.5))[(variant - 1) % 3])
    return palette.on_paper(chosen, LOOK["lines.linewidth"])


@dataclass(frozen=True)
class Moving:
    """The parts of a picture that change with the step, and how: called with a step, it shows them as of then."""

    artists: tuple[Any, ...]
    show: Callable[[int], None]

    def __call__(self, t: int) -> None:
        self.show(t)


def together(parts: Iterable[Moving]) -> Moving:
    """All as one."""
    every = tuple(parts)

    def show(t: int) -> None:
        for each in every:
            each(t)

    return Moving(tuple(a for each in every for a in each.artists), show)


def later(part: Moving, steps: int) -> Moving:
    """The same, some steps later."""
    return Moving(part.artists, lambda t: part(max(0, t - steps)))


def curve(axes: Axes, ys: Any, look: Mapping[str, Any], label: str = "", xs: Any = None) -> Moving:
    """A quantity against step that is drawn as far as the film has come, with a dot at its end."""
    xs = np.arange(len(ys)) if xs is None else xs
    (line,) = axes.plot(xs, ys, label=label, **look)
    (head,) = axes.plot([], [], "o", color=look["color"], markersize=7, markeredgecolor="white")

    def show(t: int) -> None:
        shown = min(t + 1, len(ys))
        line.set_data(xs[:shown], ys[:shown])
        head.set_data(xs[shown - 1 : shown], ys[shown - 1 : shown])

    return Moving((line, head), show)


def trail(
    axes: Axes, x: Any, look: Mapping[str, Any], label: str = "", dots: bool = False, evaluated: bool = False
) -> Moving:
    """A path (time, 2) on a map, haloed, with its point at the end, and if wanted a dot for every step.

    The way of a point that is evaluated, beside the one that trains, is thin and dotted, and its end hollow.
    """
    if evaluated:
        look = {**look, "linewidth": 1.2, "linestyle": ":"}
    from matplotlib.patheffects import Normal, Stroke

    (line,) = axes.plot(x[:, 0], x[:, 1], label=label, **{"linewidth": 1.4 if dots else 2.0, **look})
    cased = look.get("path_effects", [Normal()])
    line.set_path_effects([Stroke(linewidth=4.6 if len(cased) > 1 else 3.6, foreground="white", alpha=0.8), *cased])
    marks = axes.plot(x[:, 0], x[:, 1], "o", markersize=3.2, color=look["color"]) if dots else []
    fill, edge = ("white", look["color"]) if evaluated else (look["color"], "white")
    (head,) = axes.plot([], [], "o", color=fill, markersize=9, markeredgecolor=edge, markeredgewidth=1.4)
    x = np.where(np.isfinite(x), x, np.nan)

    def show(t: int) -> None:
        now = min(t, len(x) - 1)
        for part in (line, *marks):
            part.set_data(x[: now + 1, 0], x[: now + 1, 1])
        head.set_data(x[now : now + 1, 0], x[now : now + 1, 1])

    return Moving((line, *marks, head), show)


def balls(axes: Axes, x: Any, surface: Surface, look: Mapping[str, Any], label: str = "") -> Moving:
    """A run of one coordinate as a point that moves on the surface's curve."""
    y = surface.value(x)
    (head,) = axes.plot([], [], "o", color=look["color"], markersize=13, markeredgecolor="white", label=label)

    def show(t: int) -> None:
        now = min(t, len(x) - 1)
        head.set_data(x[now : now + 1, 0], y[now : now + 1])

    return Moving((head,), show)


def plain_log(axis: Any) -> None:
    """A logarithmic axis marked 1, 10, 100 instead of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def view(surface: Surface, paths: Sequence[Any], own: Any = None) -> Any:
    """What to draw of a surface, (dimension, 2): its view, or one of the picture's own, grown where paths leave it.

    A path, (time, dimension), counts as far as it stays within three times that size: what diverges may leave.
    """
    low, high = np.transpose(np.asarray(surface.view if own is None else own, dtype=float))
    starts, size = np.stack([x[0] for x in paths]), high - low
    least, most = np.minimum(low, starts.min(axis=0)) - size, np.maximum(high, starts.max(axis=0)) + size
    away = [~np.all((x >= least) & (x <= most), axis=1) for x in paths]
    points = np.concatenate([x[: np.argmax(a)] if np.any(a) else x for x, a in zip(paths, away, strict=True)])
    first, last, room = points.min(axis=0), points.max(axis=0), 0.04 * size
    return np.stack([np.where(first < low, first - room, low), np.where(last > high, last + room, high)], axis=1)


def terrain(axes: Axes, surface: Surface, view: Any = None, levels: int = 18) -> None:
    """A surface of two coordinates as grey level lines, its minima as crosses. Colour is left to the optimizers."""
    (x0, x1), (y0, y1) = surface.view if view is None else view
    x, y = np.meshgrid(np.linspace(x0, x1, 241), np.linspace(y0, y1, 241))
    z = surface.value(np.stack([x, y], axis=-1))
    low = surface.minimum if surface.minimum is not None else float(np.nanmin(z))
    height = np.log1p(np.maximum(z - low, 0)) if surface.log_contours else np.sqrt(np.maximum(z - low, 0))
    marks = np.linspace(0, float(np.nanmax(height)), levels + 1)
    axes.contourf(x, y, height, marks, cmap=_greys(), antialiased=True, zorder=0)
    axes.contour(x, y, height, marks[1:], colors="#9FA8B2", linewidths=0.5, zorder=0.5)
    axes.set_rasterization_zorder(0.9)  # as paths they would be megabytes of an SVG
    for point in surface.minima:
        axes.plot(*point, "+", color=INK, markersize=11, markeredgewidth=1.8)
    axes.set(xlim=(x0, x1), ylim=(y0, y1))
    axes.grid(visible=False)


def profile(axes: Axes, surface: Surface, view: Any = None) -> None:
    """A surface of one coordinate as a curve."""
    low, high = surface.view[0] if view is None else view
    x = np.linspace(low, high, 801)[:, None]
    axes.fill_between(x[:, 0], surface.value(x), np.min(surface.value(x)), color="#ECEFF2", linewidth=0)
    axes.plot(x, surface.value(x), color="#9FA8B2", linewidth=1.5)
    axes.set(xlim=(low, high), xlabel="x", ylabel="f(x)")


def _greys() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("terrain", ["#FFFFFF", "#F3F5F7", "#E1E6EB", "#CCD4DC"])
