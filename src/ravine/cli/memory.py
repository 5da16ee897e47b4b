"""`ravine memory`: bytes a parameter in training, by how weights and state are stored."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from ravine.torch.memory import Memory


@click.command()
@click.argument("model")
@click.option("--rule", default="adamw", show_default=True, help="The optimizer, as `ravine list` names it.")
@click.option("--json", "as_json", is_flag=True, help="Print the bytes as JSON.")
def memory(model: str, rule: str, as_json: bool) -> None:
    """Bytes a parameter for weights, gradients and state of MODEL in training, by how they are stored, and the peak.

    MODEL is FILE.py:FUNCTION or MODULE:FUNCTION, called without arguments (the file is run); it returns a torch module.
    Activations are left out: they depend on the batch. Each choice takes two steps in a process of its own.
    """
    from ravine.torch import memory as measure

    with Console(stderr=True).status("measuring"):
        found = measure.memory(model, rule)
    if as_json:
        click.echo(json.dumps({name: asdict(row) for name, row in found.items()}, indent=1))
        return
    Console().print(_table(model, rule, found))


def _table(model: str, rule: str, found: dict[str, Memory]) -> Table:
    n = next(iter(found.values())).parameters
    caption = "Bytes a parameter, and megabytes in all; the peak is the growth of a process over two steps."
    table = Table(title=f"{model} with {rule}: {n:,} parameters", caption=caption)
    table.add_column("stored as")
    for heading in ("weights", "gradients", "state", "sum", "counted MB", "peak MB"):
        table.add_column(heading, justify="right")
    for name, row in found.items():
        each = [row.weights, row.gradients, row.state, row.counted]
        peak = "" if row.peak is None else f"{row.peak / 1e6:.1f}"
        table.add_row(name, *(f"{bytes_ / max(n, 1):.2f}" for bytes_ in each), f"{row.counted / 1e6:.1f}", peak)
    return table
