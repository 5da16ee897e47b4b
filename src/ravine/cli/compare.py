"""`ravine compare`: who wins on a task after equal tuning, by how much, and how sure that is."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ravine.lab.contender import DEFAULT, Contender, parse
from ravine.lab.protocol import Protocol
from ravine.lab.records import DIVERGED, FAILED, FINAL, TUNING, Record

if TYPE_CHECKING:
    from ravine.lab.results import Results

INTERRUPTED = 130
SECONDS_BETWEEN_LINES = 5.0


@click.command()
@click.argument("task", default="digits")
@click.option("--optimizers", default=",".join(DEFAULT), show_default=True, metavar="LIST", help="Who is compared.")
@click.option("--steps", type=int, help="Steps of a run; the task's own number if not given.")
@click.option("--trials", type=int, default=8, show_default=True, help="Tuning runs for each optimizer.")
@click.option("--seeds", type=int, default=5, show_default=True, help="Fresh seeds with the best setting.")
@click.option("--tuning-seeds", type=int, default=2, show_default=True, help="Runs of each tuning trial.")
@click.option("--workers", type=int, help="Processes; one for each core if not given.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("ravine-compare"), show_default=True, help="Folder to write."
)
def compare(
    task: str,
    optimizers: str,
    steps: int | None,
    trials: int,
    seeds: int,
    tuning_seeds: int,
    workers: int | None,
    out: Path,
) -> None:
    """Tune every optimizer equally on TASK, run the best settings on fresh seeds, and report.

    TASK is one of digits (default), digits-cnn, breast-cancer, stdlib-lm. LIST is separated by commas; each is a rule
    of `ravine list`, a transformed one such as 'clip_value(adam)', one of yours as FILE.py:RULE, any of these with
    hyperparameters held fixed as 'adam[beta1=0.8]', and with a name of your choice as 'mine=adam[beta1=0.8]'.

    Ctrl-C ends it early: runs that have ended are kept, and the report is made from them.
    """
    from ravine.lab import compare as lab
    from ravine.lab import report, tasks

    found = tasks.find(task)
    contenders = parse(optimizers)
    steps = found.steps if steps is None else steps
    protocol = Protocol(steps=steps, trials=trials, seeds=seeds, tuning_seeds=tuning_seeds)
    workers = cores() if workers is None else workers
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    writable(out)

    console = Console()
    results = lab.prepare(task, contenders, protocol)
    interrupted = False
    try:
        run_with_progress(results, contenders, workers, console)
    except KeyboardInterrupt:
        interrupted = True
    console.print(table(results))
    show_failures(results, console)
    for path in report.write_all(results, out):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    if interrupted:
        console.print("Interrupted: the report is made from the runs that had ended.")
        sys.exit(INTERRUPTED)
    if all(r.status == FAILED for r in results.records):
        raise click.ClickException("every run failed")


def run_with_progress(results: Results, contenders: Sequence[Contender], workers: int, console: Console) -> None:
    """Run what is missing under a bar with the time left; where there is no terminal, with a line now and then."""
    from ravine.lab import compare as lab

    p = results.protocol
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("· left"),
        TimeRemainingColumn(),
    )
    total = sum(p.runs if c["space"] else p.tuning_seeds + p.seeds for c in results.contenders)
    spoken = -math.inf
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("starting workers", total=total)

        def show(record: Record, left: int) -> None:
            nonlocal spoken
            progress.update(bar, completed=total - left, description=doing(record))
            if not console.is_terminal and time.monotonic() - spoken > SECONDS_BETWEEN_LINES:
                spoken = time.monotonic()
                console.print(f"{total - left} of {total} runs: {doing(record)}", highlight=False)

        lab.run(results, contenders, workers, show)


def doing(record: Record) -> str:
    """What the progress display says after a run."""
    stage = {TUNING: "tuned", FINAL: "scored"}[record.settings.stage]
    how = f" ({record.status})" if record.status in (DIVERGED, FAILED) else ""
    return f"{stage} {record.settings.contender}{how}"


def table(results: Results) -> Table:
    """The result, as a table for the terminal."""
    from ravine.lab.report import figures, words
    from ravine.lab.summary import summary

    made = summary(results)
    shown = Table(
        title=str(results.task["title"]),
        caption=words.notes(results, made),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
        pad_edge=False,
        show_edge=False,
    )
    for heading in words.SHORT_HEADINGS:
        shown.add_column(heading, justify="left" if heading == "optimizer" else "right")
    for row in made.rows:
        name, *cells = words.short_cells(row)
        shown.add_row(Text(name, style=figures.style(results, row.name)["color"]), *(Text(c) for c in cells))
    return shown


def show_failures(results: Results, console: Console) -> None:
    """The traceback of the first failed run, and how many there are."""
    failed = [r for r in results.records if r.status == FAILED]
    if failed:
        console.print(f"{len(failed)} runs failed; the first ({failed[0].settings.contender}) with:")
        console.print(Text(failed[0].message.strip()))


def writable(out: Path) -> None:
    """Make the folder and see that it can be written to, before anything runs. Raises OSError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".ravine-write-test"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise OSError(f"can't write to --out {str(out)!r}: {error.strerror}") from None


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
