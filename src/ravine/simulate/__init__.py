"""Optimizers on surfaces: exact runs, many at once, and the scenarios that explain the family."""

from ravine.simulate.functions import from_function
from ravine.simulate.noise import Noise
from ravine.simulate.problems import PROBLEMS
from ravine.simulate.runs import Run, final, run
from ravine.simulate.surface import Surface, SurfaceGraph
from ravine.simulate.surfaces import SURFACES, surface

__all__ = [
    "PROBLEMS",
    "SURFACES",
    "Noise",
    "Run",
    "Surface",
    "SurfaceGraph",
    "final",
    "from_function",
    "run",
    "surface",
]
