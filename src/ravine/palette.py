"""One look for each optimizer, the same in every picture, page and terminal.

The colours are Okabe & Ito's (2008), safe for colour-blind eyes, with their black and yellow replaced by a grey and a
brown that can be read on white and on black; dashes tell apart the rules that share one.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

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


class Style(NamedTuple):
    """A colour as #RRGGBB, and a dash pattern in line widths (empty: solid), as in SVG and Matplotlib."""

    color: str
    dash: tuple[float, ...]


SOLID, DASHED, DOTTED, DASHDOT = (), (5.0, 2.0), (1.5, 1.5), (6.0, 2.0, 1.5, 2.0)
DASHES = (SOLID, DASHED, DOTTED, DASHDOT)

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
    number = zlib.crc32(name.encode())
    dashes = (DASHED, DOTTED, DASHDOT)
    return Style(list(COLORS.values())[number % len(COLORS)], dashes[number // len(COLORS) % len(dashes)])
