"""The playground: one self-contained page (no server, no network) on which optimizers race down a surface.

Its optimizers and surfaces are JavaScript generated from the same graphs as every other engine.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path
from string import Template

from ravine.playground import generate
from ravine.playground.bundle import PAGE, bundle
from ravine.registry import rules
from ravine.rule import Rule
from ravine.trace.graph import CUTS

STYLES = ("base", "layout", "stage", "panels", "inside", "narrow", "embed", "print")
"""The parts of the page's style, in `page/style`: a later one overrides earlier ones."""


def html(extra: Iterable[Rule] = ()) -> str:
    """The page as text: every rule of the family, and `extra` ones of your own."""
    body = "html, body { margin: 0; }\n#ravine:not(.embed) { min-height: 100vh; }\n"
    style = body + stylesheet()
    source = "\n" + script("page.js", extra)
    return Template((PAGE / "index.html").read_text(encoding="utf-8")).substitute(
        policy=_policy(source, style), style=style, script=source
    )


def write(path: str | Path, extra: Iterable[Rule] = ()) -> Path:
    """Write the page to a file, whose folder must exist, and return its path."""
    path = Path(path)
    path.write_text(html(extra), encoding="utf-8", newline="\n")
    return path


def script(entry: str, extra: Iterable[Rule] = ()) -> str:
    """The page's modules from `entry` on as one script, with the family's rules and `extra` ones."""
    chosen = family() | {r.name: r for r in extra}
    return bundle(entry, {"generated.js": generate.module(chosen.values())})


def family() -> dict[str, Rule]:
    """The rules that a page of points can show: those that read one element at a time, no rows and columns."""
    return {name: found for name, found in rules().items() if not any(n.op in CUTS for n in found.graph.nodes)}


def stylesheet() -> str:
    """The page's style; everything in it is below `.ravine`."""
    return "\n".join((PAGE / "style" / f"{name}.css").read_text(encoding="utf-8") for name in STYLES)


def _policy(source: str, style: str) -> str:
    """A Content-Security-Policy that runs this very script and style, and loads nothing from anywhere."""

    def digest(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    allowed = f"script-src {digest(source)}; style-src {digest(style)}"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
