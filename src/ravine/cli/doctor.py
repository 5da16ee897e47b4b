"""`ravine doctor`: torch optimizers under examination."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ravine.errors import unknown

if TYPE_CHECKING:
    from ravine.doctor import Report
    from ravine.doctor.isolation import Case

STYLES = {"pass": "green", "FAIL": "bold red", "n/a": "dim", "?": "yellow"}
MARKS = {"pass": ".", "FAIL": "F", "n/a": "-", "?": "?"}
WAYS_IN = (
    "A class that needs more than parameters gets it by --option NAME=VALUE, by --group NAME=VALUE for keys of every "
    "parameter group, or from a function of yours that makes the optimizer: --factory FILE.py:NAME."
)


@click.command()
@click.argument("references", metavar="MODULE:CLASS...", nargs=-1)
@click.option(
    "--factory",
    "factories",
    metavar="FILE.py:NAME",
    multiple=True,
    help="A function instead of a class: it makes an optimizer from parameters or a list of groups. May be repeated.",
)
@click.option(
    "--option",
    "options",
    metavar="NAME=VALUE",
    multiple=True,
    help="An option of the constructor: a Python literal, torch.float32, MODULE:NAME, FILE.py:NAME, or text.",
)
@click.option("--group", metavar="NAME=VALUE", multiple=True, help="A key that every parameter group gets.")
@click.option("--check", "checks", metavar="NAME", multiple=True, help="Only this check. May be repeated.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=300.0,
    show_default=True,
    help="Seconds for each class; a check may take half of what is left.",
)
@click.option(
    "--gpu", "asks_for_gpu", is_flag=True, help="Say how parameters on this machine's GPUs are stepped, and why."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def doctor(
    references: tuple[str, ...],
    factories: tuple[str, ...],
    options: tuple[str, ...],
    group: tuple[str, ...],
    checks: tuple[str, ...],
    timeout: float,
    asks_for_gpu: bool,
    as_json: bool,
) -> None:
    """Examine torch optimizers: checkpoints, precision, distributed tensors, GradScaler, memory, and more.

    MODULE:CLASS is any subclass of torch.optim.Optimizer, for instance ravine.torch:Adam or torch.optim:RMSprop; a
    module in the current folder will do, and so will FILE.py:CLASS. Each is examined in a process of its own. Exit
    status 1 unless every check of every class passes or does not apply.
    """
    from ravine.doctor import CHECKS
    from ravine.doctor.isolation import Case

    if asks_for_gpu:
        from ravine.torch.accelerator import ways

        click.echo("\n".join(ways()))
        if not references and not factories:
            return
    for check in checks:
        if check not in CHECKS:
            raise unknown("check", check, CHECKS)
    if not references and not factories:
        raise click.UsageError("name a class, for instance torch.optim:Adam, or a function with --factory FILE.py:NAME")
    given, keys = dict(split(o, "--option") for o in options), dict(split(g, "--group") for g in group)
    cases = [Case(r, given, keys) for r in references] + [Case(f, given, keys, factory=True) for f in factories]
    reports: list[Report] = []
    try:
        examine_all(cases, [c for c in CHECKS if c in checks or not checks], timeout, reports, as_json)
    finally:  # what is finished is not lost to an interruption
        if as_json:
            click.echo(json.dumps([r.to_dict() for r in reports], indent=2, ensure_ascii=False))
        elif len(reports) > 1:
            show_all(reports)
        if any("took no step" in (r.error or "") for r in reports):
            click.echo(WAYS_IN, err=True)
    if not all(r.passed for r in reports):
        sys.exit(1)


def split(option: str, hint: str) -> tuple[str, str]:
    """`lr=0.1` as ("lr", "0.1")."""
    name, equals, value = option.partition("=")
    if not equals or not name.isidentifier():
        raise click.BadParameter(f"expected NAME=VALUE, for instance lr=0.1; got {option!r}", param_hint=hint)
    return name, value


def examine_all(
    cases: Sequence[Case], checks: Sequence[str], timeout: float, reports: list[Report], quiet: bool
) -> None:
    """Examine one after another, showing progress on standard error and each report as soon as it is there."""
    from ravine.doctor.isolation import examine_apart

    terminal, out = Console(stderr=True), Console()
    for number, case in enumerate(cases, 1):
        place = f" ({number} of {len(cases)})" if len(cases) > 1 else ""
        with terminal.status(f"{case.reference}{place}: starting") as status:

            def progress(check: str, heading: str = f"{case.reference}{place}") -> None:
                status.update(f"{heading}: {check}, {checks.index(check) + 1} of {len(checks)}")

            reports.append(examine_apart(case, checks, timeout, progress))
        if not quiet:
            show(reports[-1], out)


def show(report: Report, console: Console) -> None:
    """A table of evidence, or why there is none."""
    given = "".join(f" {n}={v}" for n, v in report.options.items())
    title = f"{report.subject}{given}, torch {report.torch_version}"
    if report.error is not None:
        console.print(Text.assemble((f"{title}\n", "italic"), ("not examined: ", STYLES["?"]), report.error, "\n"))
        return
    table = Table(title=title)
    table.add_column("check", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("evidence", overflow="fold")
    for f in report.findings:
        table.add_row(f.check, Text(f.verdict, style=STYLES[f.verdict]), Text(f.evidence))
    console.print(table)


def show_all(reports: Sequence[Report]) -> None:
    """All verdicts, a line for each class and a column for each check."""
    checks = next(([f.check for f in r.findings] for r in reports if not r.error), [])
    table = Table(title="All verdicts", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("class", overflow="fold")
    for number in range(len(checks)):
        table.add_column(str(number + 1), justify="right", no_wrap=True)
    for r in reports:
        verdicts = [str(f.verdict) for f in r.findings] or ["?"] * len(checks)
        table.add_row(Text(r.subject), *(Text(MARKS[v], style=STYLES[v]) for v in verdicts))
    console = Console()
    console.print(table)
    console.print("   ".join(f"{mark} {verdict}" for verdict, mark in MARKS.items()).replace("? ?", "? undecided"))
    console.print(" · ".join(f"{number} {check}" for number, check in enumerate(checks, 1)), highlight=False)
