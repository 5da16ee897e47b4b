"""The report as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

import base64
import io
from html import escape
from importlib.resources import files

from ravine.lab.report import figures, words
from ravine.lab.results import Results
from ravine.lab.summary import Summary, summary


def page(results: Results) -> str:
    """The whole page. All text that a user may have written is escaped."""
    made = summary(results)
    title = escape(str(results.task["title"]))
    body = "\n".join(
        [
            f"<h1>{title}</h1>",
            f'<p class="about">{escape(str(results.task.get("about", "")))}</p>',
            ""
            if results.is_complete
            else '<p class="warning">This comparison is not complete: some runs are missing.</p>',
            _table(results, made),
            _figure(
                results, made, "curves", "Validation loss: mean over the fresh seeds; bands from lowest to highest."
            ),
            _figure(
                results,
                made,
                "lr",
                "Final validation loss against the learning rate, on the tuning seed. × did not finish.",
            ),
            _equations(results),
            _method(results, made),
        ]
    )
    style = files("ravine.lab.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title} · ravine compare</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def _table(results: Results, made: Summary) -> str:
    head = "".join(f'<th scope="col">{escape(h)}</th>' for h in words.HEADINGS)
    rows = []
    for row in made.rows:
        name, *cells = (escape(c) for c in words.cells(row))
        swatch = f'<span class="swatch" style="background:{_color(results, row.name)}"></span>'
        rows.append(f'<tr><th scope="row">{swatch}{name}</th>' + "".join(f"<td>{c}</td>" for c in cells) + "</tr>")
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        f'<p class="note">{escape(words.notes(results, made))}</p>'
    )


def _figure(results: Results, made: Summary, name: str, caption: str) -> str:
    drawn = figures.curves(results, made) if name == "curves" else figures.lr_sensitivity(results, made)
    buffer = io.BytesIO()
    drawn.savefig(buffer, dpi=150)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}"><figcaption>{escape(caption)}'
        "</figcaption></figure>"
    )


def _equations(results: Results) -> str:
    parts = ["<h2>The equations</h2>", '<div class="equations">']
    for c in results.contenders:
        swatch = f'<span class="swatch" style="background:{_color(results, c["name"])}"></span>'
        parts.append(
            f"<section><h3>{swatch}{escape(c['name'])}</h3>{c['mathml']}"
            f'<p class="note">{escape(c["title"])}. {escape(c["paper"])}</p></section>'
        )
    return "\n".join([*parts, "</div>"])


def _method(results: Results, made: Summary) -> str:
    return "<h2>How it was measured</h2>\n" + "\n".join(f"<p>{escape(p)}</p>" for p in words.method(results, made))


def _color(results: Results, name: str) -> str:
    return str(figures.style(results, name)["color"])
