"""`ravine doctor`: a torch optimizer under examination."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from ravine.doctor import Report

STYLES = {"pass": "green", "FAIL": "bold red", "n/a": "dim"}


@click.command()
@click.argument("references", metavar="MODULE:CLASS...", nargs=-1, required=True)
@click.option("--option", "options", metavar="NAME=VALUE", multiple=True, help="Constructor option; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def doctor(references: tuple[str, ...], options: tuple[str, ...], as_json: bool) -> None:
    """Examine torch optimizers: checkpoints, precision, distributed tensors, GradScaler, memory, and more.

    MODULE:CLASS is any subclass of torch.optim.Optimizer, for instance ravine.torch:Adam or torch.optim:RMSprop; a
    module in the current folder will do. Exit status 1 if a check fails.
    """
    from ravine.doctor import examine, load_class

    sys.path.insert(0, str(Path.cwd()))
    arguments = dict(parse(option) for option in options)
    reports = [examine(load_class(reference), **arguments) for reference in references]
    if as_json:
        click.echo(json.dumps([r.to_dict() for r in reports], indent=2, ensure_ascii=False))
    else:
        show(reports, references)
    if not all(r.passed for r in reports):
        sys.exit(1)


def parse(option: str) -> tuple[str, Any]:
    """`lr=0.1` as ("lr", 0.1); a value that is no Python literal is text, one like torch.float32 a dtype."""
    name, equals, value = option.partition("=")
    if not equals or not name.isidentifier():
        raise click.BadParameter(f"expected NAME=VALUE, for instance lr=0.1; got {option!r}", param_hint="--option")
    if value.startswith("torch."):
        import torch

        return name, getattr(torch, value.removeprefix("torch."), value)
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def show(reports: list[Report], references: tuple[str, ...]) -> None:
    """A table of evidence for each class; for several, a matrix of all verdicts at the end."""
    console = Console()
    for report, reference in zip(reports, references, strict=True):
        given = "".join(f" {n}={v}" for n, v in report.options.items())
        table = Table(title=f"{reference}{given}, torch {report.torch_version}")
        table.add_column("check", no_wrap=True)
        table.add_column("verdict")
        table.add_column("evidence")
        for f in report.findings:
            table.add_row(f.check, Text(f.verdict, style=STYLES[f.verdict]), Text(f.evidence))
        console.print(table)
    if len(reports) > 1:
        matrix = Table(title="All verdicts")
        matrix.add_column("check", no_wrap=True)
        for reference in references:
            matrix.add_column(reference.replace(":", "\n"), justify="center")  # of two Adams, which is which
        for row in zip(*(r.findings for r in reports), strict=True):
            matrix.add_row(row[0].check, *(Text(f.verdict, style=STYLES[f.verdict]) for f in row))
        console.print(matrix)
