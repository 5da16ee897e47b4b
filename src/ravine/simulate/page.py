"""A scenario as one self-contained HTML page: the story, the picture, the claims and the tables."""

from __future__ import annotations

from html import escape

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
"""


def page(outcome: Outcome, picture: str) -> str:
    """The page's text, `picture` being the still as SVG. What the outcome says is escaped; nothing is fetched."""
    picture = picture[picture.index("<svg") :]
    settings = ", ".join(f"{k} = {v}" for k, v in outcome.settings.items())
    claims = "".join(
        f"<li>{'✓' if c.holds else '✗'} {escape(c.text)}<br><span class='evidence'>{escape(c.evidence)}</span></li>"
        for c in outcome.claims
    )
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(outcome.title)}</title>
<style>{STYLE}</style>
<h1>{escape(outcome.title)}</h1>
<p>{escape(outcome.story)}</p>
<figure role="img" aria-label="{escape(outcome.title)}">{picture}</figure>
{f"<h2>Claims, and whether these numbers bear them out</h2><ul>{claims}</ul>" if claims else ""}
{"".join(_table(t) for t in outcome.tables)}
<p class="note">Settings: {escape(settings)}</p>
</html>
"""


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(c)}</th>" for c in table.columns)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell(c))}</td>" for c in row) + "</tr>" for row in table.rows)
    return (
        f"<h2>{escape(table.title)}</h2><div class='wide'><table><tr>{head}</tr>{rows}</table></div>"
        f"<p class='note'>{escape(table.note)}</p>"
    )
