"""`ravine worker`: run what comparisons have put into a storage, on any number of machines."""

from __future__ import annotations

import time
from typing import Any

import click
from rich.console import Console

from ravine.errors import require


@click.command()
@click.option("--storage", required=True, metavar="URL", help="The storage that `ravine compare --storage` was given.")
@click.option("--workers", type=int, help="Processes; one for each core if not given.")
@click.option(
    "--idle", type=float, default=60.0, show_default=True, metavar="SECONDS", help="End after so long without work."
)
def worker(storage: str, workers: int | None, idle: float) -> None:
    """Run what comparisons have put into a storage, until there is nothing left to do.

    Start it on any number of machines, beside `ravine compare --storage URL` or without one. They need the same
    versions of Ravine and torch as whoever started the comparison, and files of your own (tasks, rules) under the same
    paths.
    A worker that vanishes gives its run back after a minute. One that loses the storage keeps its runs and waits for
    it, at most half an hour.
    """
    require("ravine worker", "torch", "sklearn", "optuna", extra="lab")
    from ravine.cli.running import worker_count
    from ravine.lab import compare as lab
    from ravine.lab import interrupt
    from ravine.lab.store import Store

    console = Console()
    store = Store(storage)
    count = worker_count(workers)
    console.print(f"{count} workers wait for runs", highlight=False)
    last = time.monotonic()
    done: dict[str, int] = {}
    said = ""

    def say(text: str) -> None:
        nonlocal said
        if text != said:
            said = text
            console.print(text or "the storage is back", highlight=False, markup=False, soft_wrap=True)

    store.storage.say = say

    def show(record: Any) -> None:
        nonlocal last
        last = time.monotonic()
        done[record.status] = done.get(record.status, 0) + 1
        settings = record.settings
        text = f"{settings.task}: {settings.stage} run of {settings.contender} {record.status}"
        console.print(text, highlight=False, markup=False)

    with interrupt.kept():
        lab.serve(store, count, show, lambda: time.monotonic() - last < idle, lambda why: say(f"nothing to do: {why}"))
    console.print(f"No work for {idle:g} s. Runs done: {sum(done.values())}", highlight=False)
