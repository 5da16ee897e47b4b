"""`ravine convert`: optimizer state from one framework's file to another's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ravine import dialects
from ravine.convert.kept import FRAMEWORKS
from ravine.convert.state import OptimizerState, Outcome
from ravine.dialects.identities import CONSTANT, EXACT, IMPOSSIBLE
from ravine.dialects.lines import given_names, read_schedule

if TYPE_CHECKING:
    from ravine.convert.renaming import Pair

FRAMEWORK = click.Choice(list(FRAMEWORKS))


@click.command()
@click.argument("state", type=click.Path(path_type=Path))
@click.option("--from", "source", type=FRAMEWORK, required=True, help="Whose state it is.")
@click.option(
    "--to", "target", type=FRAMEWORK, required=True, help="Whose state it is to be; ravine keeps the equation."
)
@click.option(
    "--optimizer", help="The optimizer, as in 'torch.AdamW' or 'keras.Adam(0.01)', where the file doesn't say."
)
@click.option("--key", help="Which optimizer of a file with several, as in 'optimizer_states.0'.")
@click.option(
    "--let", metavar="NAME=NUMBER", multiple=True, help="What a name in --optimizer or --schedule stands for."
)
@click.option("--schedule", help="A torch scheduler, as in 'CosineAnnealingLR(optimizer, T_max=100)'.")
@click.option(
    "--steps-per-epoch", type=click.IntRange(min=1), help="Steps of an epoch, where the scheduler counts those."
)
@click.option("--step", type=click.IntRange(min=0), help="The number of finished steps, where the file doesn't say.")
@click.option(
    "--rename",
    metavar="OLD=NEW",
    multiple=True,
    help="Another name for a parameter, with * for any text, or a file of such lines; may be repeated.",
)
@click.option("--transpose", metavar="NAME", multiple=True, help="A matrix or kernel kept the other way round; with *.")
@click.option(
    "--like",
    type=click.Path(path_type=Path),
    help="A file of the model that goes on: its names and layouts, matched by shape and order.",
)
@click.option("--yes", is_flag=True, help="Take the names that --like gives without being asked.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Default: STATE.TO.npz beside it.")
@click.option("--allow-rounding", is_flag=True, help="Round float64 buffers that differ by the factor lr.")
def convert(
    state: Path,
    source: str,
    target: str,
    optimizer: str | None,
    key: str | None,
    let: tuple[str, ...],
    schedule: str | None,
    steps_per_epoch: int | None,
    step: int | None,
    rename: tuple[str, ...],
    transpose: tuple[str, ...],
    like: Path | None,
    yes: bool,
    out: Path | None,
    allow_rounding: bool,
) -> None:
    """Optimizer state (moments, accumulators, steps) from one framework to another, exactly.

    STATE is a .safetensors or .npz file with the framework's own names; torch's .pt, .pth or .ckpt with an optimizer's
    state dict anywhere inside; Keras's .keras, .h5 or .weights.h5; or flax's .msgpack. Groups with settings of
    their own become files of their own.
    """
    from ravine import convert as conversion
    from ravine.convert import renaming

    given = renaming.rules(rename)
    suffix = state.suffix if state.suffix in (".npz", ".safetensors") else ".npz"
    out = out or state.with_name(f"{state.stem}.{target}{suffix}")
    if optimizer and "(" in optimizer and dialects.is_line(optimizer):
        optimizer = dialects.canonical(optimizer, given_names(let))
    if schedule:
        schedule = repr(read_schedule(schedule, given_names(let), 1.0))
    console = Console()
    loaded = conversion.load_groups(
        state, source, optimizer, step, key, schedule=schedule, steps_per_epoch=steps_per_epoch
    )
    for each in loaded:
        console.print(Text(f"{state} was taken for {each.taken_for}: {_size(each.state)}"))
    for note in dict.fromkeys(note for each in loaded for note in each.notes):
        console.print(Text(note))
    states = [each.state for each in loaded]
    everywhere = [p for s in states for p in s.slots]
    names = renaming.by_rules(given, everywhere)
    turned = list(renaming.by_rules([(name, name) for name in transpose], everywhere))
    if like is not None:
        pairs = renaming.by_shape(conversion.renamed(states, names), renaming.model(like))
        _table(console, pairs)
        if not yes:
            click.confirm("Are these the same parameters?", abort=True)
        olds = {names.get(p, p): p for p in everywhere}
        names |= {olds[p.old]: p.new for p in pairs}
        turned += [olds[p.old] for p in pairs if p.is_turned and olds[p.old] not in turned]
    renamed = conversion.renamed(states, names, turned)
    outcomes = [conversion.move(each, target, allow_rounding=allow_rounding) for each in renamed]
    for outcome in outcomes:  # raises for what the target can't hold, before anything is written
        conversion.write(outcome.state)
    for outcome, path in zip(outcomes, conversion.targets(out, len(outcomes)), strict=True):
        conversion.save(path, outcome.state)
        _report(console, path, outcome)


def _table(console: Console, pairs: Sequence[Pair]) -> None:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for heading in ("parameter", "shape", "becomes", ""):
        table.add_column(heading)
    for pair in pairs:
        table.add_row(Text(pair.old), Text(str(pair.shape)), Text(pair.new), "transposed" if pair.is_turned else "")
    console.print(table)


def _size(state: OptimizerState) -> str:
    steps = "an unknown number of steps" if state.t is None else f"{state.t} steps"
    others = f", {len(state.steps)} of them fewer" if state.steps else ""
    return f"{len(state.slots)} parameters with state, after {steps}{others}"


def _report(console: Console, path: Path, outcome: Outcome) -> None:
    kept = outcome.state.kept
    console.print(Text(f"{path}: state of {outcome.state.call if kept.constructor else kept.recipe}"))
    grade = {EXACT: "exactly", CONSTANT: "exactly while lr is constant", IMPOSSIBLE: "otherwise"}[outcome.grade]
    reasons = f": {'; '.join(outcome.reasons)}" if outcome.reasons else ""
    console.print(Text(f"Training goes on {grade} there{reasons}."))
    for note in outcome.notes:
        console.print(Text(note))
