"""Sphinx's configuration of the site: docs/ as it stands, and the API from the docstrings. `make site` builds it.

It needs no network when it is read: formulas become MathML, which browsers set by themselves, and the search's index is
a script, so that all of it works from a folder too.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

import ravine

project = "Ravine"
author = "The Ravine developers"
release = version = ravine.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["architecture.md"]  # for those who change the code
default_role = "code"
suppress_warnings = ["toc.not_included"]  # a new page is found by the search, and by links, at once

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True, "no-value": True, "exclude-members": "table"}
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = f"Ravine {release}"
html_show_sourcelink = False
html_copy_source = False
html_show_copyright = False
html_show_search_summary = False  # it would be fetched, which a browser refuses on the disk
html_theme_options = {"navigation_with_keys": True}

QUOTED = re.compile(r"(`+[^`]+`+)")


def as_markup(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are prose with code in backticks: no other character has a meaning."""
    for i, line in enumerate(lines):
        parts = QUOTED.split(line)
        lines[i] = "".join(p if p.startswith("`") else re.sub(r"([*|\\]|_(?=\W|$))", r"\\\1", p) for p in parts)


def without_files(app: Sphinx, page: str, source: list[str]) -> None:
    """A link to a file of the repository that is no page: its text is left."""
    source[0] = re.sub(r"\[([^\]]+)\]\(\.\./[^)]+\)", r"\1", source[0])


def inline(self: Any, node: nodes.math) -> None:
    """A formula in the text."""
    self.body.append(convert(node.astext()))
    raise nodes.SkipNode


def block(self: Any, node: nodes.math_block) -> None:
    """A formula of its own, which is scrolled where it is too wide."""
    text = node.astext().replace("{aligned}", "{align*}")  # the name that the converter knows
    self.body.append(f'<div class="math" style="overflow-x: auto">{convert(text, display="block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """What Sphinx calls."""
    app.connect("source-read", without_files)
    app.connect("autodoc-process-docstring", as_markup)
    app.add_html_math_renderer("mathml", (inline, None), (block, None))


html_math_renderer = "mathml"
