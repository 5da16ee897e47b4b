"""Comparisons without a run, for the tests of the lab."""

from __future__ import annotations

import math
from collections.abc import Callable

from ravine.lab.contender import parse
from ravine.lab.protocol import Protocol, remaining
from ravine.lab.records import DIVERGED, FINISHED, Record, Settings
from ravine.lab.results import Results


def make_up(
    optimizers: str, loss: Callable[[Settings], float], task: str = "made-up", protocol: Protocol | None = None
) -> Results:
    """Results of a whole comparison, as if every run had ended with `loss(settings)`; infinite: it diverged."""
    protocol = protocol or Protocol(steps=10, trials=4, seeds=3, tuning_seeds=1)
    contenders = parse(optimizers)
    described = [c.describe() for c in contenders]
    results = Results(
        {"name": task, "title": task, "about": "", "batch_size": 1},
        protocol,
        described,
        {"ravine": "0", "torch": "0", "python": "0", "system": "", "processor": ""},
        [],
    )
    spaces = {c["name"]: c["space"] for c in described}
    while ready := remaining(protocol, task, contenders, spaces, results.records)[0]:
        results.records.extend(made_up_record(settings, loss(settings)) for settings in ready)
    return results


def made_up_record(settings: Settings, loss: float) -> Record:
    """A run from loss 2 to `loss` in a straight line, or one that broke off."""
    if math.isinf(loss):
        return Record(settings, DIVERGED, {"step": [0, 5], "loss": [2.0, math.nan]}, timing=[0.0, 0.005])
    curve = {"step": [0, 5, 10], "loss": [2.0, (2 + loss) / 2, loss], "accuracy": [0.1, 0.5, 0.9]}
    return Record(settings, FINISHED, curve, timing=[0.0, 0.005, 0.01])
