"""What a link of the playground shows, run by the reference: for stories, lessons and their checks."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import numpy as np

from ravine.simulate.noise import Noise
from ravine.simulate.runs import Run, run
from ravine.simulate.surfaces import SURFACES


def scene(link: str) -> list[Run]:
    """The runs of a link that names a surface and optimizers, in its order."""
    fields = parse_qs(link)
    given = dict(p.split(":") for p in fields.get("param", []))
    surface = SURFACES[fields["surface"][0]].with_parameters(**{k: float(v) for k, v in given.items()})
    start = [float(v) for v in fields["start"][0].split(",")] if "start" in fields else None
    noise = None
    if "noise" in fields:
        kind, scale, seed = fields["noise"][0].split(",")
        noise = Noise(kind, float(scale), seed=int(seed))
    runs = []
    for text in fields["opt"]:
        name, *settings = text.split(",")
        hyper: dict[str, Any] = {k: float(v) for k, v in (s.split("=") for s in settings)}
        runs.append(run(name, surface, start=start, steps=int(fields["steps"][0]), noise=noise, **hyper))
    return runs


def view(link: str) -> Any:
    """The view that a link names, (2, 2): x from and to, y from and to; None where it names none."""
    named = parse_qs(link).get("view")
    return named and np.array([float(v) for v in named[0].split(",")]).reshape(2, 2)
