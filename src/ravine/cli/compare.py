"""`ravine compare`: who wins on a task after equal tuning, by how much, and how sure that is."""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rich.console import Console

from ravine.cli.ladder import compare_ladder, refuse_beside
from ravine.cli.resolve import AUTO, Seeds, Share, until_resolved
from ravine.cli.running import run_with_progress, tasks_find, worker_count, workforce, writable
from ravine.errors import require
from ravine.lab.contender import DEFAULT, Contender, parse
from ravine.lab.ladder import RETUNE, TRANSFER, transferred
from ravine.lab.protocol import SOBOL, TPE, Protocol
from ravine.lab.records import FAILED, FINAL, FINISHED
from ravine.lab.schedule import COSINE, LINEAR, SHAPES
from ravine.lab.sequential import PILOT
from ravine.lab.task import PRECISIONS

if TYPE_CHECKING:
    from ravine.lab.budget import Costs, Limit
    from ravine.lab.pool import Workforce
    from ravine.lab.records import Record
    from ravine.lab.results import Results
    from ravine.lab.store import Store

INTERRUPTED = 130
PROTOCOLS: dict[str, dict[str, Any]] = {
    "quick": {},
    "thorough": {"trials": 32, "schedule": COSINE, "lengths": "1,2,4", "tune": "lr,weight_decay,warmup,beta2"},
}
"""What is taken for options that are not given."""


@click.command()
@click.argument("task", default="digits")
@click.option("--optimizers", default=",".join(DEFAULT), show_default=True, metavar="LIST", help="Who is compared.")
@click.option(
    "--tune",
    metavar="NAMES",
    show_default="lr",
    help="What is searched, as lr,beta1,eps: in every optimizer that has it and does not hold it fixed.",
)
@click.option("--steps", type=int, help="Steps of a run; the task's own number if not given.")
@click.option("--trials", type=int, default=8, show_default=True, help="Tuning runs in each repetition.")
@click.option(
    "--seeds",
    type=Seeds(),
    default=5,
    show_default=True,
    help="Repetitions, each tuned anew, with fresh seeds; auto adds them until the comparison is resolved.",
)
@click.option(
    "--resolve",
    type=Share(),
    default="10%",
    show_default=True,
    help="With --seeds auto: the difference from the best that is to be told.",
)
@click.option(
    "--most-seeds", type=click.IntRange(2), default=80, show_default=True, help="With --seeds auto: when to give up."
)
@click.option("--target", type=float, help="The validation loss that steps are counted to; the field's median if not.")
@click.option(
    "--schedule",
    type=click.Choice(list(SHAPES)),
    default=LINEAR,
    show_default=True,
    help="What becomes of the learning rate.",
)
@click.option("--warmup", type=float, default=0.0, help="Steps of warm-up; below 1 a share of all steps.")
@click.option("--clip-norm", type=float, default=0.0, help="Clip all gradients together to this norm; 0: not.")
@click.option(
    "--protocol",
    type=click.Choice(list(PROTOCOLS)),
    default="quick",
    show_default=True,
    help="What the options are that are not given; see docs/compare.md.",
)
@click.option("--lengths", metavar="LIST", default="1", help="The same at several lengths, as 1,2,4 times the steps.")
@click.option(
    "--ladder",
    metavar="OPTION=LIST",
    help="The same at several sizes: width=1,2,4 times the task's width, or width:=16,64.",
)
@click.option(
    "--ladder-tuning",
    type=click.Choice([RETUNE, TRANSFER]),
    default=RETUNE,
    show_default=True,
    help="With --ladder: tune at each size, or at the smallest for all.",
)
@click.option(
    "--search",
    type=click.Choice([SOBOL, TPE]),
    default=SOBOL,
    show_default=True,
    help="Trials spread evenly, or half of them so and the others by what came out (Optuna's TPE).",
)
@click.option("--prune", is_flag=True, help="Stop tuning runs early that do worse than the first half of them.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "single"]),
    default="auto",
    show_default=True,
    help="Train runs of small tasks in batches, or each by itself.",
)
@click.option("--device", metavar="NAME", help="Where runs train, as cuda: --workers processes share it.")
@click.option("--precision", type=click.Choice(PRECISIONS), help="bfloat16: forward pass and loss under autocast.")
@click.option("--workers", type=int, help="Processes; one for each core if not given.")
@click.option("--on", metavar="ADDRESS", help="Run on a dask.distributed cluster, as tcp://scheduler:8786.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("ravine-compare"), show_default=True, help="Folder to write."
)
@click.option(
    "--storage", metavar="URL", help="Keep the runs there (postgresql://…), not in the folder's runs.sqlite3."
)
@click.option("--fresh", is_flag=True, help="Forget the runs that the folder has, and start anew.")
@click.option(
    "--suite",
    is_flag=True,
    help="Four tasks (the first four of the docs), and a performance profile over them.",
)
@click.option("--budget", metavar="TIME", help="Fit the trials to a time, as 90s, 10m or 2h, and end within it.")
@click.option("--parquet", is_flag=True, help="Write runs.parquet as well.")
@click.option("--tensorboard", is_flag=True, help="Write event files as well.")
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


def is_default(ctx: click.Context, name: str, value: Any) -> bool:
    """Whether an option was given neither on the command line nor in a file."""
    (param,) = (p for p in ctx.command.params if p.name == name)
    from_line = ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE
    return not from_line and (value is None or value == param.get_default(ctx))


def numbers(text: str) -> list[float]:
    """The positive numbers of a list with commas. Raises ValueError for anything else."""
    try:
        found = [float(part) for part in str(text).split(",")]
    except ValueError:
        found = []
    if not found or min(found) <= 0 or len(set(found)) < len(found):
        raise ValueError(f"lengths are numbers above 0 with commas between them, as 1,2,4; got {text!r}")
    return sorted(found)


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

        found: Any = tasks_find(task)
        options = {
            n: given[n] for n in ("trials", "seeds", "schedule", "warmup", "clip_norm", "search", "prune", "target")
        }
        is_auto = options["seeds"] == AUTO
        if is_auto:
            options["seeds"] = PILOT
        protocol = Protocol(steps=found.steps if given["steps"] is None else given["steps"], **options)
        store = Store(given["storage"] or in_folder(out, given["fresh"]))
        header, limit = lab.prepare(task, contenders, protocol), None
        if not is_auto:
            if given["budget"]:
                header, limit = planned(header, contenders, given, store, pool, out, console, began)
            say_what_can_be_shown(header, store, console)
            interrupted = run_with_progress(header, store, pool, console, limit, is_batched=given["engine"] == "auto")
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
        console.print("Interrupted: no optimizer was scored yet; the same command goes on from here.")
        sys.exit(INTERRUPTED)
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
    made = planner.plan(header, seconds, began + seconds - time.monotonic(), pool.workers, costs)
    console.print(made.text, highlight=False)
    write(file, json.dumps({"for": asked, "plan": asdict(made)}))
    header = replace(header, protocol=made.protocol)
    entered = {e.contender["name"]: (store.enter(e), e) for e in entries(header)}
    for record in records:
        store.keep(*entered[record.settings.contender], record)
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


def configured(ctx: click.Context, file: Path, given: dict[str, Any]) -> str:
    """Fill in from a configuration file what was not given on the command line; return the task.

    Raises ValueError for a file that is not TOML, a key that is no option, or a value of another type.
    """
    import tomllib

    from ravine.errors import unknown

    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"can't read {str(file)!r}: {error}") from None
    task = data.pop("task", "digits")
    data.pop("about", None)  # for the reader of the file
    for name in ("optimizers", "tune"):
        if isinstance(data.get(name), list):
            data[name] = ",".join(map(str, data[name]))
    options = {p.name: p for p in ctx.command.params if p.name in given}
    for name, value in data.items():
        if name not in options:
            raise unknown(f"key in {file}:", name, ["task", "about", *options])
        if ctx.get_parameter_source(name) != ParameterSource.COMMANDLINE:
            given[name] = options[name].type_cast_value(ctx, value)
    if not isinstance(task, str):
        raise ValueError(f"{file}: task must be text, got {task!r}")
    return task


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
