"""One run: settings in, a record out. An exception in the task is a failed run, not the end of the comparison."""

from __future__ import annotations

import contextlib
import math
import traceback
from collections.abc import Callable, Sequence

from ravine.lab.making import maker
from ravine.lab.records import DIVERGED, FAILED, FINISHED, PRUNED, Record, Settings
from ravine.lab.reporter import Reporter, StopRun, Tail
from ravine.lab.search import judge
from ravine.lab.task import Trainable

TRACEBACK_CHARACTERS = 8000


def run(load: Callable[[], Trainable], settings: Settings, rivals: Sequence[Record] = ()) -> Record:
    """Load a task and train it as `settings` say, stopped early where it does worse than its `rivals`. What goes wrong
    in the task's code is in the record."""
    make_optimizer, output = maker(settings), Tail()
    is_to_stop = judge(rivals, settings.steps) if rivals else lambda step, loss: False
    report = Reporter(is_to_stop, make_optimizer.at_report)
    status, message, schedule = FINISHED, "", ""
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
        status, message = FAILED, traceback.format_exc()[-TRACEBACK_CHARACTERS:]
    if report.is_pruned:
        status = PRUNED
    elif status == FINISHED and diverged(report.columns["loss"]):
        status = DIVERGED
    return Record(
        settings,
        status,
        report.columns,
        message,
        report.timing,
        schedule=schedule,
        rates=report.rates,
        output=output.text,
    )


def diverged(losses: list[float]) -> bool:
    """Whether the last loss is not finite, or worse than the first."""
    return not math.isfinite(losses[-1]) or (len(losses) > 1 and losses[-1] > losses[0])
