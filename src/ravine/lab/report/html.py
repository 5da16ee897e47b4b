"""The report as one HTML file that needs nothing else: its style and script are in it, its charts are drawn from its
data, and a policy forbids it any request."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from ravine.lab.records import FAILED, PRUNED
from ravine.lab.report import data, words
from ravine.lab.report.figures import is_loose, look, searched
from ravine.lab.report.rates import departures
from ravine.lab.report.verdict import verdict
from ravine.lab.results import Results
from ravine.lab.summary import Row, Summary

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def page(results: Results) -> str:
    """The whole page. All text that a user may have written is escaped."""
    made = results.summary
    title = escape(str(results.task["title"]))
    body = "\n".join(
        [
            f'<header><h1>{title}</h1><button id="theme" type="button">light / dark</button></header>',
            f'<p class="about">{escape(str(results.task.get("about", "")))}</p>',
            _warning(departed) if (departed := departures(results)) else "",
            '<div class="verdict">' + "".join(f"<p>{escape(v)}</p>" for v in verdict(results, made)) + "</div>"
            if results.is_complete
            else "".join(map(_warning, verdict(results, made))),
            _table(results, made),
            _charts(results, made),
            _pairs(results, made),
            _more(results, made),
            _equations(results),
            _failures(results),
            "<h2>How it was measured</h2>\n" + "\n".join(f"<p>{escape(p)}</p>" for p in words.method(results)),
            _files(results),
        ]
    )
    return shell(f"{title} · ravine compare", body, data.for_script(results, made), "page.js")


def shell(title: str, body: str, script_data: str, script: str) -> str:
    """A page around a body; the title is escaped already."""
    folder = files("ravine.lab.report")
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    code = folder.joinpath(script).read_text(encoding="utf-8") if script else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        f'<script type="application/json" id="data">{script_data}</script>\n<script>\n{code}</script>\n'
        "</body>\n</html>\n"
    )


def _warning(text: str) -> str:
    return f'<p class="warning">{escape(text)}</p>'


def swatch(color: str) -> str:
    """A dot of a colour of the palette."""
    return f'<span class="swatch" style="background:{color}"></span>'


def rows(headings: Any, lines: Any, kind: str = "wide") -> str:
    """A table: headings as text, lines of (first cell as HTML, other cells as text)."""
    head = "".join(f'<th scope="col">{escape(h)}</th>' for h in headings)
    body = "".join(
        f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{_cell(c)}</td>" for c in cells) + "</tr>"
        for first, cells in lines
    )
    table = f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def _cell(text: str) -> str:
    """Several tuned hyperparameters below each other: a line of them would be wider than the page."""
    return "<br>".join(map(escape, text.split(", ")))


def _name(results: Results, name: str) -> str:
    return swatch(look(results, name).color) + breakable(name)


def breakable(name: str) -> str:
    """A name as HTML that may go on in the next line after its signs, where there is no room."""
    return re.sub(r"([_=,(\[]|\.\.)", r"\1<wbr>", escape(name))


def _table(results: Results, made: Summary) -> str:
    """The final loss stands beside the name, so that a phone shows it."""

    def turned(cells: Sequence[str]) -> tuple[str, ...]:
        name, tuned, loss, *rest = cells
        return (name, loss, tuned, *rest)

    lines = [(_name(results, r.name), turned(words.cells(r))[1:]) for r in made.rows]
    return rows(turned(words.HEADINGS), lines) + f'<p class="note">{escape(words.notes(results, made))}</p>'


def _charts(results: Results, made: Summary) -> str:
    buttons = "".join(
        f'<button type="button" aria-pressed="true" data-name="{escape(r.name)}">{_name(results, r.name)}</button>'
        for r in made.rows
    )
    available = [n for n in data.METRICS if any(n in r.curve for r in results.records)] or ["loss"]
    choices = {
        "metric": ("show", {n: data.METRICS[n] for n in available}),
        "across": ("against", {"step": "steps", "seconds": "seconds"}),
        "axis": ("scale", {"log": "logarithmic", "linear": "linear"}),
    }
    controls = "".join(_choice(name, *choice) for name, choice in choices.items())
    curves = (
        "Mean over the repetitions that finished; bands from the lowest to the highest. A thin line that ends in a "
        "cross is a scored run that did not finish. Arrow keys move through the chart."
    )
    names = searched(results)
    loose = [is_loose(results, c["name"]) for c in results.contenders if c["space"]]
    tried = "Validation loss at the end of tuning runs."
    if not all(loose):
        tried += (
            " Each repetition tried other values; its trials are joined by straight lines, and the median over the "
            "repetitions is drawn. A cross on top: of half of them or more a trial beside it did not finish."
        )
    if any(loose):
        tried += (
            " A dot without a line is a run that differs from the others in more than this: the lowest dots tell "
            "what a value can do. A cross on top: it did not finish."
        )
    if any(r.status == PRUNED for r in results.records):
        tried += " A triangle: stopped early."
    title, choice = f"Sensitivity to {next(iter(names.values()), 'tuning')}", ""
    if len(names) > 1:
        title = "Sensitivity to what was tuned"
        choice = f'<div class="controls">{_choice("hyper", "show", {n: n for n in names})}</div>'
    tuning = "The best validation loss among the first trials of a tuning, mean over the repetitions."
    return (
        '<h2>Learning curves</h2>\n<div id="legend" role="group" aria-label="Which optimizers are shown">'
        f'{buttons}<button type="button" id="all">all / none</button></div>\n<div class="controls">{controls}</div>\n'
        f'{_figure("curves", curves)}\n<div class="two">\n'
        f"<div><h2>{escape(title)}</h2>{choice}{_figure('tried', tried)}</div>\n"
        f"<div><h2>What tuning buys</h2>{_figure('tuning', tuning)}</div>\n</div>"
    )


def _choice(name: str, label: str, options: Mapping[str, str]) -> str:
    inside = "".join(f'<option value="{escape(v)}">{escape(text)}</option>' for v, text in options.items())
    return f'<label>{label} <select id="{name}">{inside}</select></label>'


def _figure(name: str, caption: str) -> str:
    return (
        f'<figure><div class="chart" id="{name}" tabindex="0"></div><div class="tip" aria-live="polite" hidden></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _pairs(results: Results, made: Summary) -> str:
    names = [r.name for r in made.rows]
    if not made.pairs:
        return ""
    head = "".join(f'<th scope="col">{breakable(n)}</th>' for n in names)
    lines = []
    for a in names:
        cells = "".join(_pair(made, a, b) for b in names)
        lines.append(f'<tr><th scope="row">{_name(results, a)}</th>{cells}</tr>')
    note = (
        "How probable it is that a run of the row ends lower than one of the column. Bold with a dot: these seeds "
        "separate the two; elsewhere they don't. Point at a cell for the ratio of their losses."
    )
    return (
        f'<h2>Who beats whom</h2><div class="scroll"><table class="pairs"><thead><tr><th></th>{head}</tr></thead>'
        f'<tbody>{"".join(lines)}</tbody></table></div><p class="note">{note}</p>'
    )


def _pair(made: Summary, a: str, b: str) -> str:
    pair = made.pair(a, b)
    if pair is None:
        return '<td class="self">·</td>'
    wins = pair.wins.value if pair.a == a else 1 - pair.wins.value
    text = f"{wins:.0%}" + (" ●" if pair.separated else "")
    about = f"p = {pair.p:.2g}, corrected for all pairs"
    if math.isfinite(pair.ratio.value):
        kind = "difference" if pair.is_difference else "ratio"
        about = f"{kind} of losses, {pair.b} to {pair.a}: {words.interval(pair.ratio)}; {about}"
    return f'<td class="{"sure" if pair.separated else ""}" title="{escape(about)}">{text}</td>'


def _more(results: Results, made: Summary) -> str:
    """Ranks, defaults, robustness, generalisation, cost."""
    described = {c["name"]: c for c in results.contenders}

    def cells(row: Row) -> tuple[str, ...]:
        rank = row.rank
        decades = row.robust_decades
        return (
            f"{rank.value:g} ({rank.low:g} to {rank.high:g})" if math.isfinite(rank.value) else "–",
            words.interval(row.defaults_loss),
            f"×{10**decades:.2g}" if math.isfinite(decades) else "–",
            words.interval(row.gap),
            f"{row.seconds_to_target:.2g} s" if math.isfinite(row.seconds_to_target) else "–",
            "–" if described[row.name]["state_bytes"] is None else f"{described[row.name]['state_bytes']:.3g} B",
        )

    headings = (
        *("optimizer", "rank", "loss with defaults", "lr within 10%", "valid. − train."),
        *("to target", "state"),
    )
    note = (
        "Rank by mean loss, and the ranks that the separated pairs leave open. Loss with all hyperparameters at the "
        "rule's defaults, untuned. The "
        "factor of learning rates over which the loss stays within 10% of the best. Validation loss less training loss "
        "at the end. Seconds of training until the target. State: bytes for each float32 parameter, on average over "
        "the task's model."
    )
    lines = [(_name(results, r.name), cells(r)) for r in made.rows]
    return f'<h2>More numbers</h2>{rows(headings, lines)}<p class="note">{note}</p>'


def _equations(results: Results) -> str:
    parts = ["<h2>The equations</h2>", '<div class="equations">']
    for c in results.contenders:
        fixed = f" With {escape(words.hyper(c['fixed']))}." if c["fixed"] else ""
        fixed += f" Schedule: {escape(c['schedule'])}." if c.get("schedule") else ""
        parts.append(
            f"<section><h3>{_name(results, c['name'])}</h3>{_parts(c)}{c['mathml']}"
            f'<p class="note">{escape(c["title"])}. {escape(c["paper"])}{fixed}<br>{escape(words.searched(c))}</p>'
            "</section>"
        )
    return "\n".join([*parts, "</div>"])


def _parts(contender: Mapping[str, Any]) -> str:
    """What follows what, where a contender has a rule for each role of the parameters."""
    lines = [(escape(role), (recipe,)) for role, recipe in contender.get("parts", {}).items()]
    return rows(("role", "follows"), lines, "narrow") if lines else ""


def _files(results: Results) -> str:
    files = results.task.get("files")
    if not files:
        return ""
    text = f"Runs are used again as long as these files of the task don't change: {', '.join(files)}."
    return f"<p>{escape(text)}</p>"


def _failures(results: Results) -> str:
    failed = [r for r in results.records if r.status == FAILED]
    if not failed:
        return ""
    first = failed[0]
    return (
        f"<h2>Failed runs</h2>{_warning(f'{len(failed)} runs failed; the first one, of {first.settings.contender}:')}"
        f"<pre>{escape(first.message)}</pre>"
        + (f"<p>What it printed, at its end:</p><pre>{escape(first.output)}</pre>" if first.output.strip() else "")
    )
