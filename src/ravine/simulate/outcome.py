"""What a scenario gives: tables of numbers, claims held against them, and a picture that can move."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ravine.simulate.runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ravine.simulate.figures import Moving

Draw = Callable[["Figure"], "Moving"]
"""Draws on an empty figure; the moving parts it returns show the picture as of a step."""


@dataclass(frozen=True)
class Table:
    """Numbers under headings; a cell is a number, a text, or None where there is nothing to say."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""


@dataclass(frozen=True)
class Claim:
    """A statement, whether these numbers bear it out (None where they are too few to tell), and the numbers."""

    text: str
    holds: bool | None
    evidence: str

    @property
    def mark(self) -> str:
        """Yes, no or undecided, in one character."""
        return "?" if self.holds is None else "✓" if self.holds else "✗"


@dataclass(frozen=True)
class Outcome:
    """A scenario's numbers and picture. `last` is the step at which a film of it ends, `slows` whether the film
    gives the first steps more time than the last ones; `size` is in inches.
    """

    name: str
    title: str
    story: str
    settings: Mapping[str, Any]
    tables: Sequence[Table]
    claims: Sequence[Claim]
    draw: Draw
    last: int
    slows: bool = False
    size: tuple[float, float] = (11.0, 6.2)
    runs: Mapping[str, Run] = field(default_factory=dict)

    def table(self, title: str) -> Table:
        """A table by its title."""
        return next(t for t in self.tables if t.title == title)

    def to_json(self) -> str:
        """Settings, tables and claims as JSON; what is not finite becomes the text "inf", "-inf" or "nan"."""
        data = {
            "scenario": self.name,
            "title": self.title,
            "settings": self.settings,
            "tables": [{"title": t.title, "columns": t.columns, "rows": t.rows, "note": t.note} for t in self.tables],
            "claims": [{"text": c.text, "holds": c.holds, "evidence": c.evidence} for c in self.claims],
        }
        return json.dumps(_plain(data), ensure_ascii=False, indent=1, allow_nan=False)


def cell(value: Any) -> str:
    """A table's cell as text: four significant digits, whole numbers as they are, a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):
        return _plain(value.item())
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
