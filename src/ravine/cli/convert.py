"""`ravine convert`: optimizer state from one framework's file to another's."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from ravine import dialects
from ravine.dialects.identities import CONSTANT, EXACT, IMPOSSIBLE

FRAMEWORK = click.Choice(list(dialects.FRAMEWORKS))


@click.command()
@click.argument("state", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--from", "source", type=FRAMEWORK, required=True, help="Whose state it is.")
@click.option("--to", "target", type=FRAMEWORK, required=True, help="Whose state it is to be.")
@click.option("--optimizer", help="The optimizer, as in 'torch.Adam(lr=0.01)', where the file doesn't say.")
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
    step: int | None,
    rename: tuple[str, ...],
    transpose: tuple[str, ...],
    out: Path | None,
    allow_rounding: bool,
) -> None:
    """Optimizer state (moments, accumulators, steps) from one framework to another, exactly.

    STATE is a .safetensors or .npz file with the framework's own names, or torch's .pt with a state dict.
    """
    from ravine.convert import convert as run

    if wrong := [pair for pair in rename if "=" not in pair]:
        raise click.BadParameter(f"expected OLD=NEW, got {wrong[0]!r}", param_hint="--rename")
    suffix = state.suffix if state.suffix in (".npz", ".safetensors") else ".npz"
    out = out or state.with_name(f"{state.stem}.{target}{suffix}")
    outcome = run(
        state,
        out,
        source_framework=source,
        target_framework=target,
        call=optimizer,
        step=step,
        rename={old: new for old, _, new in (pair.partition("=") for pair in rename)},
        transpose=transpose,
        allow_rounding=allow_rounding,
    )
    console = Console()
    console.print(Text(f"{out}: state of {outcome.state.call}"))
    grade = {EXACT: "exactly", CONSTANT: "exactly while lr is constant", IMPOSSIBLE: "otherwise"}[outcome.grade]
    reasons = f": {'; '.join(outcome.reasons)}" if outcome.reasons else ""
    console.print(Text(f"Training goes on {grade} there{reasons}."))
