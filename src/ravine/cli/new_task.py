"""`ravine new-task`: a commented file to start a task of one's own from."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

TEMPLATES = {"task": "task.py.txt", "train": "train.py.txt"}


@click.command("new-task")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.py")
@click.option(
    "--kind",
    type=click.Choice(list(TEMPLATES)),
    default="task",
    show_default=True,
    help="task: data, model, loss and metric; train: a training loop of your own.",
)
def new_task(file: Path, kind: str) -> None:
    """Write FILE.py, a small task that works, with comments on what to change."""
    if file.suffix != ".py":
        raise ValueError(f"the file must end in .py, got {str(file)!r}")
    if file.exists():
        raise ValueError(f"{str(file)!r} exists: give another name")
    text = files("ravine.lab.templates").joinpath(TEMPLATES[kind]).read_text(encoding="utf-8")
    file.write_text(text, encoding="utf-8")
    click.echo(f"wrote {file}; try it with\n  ravine compare {file} --optimizers gd,adam --trials 4 --seeds 2")
