"""The scenarios of the playground: each is a link's text, and some sentences on what to look for."""

from __future__ import annotations

from ravine.playground.presets.bowls import BOWLS
from ravine.playground.presets.data import DATA
from ravine.playground.presets.ground import GROUND
from ravine.playground.presets.knobs import KNOBS
from ravine.playground.presets.preset import Preset
from ravine.playground.presets.slopes import SLOPES

__all__ = ["BASIC", "GROUPS", "PRESETS", "Preset"]

GROUPS = {"Bowls": BOWLS, "Slopes": SLOPES, "Knobs": KNOBS, "Real data": DATA, "Other ground": GROUND}
"""The menu of scenarios."""

PRESETS = tuple(preset for group in GROUPS.values() for preset in group)
"""In the order of the menu; the first is what opens."""

BASIC = ("gd", "momentum", "nesterov", "adagrad", "rmsprop", "rmsprop_momentum", "adadelta", "adam", "adamw")
"""What comes first in the menu of optimizers: those of the textbooks."""
