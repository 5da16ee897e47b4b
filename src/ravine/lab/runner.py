"""One run: settings in, a record out. An exception in the task is a failed run, not the end of the comparison."""

from __future__ import annotations

import contextlib
import math
import traceback
from collections.abc import Callable, Sequence

from ravine.lab import batched
from ravine.lab.making import maker
from ravine.lab.records import DIVERGED, FAILED, FINISHED, PRUNED, TUNING, Record, Settings
from ravine.lab.reporter import Reporter, StopRun, Tail
from ravine.lab.scheduler import OptimizerMaker
from ravine.lab.search import judge
from ravine.lab.task import Task, Trainable

TRACEBACK_CHARACTERS = 8000


def run(load: Callable[[], Trainable], settings: Settings, rivals: Sequence[Record] = ()) -> Record:
    """Load a task and train it as `settings` say, stopped early where it does worse than its `rivals`. What goes wrong
    in the task's code is in the record."""
    make_optimizer, output = maker(settings), Tail()
    report = _reporter(settings, rivals, make_optimizer)
    failure, schedule = "", ""
    try:
        # What a task prints would break the progress display.
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            load().train(make_optimizer, settings.seed, report, settings.steps)
        if not report.timing:
            raise RuntimeError(f"task {settings.task} ended without a call of report()")
        schedule = make_optimizer.departure
    except StopRun:
        pass
    except (Exception, SystemExit):
        failure = traceback.format_exc()[-TRACEBACK_CHARACTERS:]
    return _record(settings, report, schedule, failure, output.text, "")


def run_batch(
    load: Callable[[], Trainable], batch: Sequence[Settings], rivals: Sequence[Sequence[Record]]
) -> list[Record]:
    """Train several runs of one task and length, each as `run` would: together where the task can be batched, one by
    one where it can't or where that goes wrong."""
    with contextlib.suppress(Exception):
        task = load()
        if batched.most(task) > 1:
            assert isinstance(task, Task)
            output, makers = Tail(), [maker(s) for s in batch]
            reporters = [_reporter(s, r, m) for s, r, m in zip(batch, rivals, makers, strict=True)]
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                departures = batched.train(task, batch[0].steps, [s.seed for s in batch], makers, reporters)
            return [
                _record(s, r, d, "", output.text, batched.ENGINE)
                for s, r, d in zip(batch, reporters, departures, strict=True)
            ]
    return [run(load, s, r) for s, r in zip(batch, rivals, strict=True)]


def _reporter(settings: Settings, rivals: Sequence[Record], make_optimizer: OptimizerMaker) -> Reporter:
    is_to_stop = judge(rivals, settings.steps) if rivals else lambda step, loss: False
    return Reporter(is_to_stop, make_optimizer.at_report, wants_test=settings.stage != TUNING)


def _record(settings: Settings, report: Reporter, schedule: str, failure: str, output: str, engine: str) -> Record:
    if report.is_pruned:
        status = PRUNED
    elif failure:
        status = FAILED
    else:
        status = DIVERGED if diverged(report.columns["step"], report.columns["loss"]) else FINISHED
    columns, timing, rates = report.columns, report.timing, report.rates
    return Record(settings, status, columns, failure, timing, schedule, rates, output, engine, report.tested)


def diverged(steps: Sequence[float], losses: Sequence[float]) -> bool:
    """Whether the last loss is not finite, or worse than before the first step, if it was measured then."""
    return not math.isfinite(losses[-1]) or (steps[0] == 0 and losses[-1] > losses[0])
