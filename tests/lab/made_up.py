"""Comparisons without a run, for the tests of the lab."""

from __future__ import annotations

import math
from collections.abc import Callable

from ravine.lab.contender import Contender, parse
from ravine.lab.protocol import Protocol, missing
from ravine.lab.records import DIVERGED, FINISHED, PRUNED, Record, Settings
from ravine.lab.results import Results

Loss = Callable[[Settings], float | None]


def header(optimizers: str, task: str = "made-up", protocol: Protocol | None = None, tune=None) -> Results:
    """A comparison without records."""
    described = [c.describe() for c in parse(optimizers, tune)]
    about = {"spec": task, "digest": "", "name": task, "title": task, "about": "", "batch_size": 1, "evaluations": 2}
    environment = {"ravine": "0", "torch": "0", "python": "0", "system": "", "processor": ""}
    return Results(about, protocol or Protocol(steps=10, trials=4, seeds=3), described, environment, [])


def make_up(optimizers: str, loss: Loss, task: str = "made-up", protocol: Protocol | None = None, tune=None) -> Results:
    """Results of a whole comparison, as if every run had ended with `loss(settings)`; infinite: it diverged; None:
    it was stopped early."""
    results = header(optimizers, task, protocol, tune)
    for c in results.contenders:
        contender = Contender(c["name"], c["rule"], c["fixed"])
        results.records.extend(finish(results.protocol, contender, c["space"], [], loss))
    return results


def finish(protocol: Protocol, contender: Contender, space, records: list[Record], loss: Loss) -> list[Record]:
    """The records, and those of the runs that are missing."""
    records = list(records)
    while ready := missing(protocol, "made-up", contender, space, records)[0]:
        records += [record(s, loss(s)) for s in ready]
    return records


def record(settings: Settings, loss: float | None) -> Record:
    """A run from loss 2 to `loss` in a straight line, or one that broke off."""
    if loss is None:
        curve = {"step": [0, 5], "loss": [2.0, 1.9], "accuracy": [0.1, 0.1], "train_loss": [2.0, 1.9]}
        return Record(settings, PRUNED, curve, timing=[0.0, 0.005])
    if math.isinf(loss):
        return Record(settings, DIVERGED, {"step": [0, 5], "loss": [2.0, math.nan]}, timing=[0.0, 0.005])
    middle = (2 + loss) / 2
    curve = {"step": [0, 5, 10], "loss": [2.0, middle, loss], "accuracy": [0.1, 0.5, 0.9]}
    curve["train_loss"] = [2.0, middle, loss - 0.01]
    return Record(settings, FINISHED, curve, timing=[0.0, 0.005, 0.01])


class MadeUpPool:
    """Runs end at once, in this process."""

    def __init__(self, workers: int = 1, after=lambda: None) -> None:
        self.workers, self.after, self.started = workers, after, []
        self.waiting = []

    @property
    def busy(self):
        return self.waiting

    @property
    def has_room(self):
        return len(self.waiting) < self.workers

    def open(self):
        pass

    def close(self):
        self.waiting = []

    def start(self, batch, rivals=None):
        self.started += batch
        self.waiting += batch

    def wait(self, seconds):
        ended, self.waiting = [record(s, 0.5) for s in self.waiting], []
        self.after()
        return ended
