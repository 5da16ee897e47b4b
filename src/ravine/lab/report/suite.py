"""The report over several tasks: ranks, the performance profile, and a link to each task's own report."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ravine.lab.profile import Profile, mean_ranks, profile
from ravine.lab.report import words
from ravine.lab.report.figures import look, plain_axes, style
from ravine.lab.report.html import breakable, rows, shell, swatch
from ravine.lab.report.verdict import verdict as of_one
from ravine.lab.results import Results, write
from ravine.lab.statistics import SOURCES, Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_suite(many: Mapping[str, Results], folder: Path) -> list[Path]:
    """Write suite.html and profile.png. `many` maps the name of each task's folder to its results."""
    found = profile(list(many.values()))
    ranked = {n: found[n] for n in mean_ranks(list(many.values())) if n in found}
    figure = draw(ranked, next(iter(many.values())))
    figure.savefig(folder / "profile.png", dpi=150)
    write(folder / "suite.html", page(many, figure))
    return [folder / "suite.html", folder / "profile.png"]


def page(many: Mapping[str, Results], figure: Figure) -> str:
    """The page, with the figure in it."""
    first = next(iter(many.values()))
    ranks = mean_ranks(list(many.values()))
    tables = {task: {r.name: words.cells(r)[2] for r in results.summary.rows} for task, results in many.items()}
    lines = [
        (swatch(look(first, n).color) + breakable(n), (_rank(rank), *(t.get(n, "–") for t in tables.values())))
        for n, rank in ranks.items()
    ]
    parts = ["<h1>Several tasks</h1>", '<div class="verdict">' + verdict(ranks) + "</div>"]
    parts.append(rows(("optimizer", "mean rank", *many), lines))
    note = "Mean rank over the tasks, and final validation loss on each, with 95% intervals over the repetitions."
    parts.append(f'<p class="note">{note}</p>')
    parts.append(
        f'<h2>Performance profile</h2><figure><div style="overflow-x:auto">{inline_svg(figure)}</div>'
        f"<figcaption>{escape(CAPTION)}</figcaption></figure>"
    )
    parts.append("<h2>The tasks</h2>")
    for folder, results in many.items():
        said = escape(" ".join(of_one(results, results.summary)))
        link = f'<a href="{escape(folder)}/report.html">{escape(str(results.task["title"]))}</a>'
        parts.append(f"<h3>{link}</h3><p>{said}</p>")
    parts.append(f'<p class="note">Ranks: {escape(SOURCES["rank"])}; {escape(SOURCES["profile"])}.</p>')
    return shell("Several tasks · ravine compare", "\n".join(parts), "{}", "")


CAPTION = (
    "The share of problems (repetitions of tasks) on which an optimizer reached the target within so many times the "
    "steps of the best one. Higher is better; the left edge tells how often it was the fastest, the right one how "
    "often it got there."
)


def verdict(ranks: Mapping[str, Interval]) -> str:
    """Who ranks lowest, and who may as well, since their intervals overlap."""
    if not ranks:
        return "<p>No task has finished runs.</p>"
    best, *others = ranks
    rivals = [n for n in others if ranks[n].low <= ranks[best].high]
    said = f"{best} has the lowest mean rank over these tasks, {_rank(ranks[best])}. "
    if rivals:
        said += f"It is not told apart from {words.listed(rivals)}: the intervals of their ranks overlap."
    elif others:
        said += "No other's interval reaches it."
    return f"<p>{escape(said)} Other tasks may rank them otherwise.</p>"


def _rank(rank: Interval) -> str:
    return f"{rank.value:.1f} ({rank.low:.1f} to {rank.high:.1f})"


def draw(found: Profile, like: Results) -> Figure:
    """The profile as a figure."""
    figure, axes = plain_axes("times the steps of the fastest", "share of problems solved")
    last = 1.5 * max((p[-1][0] for p in found.values() if p), default=1.0)
    for name, corners in found.items():
        x = [1.0, *(ratio for ratio, _ in corners), last]
        y = [0.0 if not corners or corners[0][0] > 1 else corners[0][1], *(share for _, share in corners)]
        axes.step(x, [*y, y[-1]], where="post", label=name.replace("$", r"\$"), **style(like, name))
    axes.set_xscale("log")
    axes.set_xlim(1, last)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}" if last < 10 else "")
    figure.legend(loc="outside right center", frameon=False, handlelength=3)
    return figure


def inline_svg(figure: Figure) -> str:
    """The figure as an inline SVG that takes the page's ink, without the file's header and metadata."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return svg.replace("#000000", "currentColor").replace(
        "<svg ", '<svg style="width:100%;min-width:32rem;max-width:54rem;height:auto" ', 1
    )


def folder_name(task: str, taken: Sequence[str]) -> str:
    """A folder for a task's results."""
    base = re.sub(r"[^\w.-]+", "-", task).strip("-")
    return base if base not in taken else f"{base}-{len(taken)}"
