"""Numbers and names as people read them; shared by the terminal, the page and the figures."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from ravine.lab.results import Results
from ravine.lab.statistics import Interval
from ravine.lab.summary import Row, Summary

HEADINGS = ("optimizer", "tuned", "final loss", "accuracy", "steps to target", "diverged", "ms/step")
"""The columns of the table."""
SHORT_HEADINGS = ("optimizer", "best lr", "final loss", "accuracy %", "to target", "div.", "ms")
"""The same for a terminal of 80 columns."""


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table as text."""
    return (
        row.name,
        best(row),
        interval(row.loss) if row.scored == row.scored_finished else f"{row.scored_finished} of {row.scored} finished",
        interval(row.accuracy, percent=True),
        steps_to_target(row),
        f"{row.diverged_share:.0%}" if math.isfinite(row.diverged_share) else "–",
        number(1000 * row.seconds_per_step),
    )


def short_cells(row: Row) -> tuple[str, ...]:
    """`cells` in as little width as can be."""
    short = [
        c.removeprefix("lr ").replace(" to ", "–").replace(" of ", "/").replace("not reached", "not")
        for c in cells(row)
    ]
    short[3] = re.sub(r"(\d+)\.\d(?=[–)])", r"\1", short[3]).replace("%", "")
    return tuple(short)


def best(row: Row) -> str:
    """The tuned hyperparameters; an asterisk where a better value may lie outside of what was tried."""
    if not row.best and not row.scored:
        return "–"
    values = (f"{n} {number(v)}{'*' if n in row.at_edge else ''}" for n, v in row.best.items())
    return ", ".join(values) or "nothing to tune"


def steps_to_target(row: Row) -> str:
    """The median over the scored runs, and how many got there if not all."""
    if not row.scored:
        return "–"
    if not math.isfinite(row.steps_to_target):
        return f"not reached ({row.reached} of {row.scored})" if row.reached else "not reached"
    some = f" ({row.reached} of {row.scored})" if row.reached < row.scored else ""
    return f"{row.steps_to_target:.0f}{some}"


def interval(value: Interval, percent: bool = False) -> str:
    """Such as 0.124 (0.119 to 0.131), or 97.2% (96.9 to 97.5)."""
    if not math.isfinite(value.value):
        return "–"
    if percent:
        middle = f"{value.value:.1%}"
        ends = f"{100 * value.low:.1f} to {100 * value.high:.1f}"
    else:
        places = decimals(value)
        middle, ends = f"{value.value:.{places}f}", f"{value.low:.{places}f} to {value.high:.{places}f}"
    return f"{middle} ({ends})" if math.isfinite(value.low) else middle


def decimals(value: Interval) -> int:
    """Places that show the interval's width with one or two digits, or without one the value with three."""
    width = value.high - value.low
    smallest = width / 5 if math.isfinite(width) and width > 0 else abs(value.value) / 100
    return min(6, max(0, math.ceil(-math.log10(smallest)))) if smallest > 0 else 0


def number(value: float) -> str:
    """Two or three significant digits, as 0.0032, 0.32 or 32."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"


def hyper(values: Mapping[str, float]) -> str:
    """Hyperparameters in a line."""
    return ", ".join(f"{n} {v:g}" for n, v in values.items())


def notes(results: Results, made: Summary) -> str:
    """What must be said below the table."""
    text = (
        f"Sorted by final validation loss on {results.protocol.seeds} fresh seeds; in brackets the 95% confidence "
        f"interval of the mean. Target: validation loss {number(made.target)}, the field's median."
    )
    edges = [r.name for r in made.rows if r.at_edge]
    if edges:
        text += (
            f" * The best value tried by {', '.join(edges)} was at the end of its range: a better one may lie outside."
        )
    return text


def method(results: Results, made: Summary) -> list[str]:
    """How it was measured, in paragraphs."""
    p, e = results.protocol, results.environment
    batches, points = results.task["batch_size"], results.task.get("evaluations", 40)
    return [
        f"Every optimizer had {p.trials} tuning trials, each another learning rate: a grid with equal steps in log(lr) "
        "over four decades around the rule's own default, from default/32 to default·316. Every trial was run for "
        f"{p.steps} steps (batches of {batches}) with {p.tuning_seeds} tuning seeds, the same for all. Other "
        "hyperparameters kept their defaults unless the table says otherwise; the learning rate is constant.",
        "The trial with the lowest mean validation loss at its end was run again with "
        f"{p.seeds} fresh seeds, the same for all. A seed decides the model's start and the order of the data. Only "
        "these runs are scored.",
        "A run diverged if its validation loss was not finite, or ended worse than before the first step. Diverged "
        "runs are recorded as such: never left out, never filled up. A mean is given only where all scored runs "
        "finished.",
        f"Steps to target: the first of about {points} measurements at which the validation loss was at most the "
        "target, the median over the fresh seeds. The target is the median of the optimizers' median final losses. "
        "Intervals: bootstrap over seeds, expanded for few values (Hesterberg 2015).",
        f"Ravine {e['ravine']}, torch {e['torch']}, Python {e['python']}, {e['system']}, {e['processor']}; one thread "
        "a run. Time per step is the median over all runs, evaluation not counted; other work on the machine shows "
        "in it.",
    ]
