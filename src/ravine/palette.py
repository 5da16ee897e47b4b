"""One look for each optimizer, the same in every picture, page and terminal.

The colours are Okabe & Ito's (2008), safe for colour-blind eyes, with their black and yellow replaced by a grey and a
brown that can be read on white and on black; dashes tell apart the rules that share one.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

COLORS = {
    "grey": "#666666",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "brown": "#806533",
    "blue": "#2A7FC1",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
}

DARK = COLORS | {"grey": "#C8C8C8", "brown": "#A5874E", "blue": "#3F94D6", "vermilion": "#E8690A"}
"""The same on a dark ground, lighter where the four darkest would be hard to see."""


CASING = "#333333"
"""What goes around a line whose colour is hard to see on white."""
LEAST_CONTRAST = 3.0
"""Between a line and its ground: WCAG 2.2, 1.4.11."""


class Style(NamedTuple):
    """A colour as #RRGGBB, and a dash pattern in line widths (empty: solid), as in SVG and Matplotlib."""

    color: str
    dash: tuple[float, ...]


SOLID, DASHED, DOTTED, DASHDOT = (), (5.0, 2.0), (1.5, 1.5), (6.0, 2.0, 1.5, 2.0)
DASHES = (SOLID, DASHED, DOTTED, DASHDOT)

_ALL = [Style(color, dash) for dash in (DASHED, DOTTED, DASHDOT) for color in COLORS.values()]
"""What names without a style of their own are given; solid lines are for those that have one."""

_CHOSEN = {
    "gd": ("grey", SOLID),
    "momentum": ("sky", SOLID),
    "momentum_ema": ("sky", DASHED),
    "momentum_torch": ("sky", DOTTED),
    "nesterov": ("blue", SOLID),
    "nesterov_torch": ("blue", DOTTED),
    "adagrad": ("brown", SOLID),
    "adadelta": ("purple", SOLID),
    "rmsprop": ("orange", SOLID),
    "rmsprop_torch": ("orange", DOTTED),
    "rmsprop_centered": ("orange", DASHED),
    "rmsprop_torch_centered": ("orange", DASHDOT),
    "rmsprop_momentum": ("vermilion", SOLID),
    "rmsprop_momentum_centered": ("vermilion", DASHED),
    "rmsprop_torch_momentum": ("vermilion", DOTTED),
    "rmsprop_torch_momentum_centered": ("vermilion", DASHDOT),
    "rmsprop_nesterov": ("purple", DASHED),
    "rmsprop_nesterov_centered": ("purple", DASHDOT),
    "adam": ("green", SOLID),
    "adamw": ("green", DASHED),
    "adam_eps_hat": ("green", DOTTED),
    "adam_uncorrected": ("grey", DASHDOT),
    "amsgrad": ("green", DASHDOT),
    "nadam": ("blue", DASHED),
    "radam": ("blue", DASHDOT),
    "adamax": ("brown", DASHED),
    "lion": ("grey", DASHED),
}


def style(name: str) -> Style:
    """The style of a rule by name; a rule of the user's own gets one by a hash of its name, so always the same."""
    if name in _CHOSEN:
        color, dash = _CHOSEN[name]
        return Style(COLORS[color], dash)
    return _ALL[zlib.crc32(name.encode()) % len(_ALL)]


def styles(names: Sequence[str]) -> dict[str, Style]:
    """The styles of what is seen together. As each has alone, but those whose style comes from a hash give way: to a
    colour that nobody has, or where all are taken to dashes that nobody has in that colour."""
    found = {n: style(n) for n in names if n in _CHOSEN}
    for name in names:
        if name not in found:
            first = _ALL.index(style(name))
            free = [s for s in _ALL[first:] + _ALL[:first] if s not in found.values()]
            colors = {s.color for s in found.values()}
            found[name] = next((s for s in free if s.color not in colors), free[0] if free else style(name))
    return found


def contrast(color: str, ground: str = "#FFFFFF") -> float:
    """The contrast ratio of two colours (WCAG 2.2), from 1 to 21."""
    low, high = sorted(map(_luminance, (color, ground)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def on_paper(style: Style, width: float = 1.5) -> dict[str, Any]:
    """A style as Matplotlib takes it for lines and marks on white; a light colour gets a casing."""
    from matplotlib.patheffects import Normal, Stroke

    color, dash = style
    light = contrast(color) < LEAST_CONTRAST
    cased = {"path_effects": [Stroke(linewidth=width + 1, foreground=CASING), Normal()]} if light else {}
    return {"color": color, "linestyle": (0, dash) if dash else "solid", **cased}
