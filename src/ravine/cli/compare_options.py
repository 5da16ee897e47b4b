"""The options of `ravine compare`, what stands for several of them, and a file that holds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ravine.cli.resolve import Seeds, Share
from ravine.lab.contender import DEFAULT
from ravine.lab.ladder import RETUNE, TRANSFER
from ravine.lab.protocol import SOBOL, TPE
from ravine.lab.schedule import COSINE, LINEAR, SHAPES
from ravine.lab.task import PRECISIONS

PROTOCOLS: dict[str, dict[str, Any]] = {
    "quick": {},
    "thorough": {"trials": 32, "schedule": COSINE, "lengths": "1,2,4", "tune": "lr,weight_decay,warmup,beta2"},
}
"""What is taken for options that are not given."""

OPTIONS = (
    click.option("--optimizers", default=",".join(DEFAULT), show_default=True, metavar="LIST", help="Who is compared."),
    click.option(
        "--tune",
        metavar="NAMES",
        show_default="lr",
        help="What is searched, as lr,beta1,eps: in every optimizer that has it and does not hold it fixed.",
    ),
    click.option("--steps", type=int, help="Steps of a run; the task's own number if not given."),
    click.option("--trials", type=int, default=8, show_default=True, help="Tuning runs in each repetition."),
    click.option(
        "--seeds",
        type=Seeds(),
        default=5,
        show_default=True,
        help="Repetitions, each tuned anew, with fresh seeds; auto adds them until the comparison is resolved.",
    ),
    click.option(
        "--resolve",
        type=Share(),
        default="10%",
        show_default=True,
        help="With --seeds auto: the difference from the best that is to be told.",
    ),
    click.option(
        "--most-seeds",
        type=click.IntRange(2),
        default=80,
        show_default=True,
        help="With --seeds auto: when to give up.",
    ),
    click.option(
        "--target", type=float, help="The validation loss that steps are counted to; the field's median if not."
    ),
    click.option(
        "--schedule",
        type=click.Choice(list(SHAPES)),
        default=LINEAR,
        show_default=True,
        help="What becomes of the learning rate.",
    ),
    click.option("--warmup", type=float, default=0.0, help="Steps of warm-up; below 1 a share of all steps."),
    click.option("--clip-norm", type=float, default=0.0, help="Clip all gradients together to this norm; 0: not."),
    click.option(
        "--protocol",
        type=click.Choice(list(PROTOCOLS)),
        default="quick",
        show_default=True,
        help="What the options are that are not given; see docs/compare.md.",
    ),
    click.option(
        "--lengths", metavar="LIST", default="1", help="The same at several lengths, as 1,2,4 times the steps."
    ),
    click.option(
        "--ladder",
        metavar="OPTION=LIST",
        help="The same at several sizes: width=1,2,4 times the task's width, or width:=16,64.",
    ),
    click.option(
        "--ladder-tuning",
        type=click.Choice([RETUNE, TRANSFER]),
        default=RETUNE,
        show_default=True,
        help="With --ladder: tune at each size, or at the smallest for all.",
    ),
    click.option(
        "--search",
        type=click.Choice([SOBOL, TPE]),
        default=SOBOL,
        show_default=True,
        help="Trials spread evenly, or half of them so and the others by what came out (Optuna's TPE).",
    ),
    click.option(
        "--prune/--no-prune",
        default=None,
        show_default="if a run takes more than 20 s",
        help="Stop tuning runs early that do worse than the first half of them.",
    ),
    click.option(
        "--engine",
        type=click.Choice(["auto", "single"]),
        default="auto",
        show_default=True,
        help="Train runs of small tasks in batches, or each by itself.",
    ),
    click.option("--device", metavar="NAME", help="Where runs train, as cuda: --workers processes share it."),
    click.option("--precision", type=click.Choice(PRECISIONS), help="bfloat16: forward pass and loss under autocast."),
    click.option("--workers", type=int, help="Processes; one for each core if not given."),
    click.option("--on", metavar="ADDRESS", help="Run on a dask.distributed cluster, as tcp://scheduler:8786."),
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=Path("ravine-compare"),
        show_default=True,
        help="Folder to write.",
    ),
    click.option(
        "--storage", metavar="URL", help="Keep the runs there (postgresql://…), not in the folder's runs.sqlite3."
    ),
    click.option("--fresh", is_flag=True, help="Forget the runs that the folder has, and start anew."),
    click.option(
        "--suite",
        is_flag=True,
        help="Four tasks (the first four of the docs), and a performance profile over them.",
    ),
    click.option("--budget", metavar="TIME", help="Fit the trials to a time, as 90s, 10m or 2h, and end within it."),
    click.option("--parquet", is_flag=True, help="Write runs.parquet as well."),
    click.option("--tensorboard", is_flag=True, help="Write event files as well."),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with all of them, in their order."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


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
