"""Optimizers on surfaces: exact runs, many at once, and the scenarios that explain the family."""

from ravine.simulate.surface import Surface, SurfaceGraph
from ravine.simulate.surfaces import SURFACES, surface

__all__ = ["SURFACES", "Surface", "SurfaceGraph", "surface"]
