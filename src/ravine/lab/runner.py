"""One run: settings in, a record out. An exception in the task is a failed run, not the end of the comparison."""

from __future__ import annotations

import contextlib
import io
import math
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ravine
from ravine.lab.records import DIVERGED, FAILED, FINISHED, LINEAR, PRUNED, Record, Settings
from ravine.lab.search import judge
from ravine.lab.task import Trainable

TRACEBACK_CHARACTERS = 8000


class StopRun(BaseException):
    """Raised out of `report` to end a run; not an Exception, so that a task's `except Exception` lets it through."""


class Reporter:
    """The `report` function of a run: collects the curve, and ends the run when the loss is not finite or when
    `is_to_stop(step, loss)`: then it was pruned."""

    def __init__(self, on_report: Callable[[int], None], is_to_stop: Callable[[int, float], bool]) -> None:
        self.columns: dict[str, list[float]] = {"step": [], "loss": []}
        self.timing: list[float] = []
        self.on_report, self.is_to_stop = on_report, is_to_stop
        self.is_pruned = False
        self._began = time.perf_counter()

    def __call__(
        self,
        step: int,
        loss: float,
        *,
        accuracy: float | None = None,
        train_loss: float | None = None,
        seconds: float | None = None,
    ) -> None:
        """One measurement after `step` steps. `seconds`, if not given, is the time since the run began."""
        self.timing.append(time.perf_counter() - self._began if seconds is None else float(seconds))
        values = {"step": int(step), "loss": float(loss), "train_loss": train_loss, "accuracy": accuracy}
        given = {n: v for n, v in values.items() if v is not None}
        if self.columns["step"] and given.keys() != self.columns.keys():
            raise ValueError(f"report() was given {sorted(self.columns)} before and {sorted(given)} now")
        if self.columns["step"] and step <= self.columns["step"][-1]:
            raise ValueError(f"report() was called for step {step} after step {self.columns['step'][-1]}")
        for name, value in given.items():
            self.columns.setdefault(name, []).append(float(value) if name != "step" else value)
        self.on_report(step)
        if not math.isfinite(loss):
            raise StopRun
        if self.is_to_stop(int(step), float(loss)):
            self.is_pruned = True
            raise StopRun


def run(
    load: Callable[[], Trainable],
    settings: Settings,
    on_report: Callable[[int], None] = lambda step: None,
    rivals: Sequence[Record] = (),
) -> Record:
    """Load a task and train it as `settings` say, stopped early where it does worse than its `rivals`. What goes wrong
    in the task's code is in the record."""
    report = Reporter(on_report, judge(rivals, settings.steps) if rivals else lambda step, loss: False)
    status, message = FINISHED, ""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # what a task prints would break the progress display
            load().train(_optimizer_maker(settings), settings.seed, report, settings.steps)
        if not report.timing:
            raise RuntimeError(f"task {settings.task} ended without a call of report()")
    except StopRun:
        pass
    except (Exception, SystemExit):
        status, message = FAILED, traceback.format_exc()[-TRACEBACK_CHARACTERS:]
    if report.is_pruned:
        status = PRUNED
    elif status == FINISHED and diverged(report.columns["loss"]):
        status = DIVERGED
    return Record(settings, status, report.columns, message, report.timing)


def diverged(losses: list[float]) -> bool:
    """Whether the last loss is not finite, or worse than the first."""
    return not math.isfinite(losses[-1]) or (len(losses) > 1 and losses[-1] > losses[0])


def _optimizer_maker(settings: Settings) -> Callable[[Iterable[Any]], Any]:
    """What a task calls with its parameters: an optimizer that follows the settings, its learning rate the schedule."""

    def make_optimizer(params: Iterable[Any]) -> Any:
        optimizer = ravine.recipe(settings.rule).replace(**settings.hyper).torch(params)
        if settings.schedule == LINEAR:
            _decay_linearly(optimizer, settings.steps)
        return optimizer

    return make_optimizer


def _decay_linearly(optimizer: Any, steps: int) -> None:
    """Step k of n has the learning rate lr·(1 − k/n), k from 0; a rule without a learning rate is left alone."""
    rates = [(group, group["lr"]) for group in optimizer.param_groups if "lr" in group]
    taken = 0

    def before_step(*_: Any) -> None:
        nonlocal taken
        for group, rate in rates:
            group["lr"] = rate * max(0.0, 1 - taken / steps)
        taken += 1

    optimizer.register_step_pre_hook(before_step)
