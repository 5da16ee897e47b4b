"""`ravine compare --seeds auto`: repetitions are added until a comparison is resolved, or time or number run out."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from ravine.cli.running import run_with_progress, workforce

if TYPE_CHECKING:
    from ravine.lab.results import Results
    from ravine.lab.store import Store

AUTO = "auto"
SPARE = 0.9
"""The part of the time left that is counted on."""


class Seeds(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """A number, or auto."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """The number, or the word."""
        if value == AUTO:
            return AUTO
        return int(click.INT.convert(value, param, ctx))


class Share(click.ParamType):  # type: ignore[type-arg]
    """A share, as 10% or 0.1."""

    name = "SHARE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share as a number."""
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = 0.0
        if not 0 < share < 10:
            self.fail(f"a share is a number above zero, as 10% or 0.1; got {text!r}", param, ctx)
        return share


def until_resolved(
    header: Results, store: Store, workers: int, given: dict[str, Any], console: Console, began: float
) -> tuple[Results, bool]:
    """The results when they are resolved, or the time or the repetitions have run out, and whether Ctrl-C came first.

    After a pilot of three repetitions it is told how many will be needed; then the results are looked at as planned.
    """
    from ravine.lab import compare as lab
    from ravine.lab import sequential
    from ravine.lab.budget import seconds

    planned, taken, n = sequential.planned(given["most_seeds"]), [], 0
    deadline = began + seconds(given["budget"]) if given["budget"] else None
    for wanted in [min(sequential.PILOT, planned[0]), *planned]:
        more = fitting(n, wanted, deadline, time.monotonic() - began)
        is_last = wanted == planned[-1] or more < wanted
        if more > n:
            n = more
            header = replace(header, protocol=replace(header.protocol, seeds=n, looks=()))
            if ran(header, store, workers, given, console):
                return lab.collect(header, store), True
            if not (so_far := lab.collect(header, store)).is_complete:
                return so_far, False  # all runs of the first round failed
        if wanted < planned[0] and not is_last:
            tell(lab.collect(header, store), given, console)
            continue
        taken.append(n)
        looks = sequential.spent(taken, len(planned), is_last)
        protocol = replace(header.protocol, looks=looks, resolve=given["resolve"])
        results = lab.collect(replace(header, protocol=protocol), store)
        _, unresolved = sequential.resolve(results.summary, looks, given["resolve"])
        if not unresolved or is_last:
            return results, False
        console.print(f"After {n} repetitions {len(unresolved)} are not resolved.", highlight=False)
    raise AssertionError("the last look returns")


def fitting(n: int, wanted: int, deadline: float | None, taken: float) -> int:
    """How many repetitions there is time for, up to those wanted, when n took so many seconds; two at least."""
    if deadline is None or n == 0:
        return wanted
    left = SPARE * (deadline - time.monotonic())
    return min(wanted, max(2, n + int(left / (taken / n)))) if left > 0 else n


def ran(header: Results, store: Store, workers: int, given: dict[str, Any], console: Console) -> bool:
    """Run what is missing; return whether Ctrl-C ended it."""
    with closing(workforce(given, workers)) as pool:
        return run_with_progress(header, store, pool, console, None, is_batched=given["engine"] == "auto")


def tell(pilot: Results, given: dict[str, Any], console: Console) -> None:
    """How many repetitions the pilot lets expect."""
    from ravine.lab.report.verdict import needed, spread_of

    made, k = pilot.summary, len(pilot.contenders)
    if k > 1 and made.scores.is_log and (spread := spread_of(made)):
        many, most = needed(k, spread, given["resolve"]), given["most_seeds"]
        console.print(
            f"After a pilot of {pilot.protocol.seeds} repetitions: differences of {given['resolve']:.0%} would take "
            f"about {many}; there will be at most {most} (--most-seeds).",
            highlight=False,
        )
