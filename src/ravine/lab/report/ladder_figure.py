"""Final losses against the size, one line an optimizer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ravine.lab.report.figures import plain_axes, style
from ravine.lab.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

APART = 0.05
"""Powers of two between the points of two optimizers at one size, so that their intervals don't hide each other."""


def draw(option: str, many: Mapping[float, Results]) -> Figure:
    """Geometric means (as in the tables) with their 95% intervals; no point where a run did not finish."""
    sizes = sorted(many)
    like = many[sizes[-1]]
    figure, axes = plain_axes(option, f"final {like.measure}")
    points = {s: {r.name: r.loss for r in many[s].summary.rows} for s in sizes}
    names = [r.name for r in like.summary.rows]
    for i, name in enumerate(names):
        at = [s for s in sizes if math.isfinite(points[s][name].value)]
        found = [points[s][name] for s in at]
        ends = [[f.value - f.low for f in found], [f.high - f.value for f in found]]
        shift = 2 ** (APART * (i - (len(names) - 1) / 2))
        label = name.replace("$", r"\$")
        x, y = [s * shift for s in at], [f.value for f in found]
        axes.errorbar(x, y, ends, label=label, capsize=2, marker="o", markersize=3, **style(like, name))
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{s:g}" for s in sizes])
    axes.minorticks_off()
    if all(m.summary.scores.is_log for m in many.values()):
        axes.set_yscale("log")
    figure.legend(loc="outside right center", frameon=False, handlelength=3)
    return figure
