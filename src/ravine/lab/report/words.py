"""Numbers and names as people read them; shared by the terminal, the page and the figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ravine.lab.protocol import TPE
from ravine.lab.records import TUNING
from ravine.lab.results import Results
from ravine.lab.schedule import SHAPES
from ravine.lab.search import WARM_UP
from ravine.lab.space import COMPLEMENT, EVEN, LOG, Span
from ravine.lab.statistics import SOURCES, Interval
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


def short_table(made: Summary) -> list[tuple[str, ...]]:
    """The headings and the rows for a terminal. Where nothing but the learning rate was tuned, its name is on top."""
    lines = [short_cells(row) for row in made.rows]
    if any(set(row.best) - {"lr"} for row in made.rows):
        return [tuple("tuned" if h == "best lr" else h for h in SHORT_HEADINGS), *lines]
    return [SHORT_HEADINGS, *((name, tuned.removeprefix("lr "), *rest) for name, tuned, *rest in lines)]


def short_cells(row: Row) -> tuple[str, ...]:
    """`cells` in as little width as can be; several tuned hyperparameters below each other."""
    short = [c.replace(", ", "\n").replace(" to ", "–").replace(" of ", "/") for c in cells(row)]
    value, low, high = row.accuracy
    if math.isfinite(value) and "–" in short[3]:  # an interval's ends rounded outwards still hold it
        short[3] = f"{100 * value:.1f} ({math.floor(100 * low)}–{math.ceil(100 * high)})"
    short[3] = short[3].replace("%", "")
    short[4] = short[4].replace("not reached", "not")
    return tuple(short)


def best(row: Row) -> str:
    """The tuned hyperparameters; an asterisk where a better value may lie outside of what was tried."""
    if not row.scored:
        return "–"
    values = (f"{n} {setting(v)}{'*' if n in row.at_edge else ''}" for n, v in row.best.items())
    return ", ".join(values) or "not tuned"


def setting(value: float) -> str:
    """A hyperparameter's value with two significant digits, or where it is near one, two of what it lacks of one."""
    digits = 1 - math.floor(math.log10(1 - value)) if 0.9 < value < 1 else 2
    return f"{value:.{digits}g}"


def searched(contender: Mapping[str, Any]) -> str:
    """Which hyperparameters of a contender were searched and where, in a sentence."""
    said = []
    for name, value in contender["space"].items():
        span = Span(*value)
        how = {LOG: "", COMPLEMENT: f" (even in powers of ten of 1 − {name})", EVEN: " (evenly)"}[span.scale]
        said.append(f"{name} from {setting(span.low)} to {setting(span.high)}{how}")
    return f"Searched: {', '.join(said)}." if said else "Nothing was searched."


def steps_to_target(row: Row) -> str:
    """The mean over the scored runs with its interval, or the median and how many got there if not all."""
    if not row.scored:
        return "–"
    steps, low, high = row.steps_to_target
    if not math.isfinite(steps):
        return f"not reached ({row.reached} of {row.scored})" if row.reached else "not reached"
    if row.reached < row.scored:
        return f"{steps:.0f} ({row.reached} of {row.scored})"
    return f"{steps:.0f} ({low:.0f} to {high:.0f})" if math.isfinite(low) else f"{steps:.0f}"


def interval(value: Interval, percent: bool = False) -> str:
    """Such as 0.124 (0.119 to 0.131), 97.2% (96.9 to 97.5), 2.31e-08 (2.10e-08 to 2.52e-08) or, where it is wide,
    0.08 (0.0012 to 5.3)."""
    if not math.isfinite(value.value):
        return "–"
    if percent:
        middle = f"{value.value:.1%}"
        ends = f"{100 * value.low:.1f} to {100 * value.high:.1f}"
    else:
        middle, low, high = _alike(value)
        ends = f"{low} to {high}"
    return f"{middle} ({ends})" if math.isfinite(value.low) else middle


MOST_PLACES = 6


def _alike(value: Interval) -> list[str]:
    """The value and its ends with the same number of places."""
    if 0 < 10 * value.low < value.high:
        return [number(v) for v in value]
    places = decimals(value)
    if places <= MOST_PLACES or value.value == 0:
        return [f"{v:.{places}f}" for v in value]
    digits = max(0, places + math.floor(math.log10(abs(value.value))))
    return [f"{v:.{digits}e}" for v in value]


def decimals(value: Interval) -> int:
    """Places that show the interval's width with one or two digits, or without one the value with three; and of the
    value never more than five digits, however narrow the interval."""
    width = value.high - value.low
    smallest = width / 5 if math.isfinite(width) and width > 0 else abs(value.value) / 100
    smallest = max(smallest, abs(value.value) / 1e4)
    return max(0, math.ceil(-math.log10(smallest))) if smallest > 0 else 0


def number(value: float) -> str:
    """Two or three significant digits, as 0.0032, 0.32 or 32."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"


def listed(names: Sequence[str]) -> str:
    """Such as: a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def notes(results: Results, made: Summary) -> str:
    """What must be said below the table."""
    text = (
        f"Sorted by {_mean(made)} final {results.measure} over {results.protocol.seeds} repetitions; in brackets its "
        f"95% confidence interval. Target: validation loss {number(made.target)}, {_whose(results)}."
        if results.is_complete
        else f"Not sorted: runs are missing. Target: validation loss {number(made.target)}, {_whose(results)}."
    )
    edges = [r.name for r in made.rows if r.at_edge]
    if edges:
        text += (
            f" * The best value tried by {listed(edges)} was mostly at the end of the range: a better one may lie "
            "outside."
        )
    pruned, trials = (
        sum(v) for v in zip(*((r.pruned, len(results.of(r.name, TUNING))) for r in made.rows), strict=True)
    )
    if pruned:
        text += f" {pruned} of {trials} tuning runs were stopped early; scored runs never are."
    sets = [f" {c['name']} is {c['title']}." for c in results.contenders if c.get("parts")]
    return text + "".join(sets)


def _mean(made: Summary) -> str:
    return "the geometric mean of the" if made.scores.is_log else "the mean"


def _whose(results: Results) -> str:
    return "the field's median" if results.protocol.target is None else "as given"


def method(results: Results) -> list[str]:
    """How it was measured, in paragraphs."""
    p, e, task = results.protocol, results.environment, results.task
    batches = f" (batches of {task['batch_size']})" if task.get("batch_size") else ""
    elsewhere = any(c.get("transferred") for c in results.contenders)
    usual = all(_is_usual(c) for c in results.contenders)
    space = (
        "the learning rate, over four decades around the rule's own default, from default/32 to default·316"
        if usual
        else "given below each optimizer's equation: what is searched, and from where to where"
    )
    chosen = "each with another point of its search space, spread evenly in powers of ten (a Sobol sequence)"
    if p.search == TPE:
        chosen += (
            f", the first {p.first} of them; the others were asked of Optuna one by one, given the ones before "
            "(tree-structured Parzen estimator, Bergstra et al. 2011)"
        )
    stopped = (
        f" Of each tuning the first {p.first} trials ran whole; another one was stopped as soon as, after the first "
        f"{WARM_UP:.0%} of its steps, its best validation loss so far was above the median of theirs at that step "
        "(Optuna's median rule, Golovin et al. 2017)."
        if p.prune and not elsewhere
        else ""
    )
    if p.prune and p.run_seconds and not elsewhere:
        stopped += (
            f" That was decided before any of them ran, because the first run that finished took {p.run_seconds:.0f} s."
        )
    rate = SHAPES[p.schedule] + (f", after a warm-up of {p.warmup:g} (a share below 1, else steps)" if p.warmup else "")
    rate += f"; gradients are clipped to a norm of {p.clip_norm:g}" if p.clip_norm else ""
    return [
        f"Everything was done {p.seeds} times over, each time with two new seeds that are the same for all optimizers. "
        + (
            f"Nothing was tuned here: a run of {p.steps} steps{batches} has the hyperparameters that the same "
            f"repetition chose at the smallest size of the task, by {p.trials} runs of each optimizer there. "
            if elsewhere
            else f"In each repetition an optimizer is tuned: {p.trials} runs of {p.steps} steps{batches} with the "
            f"first seed, {chosen}. The space is {space}; all else keeps its default unless the table says otherwise. "
        )
        + f"During a run the learning rate {rate}.{stopped}",
        ("It has" if elsewhere else "The point with the lowest validation loss at its end is run with")
        + " the second seed, and only that run is scored. So the spread holds the luck of tuning as well as that of "
        "training. A seed decides the model's start and the order of the data.",
        "A run diverged if its validation loss was not finite, or ended worse than before the first step. Diverged "
        "runs are recorded as such: never left out, never filled up. A mean is given only where all scored runs "
        "finished.",
        "Order, tests and percentages go by one measure, the mean over the repetitions of the final loss's logarithm "
        "(of the loss itself where some are not positive). A run that did not finish counts as worse than any that "
        "did, by so much that whoever has more of them comes later.",
        "Steps to target: the first measurement at which the validation loss was at most the target; the geometric "
        "mean over the repetitions, or the median where some did not get there, which count as the slowest. The target "
        + ("is the median of the optimizers' median final losses." if p.target is None else "was given."),
        f"Intervals: {SOURCES['interval']}. Separated or not, at the 5% level: {SOURCES['separation']}. Probability "
        f"that one beats the other: {SOURCES['probability']}. Ranks: {SOURCES['rank']}. The protocol: "
        f"{SOURCES['protocol']}.",
        *looked(results),
        f"Ravine {e['ravine']}, torch {e['torch']}, Python {e['python']}, {e['system']}, {e['processor']}; one thread "
        "a run. Time per step is the median over all runs, evaluation not counted; other work on the machine shows "
        "in it.",
    ]


def looked(results: Results) -> list[str]:
    """When the results were looked at, if that was done more than once."""
    looks = results.protocol.looks
    if not looks:
        return []
    times = listed([f"{look.repetitions} ({look.share:.0%})" for look in looks])
    return [
        f"The results were looked at, with the right to stop, after repetitions {times}; in brackets the share of the "
        "5% that was spent then (Bonferroni), so that looking more than once does not find what is not there."
    ]


def _is_usual(contender: Mapping[str, Any]) -> bool:
    """Whether nothing but the learning rate was searched, where it is searched unless told otherwise."""
    space, default = contender["space"], contender["defaults"].get("lr", math.nan)
    return not space or (list(space) == ["lr"] and math.isclose(Span(*space["lr"]).low, default * 10**-1.5))


def hyper(values: Mapping[str, float]) -> str:
    """Hyperparameters in a line."""
    return ", ".join(f"{n} {v:g}" for n, v in values.items())
