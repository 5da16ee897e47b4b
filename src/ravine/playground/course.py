"""The course as pages: text and a still for everybody, the live playground in its place where scripts run.

`python -m ravine.playground.course FOLDER` writes FOLDER/course/, which links to FOLDER/playground.html.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import sys
from html import escape
from pathlib import Path
from typing import Any

from ravine.playground.lessons import LESSONS, Lesson
from ravine.playground.presets import PRESETS
from ravine.playground.scene import scene, view
from ravine.simulate import figures
from ravine.simulate.runs import Run
from ravine.trace.text import TextPrinter

STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 54rem; padding: 1.2rem; font: 1.05rem/1.6 system-ui, sans-serif;
  color: light-dark(#1c2126, #e7e9ea); background: light-dark(#fcfcfa, #15181b); }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .4rem 0 1rem; }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .3rem; }
p { margin: .4rem 0 .8rem; max-width: 44rem; }
a { color: light-dark(#0b5394, #8ec5ff); }
nav { display: flex; flex-wrap: wrap; gap: .4rem 1.4rem; font-size: .95rem; }
figure { margin: 1rem 0; }
figure svg { width: 100%; height: auto; background: #fff; border-radius: 8px; }
iframe { width: 100%; height: var(--whole, 46rem); }
iframe { border: 1px solid light-dark(#e2e3df, #2c3238); border-radius: 10px; }
@media (max-width: 44rem) { iframe { height: min(46rem, 88svh); } }
.predict { border-left: 4px solid light-dark(#2a7fc1, #3f94d6); padding-left: .9rem; font-size: 1.15rem; }
details { margin: .6rem 0 1.6rem; }
summary { cursor: pointer; font-weight: 600; padding: .3rem 0; }
figcaption, .note { font-size: .9rem; color: light-dark(#5d666f, #9aa3ab); }
ol { padding-left: 1.4rem; }
li { margin: .35rem 0; }
@media print {
  body { font-size: 10.5pt; line-height: 1.5; padding: 0; }
  iframe, nav, .note { display: none; }
  h2 { break-after: avoid; }
  h2:last-of-type + p { break-after: avoid; }
  figure[hidden] { display: block !important; }
  details::details-content { content-visibility: visible; }
  summary { list-style: none; }
}
"""
SCRIPT = """
const still = document.querySelector("figure");
const live = document.createElement("iframe");
live.src = still.dataset.live;
live.title = "The playground with this lesson's scenario";
still.before(live);
still.hidden = true;
addEventListener("message", ({ source, data }) => {
  const height = data?.ravine?.height;
  const isItsOwn = source === live.contentWindow && height > 0 && height < 6000;
  if (isItsOwn) live.style.setProperty("--whole", `${height + 12}px`);
});
"""

_LINK = re.compile(r"\[([^]]+)\]\(([^)]+)\)")


def write(folder: Path) -> list[Path]:
    """Write the course below a folder, and return its pages. Raises ValueError where a lesson's numbers don't hold."""
    target = folder / "course"
    target.mkdir(parents=True, exist_ok=True)
    pages = {"index": index(), **{lesson.name: page(lesson) for lesson in LESSONS}}
    for name, text in pages.items():
        (target / f"{name}.html").write_text(text, encoding="utf-8", newline="\n")
    return [target / f"{name}.html" for name in pages]


def page(lesson: Lesson) -> str:
    """A lesson's page, its numbers computed. Raises ValueError where they don't bear out its text."""
    preset = next(p for p in PRESETS if p.name == lesson.preset)
    runs = scene(preset.link)
    numbers = lesson.numbers(runs)
    if not lesson.holds(numbers):
        raise ValueError(f"lesson {lesson.name}: its text does not hold for {numbers}")

    k = LESSONS.index(lesson)
    whole = f"../playground.html#preset={lesson.preset}&t=0"
    live = escape(whole.replace("#", "?embed#"))

    def say(text: str) -> str:
        return _LINK.sub(r'<a href="\2">\1</a>', escape(text.format(**numbers, whole=whole)))

    around = [
        f'<a href="{LESSONS[k - 1].name}.html" rel="prev">← {escape(LESSONS[k - 1].title)}</a>' if k else "",
        '<a href="index.html">The course</a>',
        f'<a href="{LESSONS[k + 1].name}.html" rel="next">{escape(LESSONS[k + 1].title)} →</a>'
        if k + 1 < len(LESSONS)
        else "",
    ]
    links = f"<nav aria-label='{{}}'>{' '.join(a for a in around if a)}</nav>"
    body = f"""{links.format("Lessons")}
<main>
<h1>{k + 1}. {escape(lesson.title)}</h1>
<h2>Predict</h2>
<p class="predict">{say(lesson.predict)}</p>
<h2>Play</h2>
<p>{say(lesson.play)}</p>
<figure data-live="{live}">{still(runs, view(preset.link))}
<figcaption>{escape(preset.title)}, after all steps.</figcaption></figure>
<p class="note"><a href="{escape(whole)}">The whole playground with this scenario</a></p>
<h2>Explain</h2>
{"".join(f"<p>{say(text)}</p>" for text in lesson.explain)}
<h2>A question</h2>
<p>{say(lesson.question)}</p>
<details><summary>Answer</summary><p>{say(lesson.answer)}</p></details>
</main>
{links.format("Lessons again")}
<script>{SCRIPT}</script>"""
    return _document(f"{lesson.title} – a course on optimizers", body)


def index() -> str:
    """The course's first page: the lessons in order."""
    items = "".join(f'<li><a href="{x.name}.html">{escape(x.title)}</a></li>' for x in LESSONS)
    return _document(
        "A course on optimizers",
        f"""<nav aria-label="Site"><a href="../index.html">Ravine</a> <a href="../playground.html">Playground</a></nav>
<main>
<h1>A course on optimizers</h1>
<p>Ten short pages from gradient descent to Adam. Each asks you to predict, lets you play with a picture that computes
while you look, and explains what you saw. Every number on them is computed when the page is made, and its sentence
checked.</p>
<ol>{items}</ol>
</main>""",
    )


def still(runs: list[Run], own: Any = None) -> str:
    """The runs' paths as an SVG: what the live picture shows at its end, in a view of its own if it has one."""
    with figures.look():
        from matplotlib.figure import Figure

        made = Figure(figsize=(9, 4.4))
        axes = made.subplots()
        surface = runs[0].surface
        for k, r in enumerate(runs):
            variant = sum(other.rule.name == r.rule.name for other in runs[:k])
            look, label = figures.style(r.rule.name, variant), _label(r, runs)
            if surface.dimension == 2:
                figures.trail(axes, r.x, look, label)(r.steps)
            else:
                figures.curve(axes, r.x[:, 0], look, label)(r.steps)
        if surface.dimension == 2:
            figures.terrain(axes, surface, figures.view(surface, [r.x for r in runs], own))
            axes.set_aspect("equal")
        else:
            axes.set(xlabel="step", ylabel="x")
        made.legend(loc="outside lower center", ncols=3)
        text = io.StringIO()
        made.savefig(text, format="svg", dpi=110, metadata={"Date": None})
    svg = text.getvalue()
    names = ", ".join(dict.fromkeys(r.rule.title for r in runs))
    return svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="Paths of {escape(names)}"', 1)


def _label(r: Run, runs: list[Run]) -> str:
    """A run's title, with the knobs in which it differs from others of its rule."""
    twins = [other for other in runs if other.rule.name == r.rule.name]
    differing = [n for n in r.hyper if len({twin.hyper[n] for twin in twins}) > 1]
    printer = TextPrinter()
    return ", ".join([r.rule.title, *(f"{printer.name(n)} {r.hyper[n]:g}".replace("e-0", "e-") for n in differing)])


def _document(title: str, body: str) -> str:
    """A page that fetches nothing but the playground beside it, and runs no script but the one above."""
    digest = "sha256-" + base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self' file:; script-src '{digest}'"
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""


if __name__ == "__main__":
    write(Path(sys.argv[1]))
