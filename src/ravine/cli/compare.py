"""`ravine compare`: who wins on a task after equal tuning, by how much, and how sure that is."""

from __future__ import annotations

import gc
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource
from rich.console import Console

from ravine.cli.compare_options import PROTOCOLS, configured, is_default, numbers, options
from ravine.cli.ladder import compare_ladder, refuse_beside
from ravine.cli.planning import as_far_as_time_went, planned, say_what_can_be_shown, settled
from ravine.cli.resolve import AUTO, until_resolved
from ravine.cli.running import run_with_progress, tasks_find, worker_count, workforce, writable
from ravine.errors import require
from ravine.lab import interrupt
from ravine.lab.contender import parse
from ravine.lab.ladder import RETUNE, transferred
from ravine.lab.protocol import Protocol
from ravine.lab.records import FAILED, FINAL, FINISHED
from ravine.lab.sequential import PILOT

if TYPE_CHECKING:
    from ravine.lab.results import Results

INTERRUPTED = 130


@click.command()
@click.argument("task", default="digits")
@options
@click.pass_context
def compare(ctx: click.Context, /, task: str, **given: Any) -> None:
    """Tune every optimizer equally on TASK, run the best settings on fresh seeds, and report.

    TASK is digits (default) or another of docs/compare.md, such as stdlib-lm; with options, as
    'digits[batch_size=8]'; a file of yours (see `ravine new-task`); or a FILE.toml that holds all of this, with the
    options below as keys.

    LIST is separated by commas; each is a rule of `ravine list`, a transformed one such as 'clip_value(adam)', one of
    yours as FILE.py:RULE, a torch optimizer as torch.optim:Muon, a framework's as keras.Adam, any of these with
    hyperparameters held fixed or searched over a range of yours as 'adam[eps=1e-6,beta1=0.5..0.99]', and with a name of
    your choice as 'mine=adam[beta1=0.8]'.

    Ctrl-C, or any other end, loses no run that has ended: the same command goes on where it stopped.
    """
    began = time.monotonic()
    ctx.call_on_close(gc.unfreeze)  # what compare_one freezes
    if task.endswith(".toml"):
        task = configured(ctx, Path(task), given)
    from ravine.lab.tasks import with_options

    common = {n: given.pop(n) for n in ("device", "precision")}
    preset = {n: v for n, v in PROTOCOLS[given["protocol"]].items() if is_default(ctx, n, given[n])}
    given |= preset
    given["is_tune_preset"] = "tune" in preset
    lengths = numbers(given["lengths"])
    out: Path = given["out"]
    require("ravine compare", "torch", "sklearn", "optuna", "matplotlib", extra="lab")
    if given["on"]:
        require("--on", "distributed")
    if given["parquet"]:
        require("--parquet", "pyarrow")
    if given["tensorboard"]:
        require("--tensorboard", "tensorboard")
    console = Console()
    if given["ladder"] is not None:
        refuse_beside(given, lengths)
    elif given["ladder_tuning"] != RETUNE:
        raise ValueError("--ladder-tuning is for a --ladder: give one, as --ladder width=1,2,4")
    if not given["suite"]:
        task = with_options(task, **common)
        if given["ladder"] is not None:
            compare_ladder(task, given, out, console, compare_one)
        elif lengths == [1.0]:
            compare_one(task, given, out, console, began)
        else:
            compare_lengths(task, given, out, console, lengths)
        return
    if lengths != [1.0]:
        raise ValueError("--suite runs its tasks at one length: give no --lengths, nor a protocol that has some")
    if ctx.get_parameter_source("task") == ParameterSource.COMMANDLINE:
        raise ValueError("--suite runs all built-in tasks: give no TASK with it")
    from ravine.lab.report.suite import write_suite
    from ravine.lab.tasks import SUITE

    writable(out)
    many = {
        name: compare_one(with_options(name, **common), given, out / name, console, time.monotonic()) for name in SUITE
    }
    for path in write_suite(many, out):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def compare_lengths(task: str, given: dict[str, Any], out: Path, console: Console, lengths: list[float]) -> None:
    """The same comparison at several lengths, each tuned anew in a folder of its own, and what changes with it."""
    if given["budget"]:
        raise ValueError("--budget fits one comparison to a time: give it no --lengths, nor a protocol that has some")
    from ravine.lab.report import lengths as report
    from ravine.lab.results import write

    writable(out)
    base = tasks_find(task).steps if given["steps"] is None else given["steps"]
    many: dict[int, Results] = {}
    for length in lengths:
        steps = max(1, round(length * base))
        console.print(f"[bold]{length:g} × {base} = {steps} steps[/bold]", highlight=False)
        options = {**given, "steps": steps}
        many[steps] = compare_one(task, options, out / f"x{length:g}", console, time.monotonic())
    console.print(report.table(many))
    console.print(report.words(many), highlight=False, markup=False)
    write(out / "lengths.md", report.markdown(many))
    console.print(f"wrote {out / 'lengths.md'}", highlight=False, soft_wrap=True)


@interrupt.kept()
def compare_one(
    task: str, given: dict[str, Any], out: Path, console: Console, began: float, source: Results | None = None
) -> Results:
    """One comparison, from the check of what was given to the report; a budget counts from `began`. With a `source`
    nothing is tuned: hyperparameters are those chosen there."""
    tune = given["tune"]
    names = None if tune is None else [n.strip() for n in tune.split(",") if n.strip()]
    contenders = parse(given["optimizers"], names, where_possible=given["is_tune_preset"])
    if source is not None:
        contenders = transferred(contenders, source)
    workers = worker_count(given["workers"])
    writable(out)
    with closing(workforce(given, workers)) as pool:
        if given["seeds"] != AUTO and (given["budget"] or given["fresh"] or not (out / "runs.sqlite3").exists()):
            pool.open()  # there are runs to make: processes start while this one loads what it needs
        from ravine.cli.progress import failures
        from ravine.lab import compare as lab
        from ravine.lab import report
        from ravine.lab.store import Store

        gc.freeze()  # what is imported stays: to look through it for garbage again and again takes a second in all
        found: Any = tasks_find(task)
        asked = {n: given[n] for n in ("trials", "seeds", "schedule", "warmup", "clip_norm", "search", "target")}
        asked["prune"] = bool(given["prune"])
        is_auto = asked["seeds"] == AUTO
        if is_auto:
            asked["seeds"] = PILOT
        protocol = Protocol(steps=found.steps if given["steps"] is None else given["steps"], **asked)
        store = Store(given["storage"] or in_folder(out, given["fresh"]))
        header, limit, measured = lab.prepare(task, contenders, protocol), None, 0
        if given["prune"] is None and (is_auto or not given["budget"]):
            try:
                header, measured = settled(header, store, pool, console)
            except KeyboardInterrupt:
                interrupted_early(console)
        if not is_auto:
            if given["budget"]:
                header, limit = planned(header, contenders, given, store, pool, out, console, began)
            say_what_can_be_shown(header, store, console)
            is_batched = given["engine"] == "auto"
            interrupted = run_with_progress(
                header, store, pool, console, limit, is_batched=is_batched, measured=measured
            )
    if is_auto:
        results, interrupted = until_resolved(header, store, workers, given, console, began)
    else:
        if limit and not interrupted:
            header = as_far_as_time_went(header, store, console)
        results = lab.collect(header, store)
    if results.records and not results.is_complete and all(r.status == FAILED for r in results.records):
        failures(results, console)
        raise click.ClickException(f"every run failed; {header.runs - len(results.records)} more were not tried")
    if interrupted and not any(r.settings.stage == FINAL for r in results.records):
        interrupted_early(console)
    show(results, console)
    for path in report.write_all(results, out, given["parquet"], given["tensorboard"]):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    if interrupted:
        console.print("Interrupted. The same command goes on from here.")
        sys.exit(INTERRUPTED)
    if all(r.status == FAILED for r in results.records):
        raise click.ClickException("every run failed")
    if not any(r.status == FINISHED for r in results.records if r.settings.stage == FINAL):
        raise click.ClickException("no scored run finished")
    return results


def interrupted_early(console: Console) -> NoReturn:
    """End where there is nothing to report yet."""
    console.print("Interrupted: no optimizer was scored yet; the same command goes on from here.")
    sys.exit(INTERRUPTED)


def show(results: Any, console: Console) -> None:
    """The verdict, the table, and the first traceback if runs failed."""
    from ravine.cli.progress import failures, table
    from ravine.lab.report.rates import departures
    from ravine.lab.report.verdict import verdict

    made = results.summary
    console.print(table(results, made))
    console.print()
    console.print(" ".join(verdict(results, made)), highlight=False)
    if departed := departures(results):
        console.print(departed, style="yellow", highlight=False, markup=False)
    failures(results, console)


def in_folder(out: Path, fresh: bool) -> str:
    """The URL of the folder's own storage, emptied if `fresh`, and what was planned with it."""
    file = out / "runs.sqlite3"
    if fresh:
        for path in (*out.glob("runs.sqlite3*"), *out.glob("plan.json"), *out.glob("measured.json")):
            path.unlink()
    return f"sqlite:///{file}"
