"""What `ravine compare` settles before it runs: what can be shown, what fits a budget, whether bad runs are stopped."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from ravine.lab.contender import Contender
from ravine.lab.protocol import Protocol

if TYPE_CHECKING:
    from ravine.lab.budget import Costs, Limit
    from ravine.lab.pool import Workforce
    from ravine.lab.records import Record
    from ravine.lab.results import Results
    from ravine.lab.store import Store


def settled(header: Results, store: Store, pool: Workforce, console: Console) -> tuple[Results, int]:
    """The comparison with the decision whether tuning runs that do badly are stopped early, and how many of its runs
    were made to come to one."""
    from ravine.lab import pruning

    made: list[Record] = []
    with console.status("seeing how long a run takes"):
        header = pruning.decided(header, store, pool, made.append)
    say_if_pruned(header, console)
    return header, len(made)


def say_if_pruned(header: Results, console: Console) -> None:
    """Say that bad runs will be stopped, where that was not asked for."""
    if header.protocol.prune and header.protocol.run_seconds:
        console.print(
            f"A run takes {header.protocol.run_seconds:.0f} s: tuning runs that do badly are stopped early "
            "(--no-prune: none).",
            highlight=False,
        )


def say_what_can_be_shown(header: Results, store: Store, console: Console) -> None:
    """Which differences so many repetitions separate, before they run: from those that are there already, if any."""
    from ravine.lab import compare as lab
    from ravine.lab.report.verdict import before

    there, pilot = lab.complete(header, store), None
    if 2 <= there < header.protocol.seeds:
        pilot = lab.collect(replace(header, protocol=replace(header.protocol, seeds=there)), store)
    if there < header.protocol.seeds and (said := before(header, pilot)):
        console.print(said, highlight=False)


def planned(
    header: Results,
    contenders: list[Contender],
    given: dict[str, Any],
    store: Store,
    pool: Workforce,
    out: Path,
    console: Console,
    began: float,
) -> tuple[Results, Limit]:
    """The comparison that fits the budget, and when it has to end. The plan is kept in the folder, so that the same
    command goes on with it; each time it is given, it has the time anew."""
    from ravine.lab import budget as planner
    from ravine.lab import pruning
    from ravine.lab.compare import most_together
    from ravine.lab.entry import entries
    from ravine.lab.results import write

    budget = given["budget"]
    most = most_together(header.task["spec"]) if given["engine"] == "auto" else 1
    asked = {
        "budget": budget,
        "together": most,
        "task": dict(header.task),
        "optimizers": list(header.contenders),
        "asked": asdict(header.protocol),
    }
    asked = json.loads(json.dumps(asked))  # as it comes back from the file
    file, seconds = out / "plan.json", planner.seconds(budget)
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["for"] == asked:
            made = planner.Plan(**{**kept["plan"], "protocol": Protocol(**kept["plan"]["protocol"])})
            console.print(f"{made.text} (Planned before.)", highlight=False)
            return replace(header, protocol=made.protocol), planner.Limit(made, began + seconds, seconds)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    costs, records = measured(header, contenders, pool, out / "measured.json", {**asked, "budget": None}, most)
    if given["prune"] is None:
        taken = pruning.took(records)
        header = pruning.decide(header, taken >= pruning.LONG, taken)
        say_if_pruned(header, console)
    made = planner.plan(header, seconds, began + seconds - time.monotonic(), pool.workers, costs)
    console.print(made.text, highlight=False)
    write(file, json.dumps({"for": asked, "plan": asdict(made)}))
    header = replace(header, protocol=made.protocol)
    for entry in entries(header):
        store.keep(store.enter(entry), entry, [r for r in records if r.settings.contender == entry.contender["name"]])
    return header, planner.Limit(made, began + seconds, seconds)


def measured(
    header: Results, contenders: list[Contender], pool: Workforce, file: Path, asked: dict[str, Any], most: int
) -> tuple[Costs, list[Record]]:
    """What was measured for a plan, kept in the folder: a longer budget after one that was refused starts from it."""
    from ravine.lab import budget as planner
    from ravine.lab.records import Record
    from ravine.lab.results import write

    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["for"] == asked:
            return planner.Costs(**kept["costs"]), [Record.from_dict(r) for r in kept["records"]]
    costs, records = planner.measure(header, contenders, pool, most)
    write(file, json.dumps({"for": asked, "costs": asdict(costs), "records": [r.to_dict() for r in records]}))
    return costs, records


def as_far_as_time_went(header: Results, store: Store, console: Console) -> Results:
    """The comparison with the repetitions that are complete."""
    from ravine.lab import compare as lab
    from ravine.lab.budget import FEWEST_REPETITIONS

    complete, wanted = lab.complete(header, store), header.protocol.seeds
    if complete == wanted:
        return header
    if complete < FEWEST_REPETITIONS:
        raise click.ClickException(
            f"the time was up with {complete} repetitions complete, too few to compare by: everything took longer than "
            "it did when the plan was made. The same command goes on from here."
        )
    console.print(
        f"There was time for {complete} of the {wanted} repetitions planned. The same command adds the others.",
        highlight=False,
    )
    return replace(header, protocol=replace(header.protocol, seeds=complete))
