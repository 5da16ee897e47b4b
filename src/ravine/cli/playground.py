"""`ravine playground`: write the page and open it."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click
from rich.console import Console

from ravine.registry import rule


@click.command()
@click.argument("own", metavar="[RULE]...", nargs=-1)
@click.option(
    "--out",
    metavar="FILE",
    default="ravine-playground.html",
    show_default=True,
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Where to write the page.",
)
@click.option("--open/--no-open", "show", default=True, help="Open the page in a browser.  [default: open]")
def playground(own: tuple[str, ...], out: Path, show: bool) -> None:
    """Write and open a page on which optimizers race down a surface: no server, no network, one file.

    Every rule of the family is in it. RULE adds one of yours (FILE.py:NAME), or a transformed one such as
    'weight_decay(adam)'.
    """
    from ravine.playground import write

    extra = [rule(name) for name in own]
    path = write(out, extra)
    Console().print(f"Wrote {path} ({path.stat().st_size // 1024} KB)", highlight=False)
    if show and not webbrowser.open(path.resolve().as_uri()):
        Console().print("No browser could be started: open the file yourself.")
