"""`ravine report`: make the report of a comparison again, from its records alone."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from ravine.errors import require


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--parquet", is_flag=True, help="Write runs.parquet as well.")
@click.option("--tensorboard", is_flag=True, help="Write event files as well.")
def report(folder: Path, parquet: bool, tensorboard: bool) -> None:
    """Make the report of the comparison in DIR again, from results.json alone. Nothing is run."""
    from ravine.cli.compare import show
    from ravine.lab import report as pages
    from ravine.lab.results import Results

    file = folder / "results.json"
    if not file.is_file():
        raise ValueError(f"{str(folder)!r} holds no results.json: give the folder that `ravine compare --out` wrote")
    if parquet:
        require("--parquet", "pyarrow")
    if tensorboard:
        require("--tensorboard", "tensorboard")
    require("a report", "matplotlib")
    results = Results.load(file)
    console = Console()
    show(results, console)
    for path in pages.write_all(results, folder, parquet, tensorboard):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
