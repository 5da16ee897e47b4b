"""The figures, by Matplotlib: learning curves with bands, and the final loss against the learning rate."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ravine import palette
from ravine.lab.records import FINAL, FINISHED, PRUNED, TUNING
from ravine.lab.results import Results
from ravine.lab.sensitivity import curve
from ravine.lab.space import COMPLEMENT, Space, Span
from ravine.lab.summary import Summary, is_joined

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 8.0, 4.6


def figures(results: Results) -> dict[str, Figure]:
    """Every figure by the name of its file."""
    made = results.summary
    return {"curves": curves(results, made)} | {n: sensitivity(results, made, n) for n in searched(results)}


def curves(results: Results, made: Summary) -> Figure:
    """Validation loss against steps: the mean over the scored seeds, and a band from the lowest to the highest."""
    figure, axes = _axes("steps", "validation loss", results)
    for row in made.rows:
        finals = [r for r in results.of(row.name, FINAL) if r.status == FINISHED]
        if not finals:
            continue
        steps = finals[0].curve["step"]
        losses = np.array([r.curve["loss"] for r in finals if len(r.curve["loss"]) == len(steps)])
        look = style(results, row.name)
        axes.plot(steps, losses.mean(0), label=row.name, **look)
        axes.fill_between(steps, losses.min(0), losses.max(0), color=look["color"], alpha=0.15, linewidth=0)
    if math.isfinite(made.target):
        axes.axhline(made.target, color="#808080", linewidth=0.8, linestyle=(0, (1, 2)))
        axes.annotate("target", (1, made.target), xycoords=("axes fraction", "data"), ha="right", va="bottom")
    _scale(axes, results)
    return _finish(figure, axes)


def sensitivity(results: Results, made: Summary, hyper: str) -> Figure:
    """The final validation loss of the tuning runs against a hyperparameter; on top, crosses did not finish, and
    triangles were stopped early.

    A line only where nothing else was searched: else the trials differ in more than their place on the axis.
    """
    figure, axes = _axes(searched(results)[hyper].removeprefix("the "), "final validation loss", results)
    values = []
    for row in made.rows:
        if hyper not in space(results, row.name):
            continue
        points = tried(results, row.name, hyper)
        values += [p.value for p in points]
        look = style(results, row.name)
        if is_loose(results, row.name):
            look |= {"linestyle": "none", "markerfacecolor": look["color"] if look["linestyle"] == "solid" else "none"}
        good = [(p.value, p.loss) for p in points if math.isfinite(p.loss)]
        if good:
            axes.plot(*zip(*good, strict=True), marker="o", markersize=2, label=row.name, **look)
        for marker, stopped in (("x", False), ("^", True)):
            bad = [p.value for p in points if not math.isfinite(p.loss) and p.is_stopped == stopped]
            axes.plot(
                bad, [0.97] * len(bad), marker, mfc="none", color=look["color"], transform=axes.get_xaxis_transform()
            )
    if values and min(values) > 0:
        axes.set_xscale("log")
    _scale(axes, results)
    return _finish(figure, axes)


def searched(results: Results) -> dict[str, str]:
    """Every hyperparameter that was searched, and what its axis shows: of a decay, what it lacks of one."""
    spans = {n: Span(*s) for c in results.contenders for n, s in c["space"].items()}
    names = {n: f"1 − {n}" if s.scale == COMPLEMENT else n for n, s in spans.items()}
    return {n: "the learning rate" if n == "lr" else label for n, label in names.items()}


class Tried(NamedTuple):
    """A hyperparameter's value on its axis, the final loss (infinite if it did not finish), and whether that is for no
    other reason than that it was stopped early."""

    value: float
    loss: float
    is_stopped: bool


def tried(results: Results, name: str, hyper: str) -> list[Tried]:
    """What came of each value of a hyperparameter that was tried: the line through all repetitions (`curve`), or where
    no line joins them, each run on its own."""
    span, tuning = Span(*space(results, name)[hyper]), results.of(name, TUNING)
    if is_loose(results, name):
        found = [Tried(r.settings.hyper[hyper], r.loss, r.status == PRUNED) for r in tuning]
    else:
        found = [Tried(value, loss, False) for value, loss in curve(tuning, hyper, span)]
    turned = span.scale == COMPLEMENT
    return sorted(t._replace(value=1 - t.value) if turned else t for t in found)


def is_loose(results: Results, name: str) -> bool:
    """Whether the trials of a contender can't be joined by a line."""
    return not is_joined(results.protocol, space(results, name), results.of(name, TUNING))


def space(results: Results, name: str) -> Space:
    """What was searched for a contender."""
    found: Space = next(c["space"] for c in results.contenders if c["name"] == name)
    return found


def look(results: Results, name: str) -> palette.Style:
    """Colour and dashes: the rule's, or where contenders share a rule, each one's own; no two alike if it can be."""
    rules = {c["name"]: c["rule"] for c in results.contenders}
    shared = Counter(rules.values())
    known = {n: n if shared[rule] > 1 else rule.rpartition(":")[2] for n, rule in rules.items()}
    return palette.styles(list(known.values()))[known[name]]


def style(results: Results, name: str) -> dict[str, Any]:
    """The same for Matplotlib."""
    return palette.on_paper(look(results, name))


def _scale(axes: Any, results: Results) -> None:
    """A log scale where losses are positive, cut off above what the task starts from."""
    losses = [v for r in results.records if r.status == FINISHED for v in r.curve["loss"]]
    if losses and min(losses) > 0:
        axes.set_yscale("log")
        starts = [r.curve["loss"][0] for r in results.records if r.status == FINISHED]
        axes.set_ylim(top=1.5 * max(starts))


def _axes(x: str, y: str, results: Results) -> tuple[Figure, Any]:
    figure, axes = plain_axes(x, y)
    axes.set_title(str(results.task["title"]).replace("$", r"\$"), loc="left", fontsize="medium")
    return figure, axes


def plain_axes(x: str, y: str) -> tuple[Figure, Any]:
    """A figure with axes in the report's manner."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    return figure, axes


def _finish(figure: Figure, axes: Any) -> Figure:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        safe = [label.replace("$", r"\$") for label in labels]
        figure.legend(handles, safe, loc="outside right center", frameon=False, handlelength=3)
    return figure
