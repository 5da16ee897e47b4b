"""A ladder as people and programs read it: tables, sentences, a figure, JSON. Reads results, runs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from ravine.lab.ladder import TRANSFER, Change, changes, is_predicted
from ravine.lab.report.html import rows, shell
from ravine.lab.report.ladder_figure import draw
from ravine.lab.report.ladder_words import by, effect, words
from ravine.lab.report.suite import inline_svg
from ravine.lab.report.words import interval
from ravine.lab.results import Results, plain, write

FORMAT = 1
Lines = list[list[str]]


@dataclass(frozen=True)
class Ladder:
    """What was found: `many` holds each size's results by the option's value, `folders` where these are."""

    option: str
    tuning: str
    many: Mapping[float, Results]
    folders: Mapping[float, str]

    @property
    def sizes(self) -> list[float]:
        """Ascending."""
        return sorted(self.many)

    @cached_property
    def changes(self) -> list[Change]:
        """What becomes of each pair."""
        return changes(self.many)

    @property
    def names(self) -> list[str]:
        """The optimizers in the order of the largest size."""
        return [r.name for r in self.many[self.sizes[-1]].summary.rows]

    @property
    def text(self) -> list[str]:
        """The sentences."""
        return words(self.option, self.tuning, self.many, self.changes)

    @property
    def losses(self) -> Lines:
        """A heading and a line for each optimizer: its place and final loss at each size."""
        made = {s: self.many[s].summary.rows for s in self.sizes}
        lines = [["optimizer", *(f"{self.option} {s:g}" for s in self.sizes)]]
        for name in self.names:
            cells = [next(f"{i}. {interval(r.loss)}" for i, r in enumerate(made[s], 1) if r.name == name) for s in made]
            lines.append([name, *cells])
        return lines

    @property
    def differences(self) -> Lines:
        """The same for the pairs with the best of the largest size: the ratio at each size, with an asterisk where
        that size separates the two, and the trend, with one where it is told from none."""
        lines = [[by(self.names[0], self.changes), *(f"{self.option} {s:g}" for s in self.sizes), "with each doubling"]]
        for c in (c for c in self.changes if c.a == self.names[0]):
            cells = [interval(r) + "*" * bool(told) for r, told in zip(c.ratios, c.ahead, strict=True)]
            lines.append([c.b, *cells, effect(c.trend, c.is_difference) + "*" * c.has_trend])
        return lines

    def tables(self) -> list[Table]:
        """For the terminal."""
        return [_table(self.losses), *([_table(self.differences)] if self.changes else [])]

    def markdown(self) -> str:
        """To paste."""
        parts = [_markdown(self.losses), *([_markdown(self.differences), MARKS] if self.changes else [])]
        return "\n\n".join([*parts, *self.text]) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """For JSON: all pairs."""
        made = {s: self.many[s].summary.rows for s in self.sizes}
        found: dict[str, Any] = {
            "format": FORMAT,
            "option": self.option,
            "sizes": self.sizes,
            "tasks": [self.many[s].task["spec"] for s in self.sizes],
            "folders": [self.folders[s] for s in self.sizes],
            "tuning": self.tuning,
            "tuned_at": self.sizes[:1] if self.tuning == TRANSFER else self.sizes,
            "smallest_predicts_largest": is_predicted(self.changes),
            "words": self.text,
            "optimizers": [
                {"name": n, "loss": [r.loss for s in made for r in made[s] if r.name == n]} for n in self.names
            ],
            "pairs": [
                {
                    **vars(c),
                    "has_trend": c.has_trend,
                    "is_missed": c.is_missed,
                    "is_reversed": c.is_reversed,
                    "verdict_holds": c.holds,
                }
                for c in self.changes
            ],
        }
        return dict(plain(found))

    def page(self) -> str:
        """The page, with links to each size's own report."""
        tables = [self.losses, *([self.differences] if self.changes else [])]
        shown = [rows(h, [(escape(n), cells) for n, *cells in lines]) for h, *lines in tables]
        links = [
            f'<li><a href="{escape(self.folders[s])}/report.html">{escape(f"{self.option} {s:g}")}</a></li>'
            for s in self.sizes
        ]
        title = escape(f"{self.many[self.sizes[0]].task['title']}, at several sizes")
        note = f'<p class="note">{escape(MARKS)}</p>' if self.changes else ""
        verdict = "".join(f"<p>{escape(t)}</p>" for t in self.text)
        figure = f'<figure><div style="overflow-x:auto">{inline_svg(draw(self.option, self.many))}</div></figure>'
        parts = [f"<h1>{title}</h1>", f'<div class="verdict">{verdict}</div>', *shown, note, figure]
        body = "\n".join([*parts, "<h2>Each size</h2>", f"<ul>{''.join(links)}</ul>"])
        return shell(f"{title} · ravine compare", body, "{}", "")

    def write(self, folder: Path) -> list[Path]:
        """Write ladder.html, ladder.md, ladder.json and ladder.png."""
        files = {"html": self.page(), "md": self.markdown(), "json": json.dumps(self.to_dict(), indent=1)}
        for kind, text in files.items():
            write(folder / f"ladder.{kind}", text)
        draw(self.option, self.many).savefig(folder / "ladder.png", dpi=150)
        return [folder / f"ladder.{kind}" for kind in (*files, "png")]


MARKS = "* That size separates the two; or the trend is told from none. In brackets 95% intervals, each by itself."


def _table(lines: Lines) -> Table:
    (first, *headings), *rest = lines
    shown = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    shown.add_column(first)
    for heading in headings:
        shown.add_column(heading, justify="right")
    for line in rest:
        shown.add_row(*(Text(_short(cell)) for cell in line))
    return shown


def _short(cell: str) -> str:
    return cell.replace(" to ", "–")


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    heading, *rest = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    rule = ["---"] + ["---:"] * (len(heading) - 1)
    return "\n".join(f"| {' | '.join(line)} |" for line in [heading, rule, *rest])
