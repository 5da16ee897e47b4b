"""`ravine compare --ladder`: the same comparison at several sizes of the task."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ravine.cli.resolve import AUTO
from ravine.cli.running import tasks_find, writable

if TYPE_CHECKING:
    from ravine.lab.results import Results


def refuse_beside(given: dict[str, Any], lengths: list[float]) -> None:
    """Raise ValueError for options that don't fit a ladder."""
    if given["suite"]:
        raise ValueError("--suite runs its tasks at one size: give it no --ladder")
    if lengths != [1.0]:
        raise ValueError(
            "--ladder runs at one length: give no --lengths, or --lengths 1 beside a protocol that has some"
        )
    if given["budget"]:
        raise ValueError("--budget fits one comparison to a time: give it no --ladder")
    if given["seeds"] == AUTO:
        raise ValueError("--ladder needs the same number of repetitions at all sizes: give --seeds a number, not auto")


def compare_ladder(
    task: str, given: dict[str, Any], out: Path, console: Console, compare_one: Callable[..., Results]
) -> None:
    """One comparison (`compare_one`) for each size, in a folder of its own, and what changes along them."""
    from ravine.lab.ladder import TRANSFER, rungs
    from ravine.lab.report.ladder import MARKS, Ladder

    option, specs = rungs(task, given["ladder"])
    for spec in specs.values():
        tasks_find(spec)
    writable(out)
    many: dict[float, Results] = {}
    folders = {size: f"{option}-{size:g}" for size in specs}
    for size, spec in specs.items():
        source = next(iter(many.values()), None) if given["ladder_tuning"] == TRANSFER else None
        console.print(f"[bold]{option} {size:g}[/bold]", highlight=False)
        many[size] = compare_one(spec, given, out / folders[size], console, time.monotonic(), source)
    made = Ladder(option, given["ladder_tuning"], many, folders)
    for table in made.tables():
        console.print(table)
        console.print()
    if made.changes:
        console.print(MARKS, highlight=False, markup=False)
        console.print()
    for line in made.text:
        console.print(line, highlight=False, markup=False)
    for path in made.write(out):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
