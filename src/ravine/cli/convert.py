"""`ravine convert`: optimizer state from one framework's file to another's."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from ravine import dialects
from ravine.convert.kept import FRAMEWORKS
from ravine.convert.state import OptimizerState, Outcome
from ravine.dialects.identities import CONSTANT, EXACT, IMPOSSIBLE
from ravine.dialects.lines import given_names

FRAMEWORK = click.Choice(list(FRAMEWORKS))


@click.command()
@click.argument("state", type=click.Path(path_type=Path, exists=True))
@click.option("--from", "source", type=FRAMEWORK, required=True, help="Whose state it is.")
@click.option(
    "--to", "target", type=FRAMEWORK, required=True, help="Whose state it is to be; ravine keeps the equation."
)
@click.option(
    "--optimizer", help="The optimizer, as in 'torch.AdamW' or 'keras.Adam(0.01)', where the file doesn't say."
)
@click.option("--key", help="Which optimizer of a torch checkpoint with several, as in 'optimizer_states.0'.")
@click.option("--let", metavar="NAME=NUMBER", multiple=True, help="What a name in --optimizer stands for.")
@click.option("--step", type=click.IntRange(min=0), help="The number of finished steps, where the file doesn't say.")
@click.option("--rename", metavar="OLD=NEW", multiple=True, help="Another name for a parameter; may be repeated.")
@click.option("--transpose", metavar="NAME", multiple=True, help="A matrix kept the other way round; may be repeated.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Default: STATE.TO.npz beside it.")
@click.option("--allow-rounding", is_flag=True, help="Round float64 buffers that differ by the factor lr.")
def convert(
    state: Path,
    source: str,
    target: str,
    optimizer: str | None,
    key: str | None,
    let: tuple[str, ...],
    step: int | None,
    rename: tuple[str, ...],
    transpose: tuple[str, ...],
    out: Path | None,
    allow_rounding: bool,
) -> None:
    """Optimizer state (moments, accumulators, steps) from one framework to another, exactly.

    STATE is a .safetensors or .npz file with the framework's own names; torch's .pt, .pth or .ckpt with an optimizer's
    state dict anywhere inside; Keras's .keras, .h5 or .weights.h5; or flax's .msgpack. Groups with settings of
    their own become files of their own.
    """
    from ravine import convert as conversion

    if wrong := [pair for pair in rename if "=" not in pair]:
        raise click.BadParameter(f"expected OLD=NEW, got {wrong[0]!r}", param_hint="--rename")
    suffix = state.suffix if state.suffix in (".npz", ".safetensors") else ".npz"
    out = out or state.with_name(f"{state.stem}.{target}{suffix}")
    names = {old: new for old, _, new in (pair.partition("=") for pair in rename)}
    if optimizer and "(" in optimizer and dialects.is_line(optimizer):
        optimizer = dialects.canonical(optimizer, given_names(let))
    console = Console()
    loaded = conversion.load_groups(state, source, optimizer, step, key)
    for each in loaded:
        console.print(Text(f"{state} was taken for {each.taken_for}: {_size(each.state)}"))
    for note in dict.fromkeys(note for each in loaded for note in each.notes):
        console.print(Text(note))
    renamed = conversion.renamed([each.state for each in loaded], names, transpose)
    outcomes = [conversion.move(each, target, allow_rounding=allow_rounding) for each in renamed]
    for outcome, path in zip(outcomes, conversion.targets(out, len(outcomes)), strict=True):
        conversion.save(path, outcome.state)
        _report(console, path, outcome)


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
