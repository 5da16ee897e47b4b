"""A scenario as one self-contained HTML page: the story, the picture as a film, the claims and the tables."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from html import escape
from pathlib import Path

from ravine.simulate.outcome import Outcome, Table, cell

STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem; font: 1rem/1.5 system-ui, sans-serif;
  color: light-dark(#222, #ddd); background: light-dark(#fff, #16181b); }
h1 { font-size: 1.5rem; line-height: 1.2; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
figure { margin: 1.5rem 0; padding: .5rem; border-radius: .5rem; background: #fff; }
figure svg { width: 100%; min-width: 40rem; height: auto; display: block; }
figure, .wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap; }
tr { border-bottom: 1px solid light-dark(#ddd, #333); }
th:first-child, td:first-child { text-align: left; }
th { vertical-align: bottom; white-space: normal; }
.note, .evidence { color: light-dark(#555, #aaa); }
ul { list-style: none; padding: 0; }
li { margin: .6rem 0; padding-left: 1.4rem; text-indent: -1.4rem; }
h2::first-letter { text-transform: uppercase; }
canvas { width: 100%; min-width: 40rem; height: auto; display: block; }
.player { display: flex; align-items: center; gap: 1rem; margin: -.5rem 0 1.5rem; font-variant-numeric: tabular-nums; }
.player input { flex: 1; min-width: 6rem; }
.player button { font: inherit; min-width: 5.5rem; min-height: 2.5rem; }
[hidden] { display: none !important; }
@media print { .player, canvas { display: none; } figure svg { display: block !important; } }
"""
SCRIPT = Path(__file__).with_name("page.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Reel:
    """A film: its size in pixels, pictures a second, and for each the step it shows and what is new in it.

    That is (x, y, PNG), to be put at x, y on the picture before; no bytes where nothing is new.
    """

    width: int
    height: int
    rate: float
    pictures: list[tuple[int, tuple[int, int, bytes]]]

    def to_json(self) -> str:
        """For the page's script."""
        pictures = [[step, x, y, base64.b64encode(png).decode()] for step, (x, y, png) in self.pictures]
        return json.dumps({"rate": self.rate, "pictures": pictures}, separators=(",", ":"))


def page(outcome: Outcome, picture: str, film: Reel | None = None) -> str:
    """The page's text, `picture` being the still as SVG, which is all there is without a script or a film.

    What the outcome says is escaped, nothing is fetched, and no script runs but the film's.
    """
    picture = picture[picture.index("<svg") :]
    settings = ", ".join(f"{k} = {v}" for k, v in outcome.settings.items())
    claims = "".join(
        f"<li>{c.mark} {escape(c.text)}<br><span class='evidence'>{escape(c.evidence)}</span></li>"
        for c in outcome.claims
    )
    moves = film is not None and len(film.pictures) > 1
    allowed = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{allowed}'"
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(outcome.title)}</title>
<style>{STYLE}</style>
<h1>{escape(outcome.title)}</h1>
<p>{escape(outcome.story)}</p>
<figure role="img" aria-label="{escape(outcome.title)}">{picture}{_canvas(film) if moves else ""}</figure>
{_player(film) if moves else ""}
{f"<h2>Claims, and whether these numbers bear them out</h2><ul>{claims}</ul>" if claims else ""}
{"".join(_table(t) for t in outcome.tables)}
<p class="note">Settings: {escape(settings)}</p>
</html>
"""


def _canvas(film: Reel | None) -> str:
    return f'<canvas hidden width="{film.width}" height="{film.height}"></canvas>' if film else ""


def _player(film: Reel | None) -> str:
    if film is None:
        return ""
    last = len(film.pictures) - 1
    return (
        '<div class="player" hidden><button type="button">Play</button>'
        f'<input type="range" min="0" max="{last}" value="{last}" aria-label="Step"><span>step</span></div>\n'
        f'<script type="application/json" id="film">{film.to_json()}</script>\n<script>{SCRIPT}</script>'
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(c)}</th>" for c in table.columns)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell(c))}</td>" for c in row) + "</tr>" for row in table.rows)
    return (
        f"<h2>{escape(table.title)}</h2><div class='wide'><table><tr>{head}</tr>{rows}</table></div>"
        f"<p class='note'>{escape(table.note)}</p>"
    )
