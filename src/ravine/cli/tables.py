"""Tables that never cut a number: where the terminal is too narrow for one, its rows are printed one below another."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

FRAME = 3
"""What a column's frame and padding take, and one more at the end."""


def show_table(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table in which words may wrap but none is cut; as blocks of `heading: text` where it has no room."""
    columns = list(zip(headings, *rows, strict=True))
    longest = [max((cell_len(word) for text in column for word in text.split()), default=0) for column in columns]
    if sum(longest) + FRAME * len(longest) + 1 > console.width:
        return _blocks(console, headings, rows, title)
    table = Table(title=title or None)
    for heading, width in zip(headings, longest, strict=True):
        table.add_column(Text(heading), min_width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    return console.print(table)


def _blocks(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    if title:
        console.print(Text(title, style="italic"))
    for row in rows:
        first, *rest = [(h, t) for h, t in zip(headings, row, strict=True) if t]
        console.print(Text(f"{first[0]} {first[1]}".strip(), style="bold"))
        for heading, text in rest:
            console.print(Text(f"  {heading + ': ' if heading else ''}{text}"))
    console.print()
