"""The gallery: every scenario's picture, numbers and claims as one Markdown page. `make gallery` runs this module."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ravine.simulate.files import save
from ravine.simulate.outcome import Outcome, Table, cell
from ravine.simulate.scenarios import SCENARIOS

HEAD = """# Gallery

This page and its pictures are written by `make gallery`; each is one command. [Simulations](simulate.md) explains them.
A ✗ marks a statement that these settings do not bear out, and the line says why.
"""


class Exhibit(NamedTuple):
    """A picture of the gallery: its file, the scenario, and what is set."""

    file: str
    scenario: str
    settings: dict[str, Any]


EXHIBITS = (
    Exhibit("accumulate.gif", "accumulate", {}),
    Exhibit("turn.gif", "turn", {}),
    Exhibit("bias.gif", "bias", {}),
    Exhibit("bowl.gif", "bowl", {}),
    Exhibit("knobs.gif", "knobs", {}),
    Exhibit("maps.png", "maps", {}),
    Exhibit("infrequent.gif", "infrequent", {}),
    Exhibit("rosenbrock.gif", "paths", {}),
    Exhibit(
        "saddle.gif",
        "paths",
        {
            "surface": "saddle",
            "optimizers": ("gd[lr=0.1]", "momentum[lr=0.1]", "rmsprop[lr=0.02]", "adam[lr=0.1]"),
            "steps": 100,
        },
    ),
    Exhibit(
        "plateau.gif",
        "paths",
        {
            "surface": "plateau",
            "optimizers": ("gd[lr=0.5]", "momentum[lr=0.5]", "rmsprop[lr=0.05]", "adam[lr=0.2]"),
            "steps": 200,
        },
    ),
    Exhibit(
        "himmelblau.gif",
        "paths",
        {
            "surface": "himmelblau",
            "optimizers": ("gd[lr=0.01]", "momentum[lr=0.01]", "rmsprop_momentum[lr=0.03]", "adam[lr=0.3]"),
            "steps": 150,
        },
    ),
    Exhibit(
        "noise.gif",
        "paths",
        {
            "surface": "oblong_bowl",
            "optimizers": ("gd[lr=0.03]", "momentum[lr=0.003]", "rmsprop[lr=0.05]", "adam[lr=0.1]"),
            "noise": "heavy_tailed:2",
            "steps": 200,
        },
    ),
)


def outcome(exhibit: Exhibit) -> Outcome:
    """An exhibit's numbers and picture."""
    return SCENARIOS[exhibit.scenario](**exhibit.settings)


def outcome_of(file: str) -> Outcome:
    """The numbers and picture of the exhibit with a file's name."""
    return outcome(next(e for e in EXHIBITS if e.file == file))


def command(exhibit: Exhibit) -> str:
    """The command line that makes an exhibit."""
    parts = ["ravine simulate", exhibit.scenario]
    for name, value in exhibit.settings.items():
        if name == "optimizers":
            parts += [f"--with '{optimizer}'" for optimizer in value]
        else:
            parts.append(f"--{name} {value}")
    return " ".join([*parts, f"--out {exhibit.file}"])


def page(shown: Iterable[tuple[Exhibit, Outcome]]) -> str:
    """The Markdown page."""
    sections = [HEAD]
    for exhibit, o in shown:
        claims = "\n".join(f"- {c.mark} {c.text}: {c.evidence}." for c in o.claims)
        sections.append(
            f"## {o.title}\n\n{o.story}\n\n![{o.title}](gallery/{exhibit.file})\n\n```sh\n{command(exhibit)}\n```\n\n"
            + (f"{claims}\n\n" if claims else "")
            + "\n".join(_markdown(t) for t in o.tables)
        )
    return "\n".join(sections)


def _markdown(table: Table) -> str:
    def line(cells: Iterable[Any]) -> str:
        return "| " + " | ".join(cell(c).replace("|", "\\|") for c in cells) + " |\n"

    rule = "|---|" + "---:|" * (len(table.columns) - 1) + "\n"
    body = "".join(line(row) for row in table.rows)
    note = f"\n{table.note}\n" if table.note else ""
    return f"**{table.title[:1].upper()}{table.title[1:]}**\n\n{line(table.columns)}{rule}{body}{note}"


def main(folder: Path) -> None:
    """Write gallery.md and the pictures of the folder gallery/ below a folder."""
    (folder / "gallery").mkdir(parents=True, exist_ok=True)
    shown = [(exhibit, outcome(exhibit)) for exhibit in EXHIBITS]
    for exhibit, o in shown:
        save(o, folder / "gallery" / exhibit.file)
    (folder / "gallery.md").write_text(page(shown), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
