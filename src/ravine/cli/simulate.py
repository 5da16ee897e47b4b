"""`ravine simulate`: the scenarios as numbers, claims and pictures."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ravine import palette
from ravine.registry import rules
from ravine.simulate.outcome import Outcome, cell
from ravine.simulate.outcome import Table as Numbers
from ravine.simulate.scenarios import SCENARIOS
from ravine.simulate.surfaces import SURFACES

MOST_STEPS = 1_000_000
REPEATED = {"optimizers": "--with", "rules": "--rule"}
HELP = {
    "optimizers": "An optimizer: RULE, RULE[lr=0.1,…] or NAME=RULE[…], FILE.py:RULE too. Give it again for another.",
    "rules": "A rule with momentum. Give it again for another.",
    "surface": "A surface, or FILE.py:FUNCTION for a function of your own.",
    "start": "Where to start: numbers with a comma between.",
    "noise": "Noise on the gradient: gaussian, heavy_tailed or minibatch, with a scale: gaussian:0.5. With "
    "infrequent:10 the last coordinate has a gradient only at every tenth step; on data batches:10 takes ten examples.",
    "every": "Every how many steps the infrequent coordinate has a gradient.",
    "sigma": "Standard deviation of the noise on the gradient.",
    "seed": "Seed of the noise.",
    "condition": "The bowl's condition number.",
    "tilt": "The slope of the bowl's long axis: 1 is 45 degrees.",
}


@click.group("simulate")
def simulate() -> None:
    """Optimizers on surfaces: the scenarios that explain the family, as numbers and pictures."""


def command(name: str, scenario: Callable[..., Outcome]) -> click.Command:
    """A scenario as a command: each keyword of the function is an option of the same name."""
    options: list[click.Parameter] = []
    for key, p in inspect.signature(scenario).parameters.items():
        if key in REPEATED:
            options.append(_option([REPEATED[key], key], key, default=p.default, multiple=True))
        elif key == "steps":  # more would be recorded than memory holds
            options.append(_option([f"--{key}"], key, default=p.default, type=click.IntRange(max=MOST_STEPS)))
        elif isinstance(p.default, (int, float)):
            options.append(_option([f"--{key}"], key, default=p.default, type=type(p.default)))
        else:
            options.append(_option([f"--{key}"], key, default=p.default))
    out = click.Path(dir_okay=False, path_type=Path)
    options.append(click.Option(["--out"], type=out, help="Write the picture: .png, .svg, .gif, .mp4 or .html."))
    options.append(click.Option(["--json", "as_json"], is_flag=True, help="Print the numbers as JSON."))

    def callback(out: Path | None, as_json: bool, **values: Any) -> None:
        if isinstance(values.get("start"), str):
            values["start"] = _point(values["start"])
        if out is not None:
            from ravine.simulate.files import check

            check(out)  # before the work, not after it
        outcome = scenario(**values)
        if as_json:
            click.echo(outcome.to_json())
        else:
            show(outcome)
        if out is not None:
            from ravine.simulate.files import save

            written = save(outcome, out)
            if not as_json:
                click.echo(f"wrote {written}")

    explained = (inspect.getdoc(scenario) or "").partition("Raises ")[0]  # exceptions are for callers of the function
    return click.Command(name, params=options, callback=callback, help=explained)


def _option(names: list[str], key: str, **settings: Any) -> click.Option:
    return click.Option(names, help=HELP.get(key), show_default=settings["default"] is not None, **settings)


for _name, _scenario in SCENARIOS.items():
    simulate.add_command(command(_name, _scenario))


@simulate.command("surfaces")
def list_surfaces() -> None:
    """The surfaces: their formulas' names, parameters, least values and traits."""
    table = Table(title="Surfaces", caption="`ravine simulate paths --surface NAME` runs optimizers on one.")
    for heading in ("surface", "parameters", "least value", "traits"):
        table.add_column(heading, no_wrap=heading == "surface")
    for found in SURFACES.values():
        parameters = ", ".join(f"{n}={v:g}" for n, v in found.parameters.items())
        least = f"{found.minimum:.6g}" if found.minimum is not None else "unknown" if found.examples else "none"
        table.add_row(Text(found.name), parameters, least, "; ".join(found.traits))
    Console().print(table)


def show(outcome: Outcome) -> None:
    """Print an outcome: its story, its tables, and which claims hold."""
    console = Console()
    console.print(Text(outcome.title, style="bold"))
    console.print(Text(outcome.story))
    for t in outcome.tables:
        console.print()
        console.print(_table(t, console.width), crop=False)
    if outcome.claims:
        console.print()
    for claim in outcome.claims:
        color = {True: "green", False: "red", None: "yellow"}[claim.holds]
        console.print(Text.assemble((f"{claim.mark} ", color), claim.text, (f": {claim.evidence}", "dim")))


def _table(t: Numbers, room: int) -> Table:
    """A table of an outcome, fitted into so many columns of text; but a line too long is better than half a number."""
    texts = [[heading, *(cell(row[i]) for row in t.rows)] for i, heading in enumerate(t.columns)]
    widths, space, gaps = [max(map(len, column)) for column in texts], 2, len(texts) - 1
    if sum(widths) + space * gaps > room:
        words = [max((len(word) for text in column for word in text.split()), default=0) for column in texts]
        space = 2 if sum(words) + 2 * gaps <= room else 1
        words[0] = min(widths[0], words[0] + max(0, room - sum(words) - space * gaps))
        widths = words
    names = rules()
    shown = Table(
        title=t.title,
        caption=t.note or None,
        box=box.SIMPLE_HEAD,
        padding=(0, space - 1),
        width=sum(widths) + space * gaps,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for i, width in enumerate(widths):
        shown.add_column(Text(t.columns[i]), justify="right" if i else "left", width=width)
    for first, *rest in zip(*(column[1:] for column in texts), strict=True):
        named = first.partition(",")[0]
        color = palette.style(named).color if named in names else ""
        shown.add_row(Text(first, style=color), *map(Text, rest))
    return shown


def _point(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"--start must be numbers such as -1.2,1; got {text!r}") from None
