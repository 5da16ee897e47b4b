"""The picture of changing direction: the valley, the paths about its floor, and each rule at its own lr."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ravine.simulate import figures
from ravine.simulate.runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ravine.simulate.scenarios.turn import Turn


def draw(
    figure: Figure,
    runs: Mapping[str, Run],
    turns: Mapping[str, Turn],
    labels: Mapping[str, str],
    listed: Sequence[tuple[str, float, Turn]],
) -> figures.Moving:
    """Draw the compared `runs` with their `turns`, and the `listed` rules with lr and turn; returns what moves."""
    axes = figure.subplot_mosaic([["valley", "own"], ["path", "own"]], width_ratios=(1.35, 1), height_ratios=(1, 1.2))
    valley, path, own = axes["valley"], axes["path"], axes["own"]
    looks = {n: figures.style(r.rule.name, int(n == "adam fast")) for n, r in runs.items()}
    before = 20
    window = {n: r.x[max(0, turns[n].crossed - before) :][: before + 141] for n, r in runs.items()}
    low = min(float(np.min(w)) for w in window.values())
    high = max(float(np.max(w)) for w in window.values())
    figures.profile(valley, runs["adam"].surface, (1.15 * low, high * 1.05))
    valley.set_title("the valley; ▼ the furthest point")
    updates = []
    for n, w in window.items():
        late = before - min(before, turns[n].crossed)  # a fast run crosses before it has done that many steps
        steps = np.arange(len(w)) - before + late
        lowest = w[np.argmin(w[:, 0])]
        valley.plot(*lowest, runs[n].surface.value(lowest), "v", color=looks[n]["color"], markersize=8, zorder=1)
        updates += [
            figures.later(figures.balls(valley, w, runs[n].surface, looks[n]), late),
            figures.later(figures.curve(path, w[:, 0], looks[n], labels[n], xs=steps), late),
        ]
    path.axhline(0, color=figures.FAINT, linewidth=1)
    path.set(title="x against steps since the floor was crossed", xlabel="step − step of the crossing", ylabel="x")
    path.legend(loc="upper right", fontsize=11)
    _dots(own, listed)
    return figures.together(updates)


def _dots(axes: Any, listed: Sequence[tuple[str, float, Turn]]) -> None:
    """Steps to turn and to return of each rule at its own learning rate."""
    for place, (name, rate, t) in enumerate(reversed(listed)):
        color = figures.style(name)["color"]
        returning = t.returning if t.returning is not None else np.nan
        axes.plot(
            [t.turning, t.turning + returning],
            [place, place],
            color=color,
            linewidth=3,
            linestyle=figures.style(name)["linestyle"],
        )
        axes.plot(t.turning, place, "o", color="white", markeredgecolor=color, markeredgewidth=2.4, markersize=9)
        axes.plot(t.turning + returning, place, "o", color=color, markersize=10)
        text = f"{name}, lr {rate:g}, overshoot {t.overshoot:.2g}"
        axes.annotate(text, (0, place), xytext=(0, 9), textcoords="offset points", fontsize=11)
    axes.set(title="each at its own lr: ○ turned, ● back", xlabel="steps since the floor was crossed", yticks=[])
    axes.set_ylim(-0.5, len(listed) - 0.3)
    axes.set_xlim(-3, None)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
