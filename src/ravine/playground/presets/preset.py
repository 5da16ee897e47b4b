"""What a scenario of the playground is: a link's text, and some sentences on what to look for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote


class Preset(NamedTuple):
    """A scenario: `link` is what stands after # in the address of a page that shows it."""

    name: str
    title: str
    story: str
    link: str


def link(
    surface: str,
    optimizers: list[tuple[str, dict[str, float]]],
    param: Sequence[str] = (),
    charts: Sequence[str] = (),
    **settings: str,
) -> str:
    """The state of a page as the text of a link. The page's state.js reads it."""
    fields = [("surface", surface), *(("param", p) for p in param), *settings.items()]
    fields += [("chart", c) for c in charts]
    for rule, hyper in optimizers:
        fields.append(("opt", ",".join([rule, *(f"{name}={value!r}" for name, value in hyper.items())])))
    return "&".join(f"{key}={quote(value, safe=',:=()')}" for key, value in fields)
