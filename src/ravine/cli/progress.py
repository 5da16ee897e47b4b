"""What a comparison shows in the terminal: progress, the table, failures."""

from __future__ import annotations

import math
import time
from types import TracebackType

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ravine.lab.records import DEFAULTS, DIVERGED, FAILED, FINAL, PRUNED, TUNING, Record
from ravine.lab.report import figures, words
from ravine.lab.results import Results
from ravine.lab.summary import Summary

SECONDS_BETWEEN_LINES = 5.0
DID = {TUNING: "tuned", FINAL: "scored", DEFAULTS: "ran defaults of"}


class Bar:
    """A bar with the time left; where there is no terminal, a line now and then."""

    def __init__(self, console: Console, total: int, name: str, measured: int = 0) -> None:
        self.console, self.total, self.name, self.measured = console, total, name, measured
        self.spoken = -math.inf
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("· left"),
            TimeRemainingColumn(elapsed_when_finished=False),
        )
        self.progress = Progress(*columns, console=console, disable=not console.is_terminal, speed_estimate_period=600)
        self.bar = self.progress.add_task(f"{name}: starting", total=total)

    def __enter__(self) -> Bar:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.progress.stop()

    def show(self, record: Record | None, done: int) -> None:
        """Called with each record, or None at the start, and the number of runs done."""
        if record is None:
            if there := done - self.measured:
                self.console.print(f"{there} of {self.total} runs are there already.", highlight=False)
            self.progress.reset(self.bar, total=self.total, completed=done)
            return
        how = f" ({record.status})" if record.status in (DIVERGED, FAILED, PRUNED) else ""
        text = f"{DID[record.settings.stage]} {record.settings.contender}{how}"
        self.progress.update(self.bar, completed=done, description=f"{self.name}: {text}")
        if not self.console.is_terminal and time.monotonic() - self.spoken > SECONDS_BETWEEN_LINES:
            self.spoken = time.monotonic()
            self.console.print(f"{done} of {self.total} runs: {text}", highlight=False, markup=False)

    def note(self, text: str) -> None:
        """Show what keeps the comparison waiting; "" when it goes on."""
        self.progress.update(self.bar, description=f"{self.name}: {text or 'the storage is back'}")
        if not self.console.is_terminal and (not text or time.monotonic() - self.spoken > SECONDS_BETWEEN_LINES):
            self.spoken = time.monotonic()
            self.console.print(text or "the storage is back", highlight=False, markup=False, soft_wrap=True)


def table(results: Results, made: Summary) -> Table:
    """The result, as a table for the terminal."""
    shown = Table(
        title=Text(str(results.task["title"])),
        caption=Text(words.notes(results, made)),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
        pad_edge=False,
        show_edge=False,
    )
    headings, *lines = words.short_table(made)
    for heading in headings:
        shown.add_column(heading, justify="left" if heading == "optimizer" else "right")
    for row, (name, *cells) in zip(made.rows, lines, strict=True):
        shown.add_row(Text(name, style=figures.style(results, row.name)["color"]), *(Text(c) for c in cells))
    return shown


def failures(results: Results, console: Console) -> None:
    """The traceback of the first failed run, and how many there are."""
    failed = [r for r in results.records if r.status == FAILED]
    if failed:
        console.print(f"{len(failed)} runs failed; the first ({failed[0].settings.contender}) with:", markup=False)
        console.print(Text(failed[0].message.strip()))
        if failed[0].output.strip():
            console.print(Text(f"What it printed, at its end:\n{failed[0].output.strip()}"))
