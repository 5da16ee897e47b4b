"""The scenarios that explain the family: each a function that gives numbers, claims about them, and a picture."""

from collections.abc import Callable

from ravine.simulate.outcome import Outcome
from ravine.simulate.scenarios.accumulate import accumulate
from ravine.simulate.scenarios.bias import bias
from ravine.simulate.scenarios.bowl import bowl
from ravine.simulate.scenarios.infrequent import infrequent
from ravine.simulate.scenarios.knobs import knobs
from ravine.simulate.scenarios.maps import maps
from ravine.simulate.scenarios.paths import paths
from ravine.simulate.scenarios.turn import turn

SCENARIOS: dict[str, Callable[..., Outcome]] = {
    "accumulate": accumulate,
    "turn": turn,
    "bias": bias,
    "bowl": bowl,
    "knobs": knobs,
    "maps": maps,
    "infrequent": infrequent,
    "paths": paths,
}
"""Every scenario by name."""

__all__ = ["SCENARIOS", "accumulate", "bias", "bowl", "infrequent", "knobs", "maps", "paths", "turn"]
