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


def listed(names: Sequence[str]) -> str:
    """Such as: a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def verdict(results: Results, made: Summary) -> list[str]:
    """What came out, in sentences. A difference is claimed only where the seeds separate the two."""
    scored = [r for r in made.rows if r.scored]
    if len(scored) < 2:
        return ["There are not enough finished runs to compare."]
    first, others = scored[0], scored[1:]
    seeds = f"these {results.protocol.seeds} seeds"
    if not math.isfinite(first.loss.value):
        return [f"No optimizer finished all its scored runs; {first.name} did in {first.scored_finished}."]
    apart = [r for r in others if (p := made.pair(first.name, r.name)) and p.separated]
    together = [r for r in others if r not in apart]
    said = [f"{first.name} ended lowest, with a {results.measure} of {interval(first.loss)}."]
    if not apart:
        said.append(f"But {seeds} don't separate it from any of the others.")
    else:
        if together:
            said.append(f"{seeds.capitalize()} don't separate it from {listed([r.name for r in together])}.")
        said.append(f"They do separate it from {listed([_behind(made, first.name, r.name) for r in apart])}.")
    said += [
        f"{r.name} finished {r.scored_finished} of its {r.scored} scored runs."
        for r in scored
        if r.scored_finished < r.scored
    ]
    defaults = [r for r in scored if math.isfinite(r.defaults_loss.value)]
    if defaults:
        untuned = min(defaults, key=lambda r: r.defaults_loss.value)
        said.append(
            f"With default hyperparameters, {untuned.name} ended lowest, with {interval(untuned.defaults_loss)}."
        )
    robust = [r for r in (first, *together) if math.isfinite(r.robust_decades)]  # a flat curve of a bad one is no merit
    if len(robust) > 1:
        widest = max(robust, key=lambda r: r.robust_decades)
        said.append(
            f"Among those not separated from the lowest, the learning rate of {widest.name} may be chosen most freely: "
            f"its loss stays within 10% of its best over a factor of {number(10**widest.robust_decades)}."
        )
    return said


def _behind(made: Summary, first: str, other: str) -> str:
    pair = made.pair(first, other)
    if pair is None or pair.is_difference or not math.isfinite(pair.ratio.value):
        return other
    ratio = pair.ratio.value if pair.a == first else 1 / pair.ratio.value
    return f"{other} ({100 * (ratio - 1):.0f}% higher)" if ratio < 2 else f"{other} ({number(ratio)} times as high)"


def notes(results: Results, made: Summary) -> str:
    """What must be said below the table."""
    text = (
        f"Sorted by mean final {results.measure} over {results.protocol.seeds} repetitions; in brackets the 95% "
        f"confidence interval. Target: validation loss {number(made.target)}, the field's median."
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
    return text


def method(results: Results) -> list[str]:
    """How it was measured, in paragraphs."""
    p, e, task = results.protocol, results.environment, results.task
    batches = f" (batches of {task['batch_size']})" if task.get("batch_size") else ""
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
        if p.prune
        else ""
    )
    rate = SHAPES[p.schedule] + (f", after a warm-up of {p.warmup:g} (a share below 1, else steps)" if p.warmup else "")
    rate += f"; gradients are clipped to a norm of {p.clip_norm:g}" if p.clip_norm else ""
    return [
        f"Everything was done {p.seeds} times over, each time with two new seeds that are the same for all optimizers. "
        f"In each repetition an optimizer is tuned: {p.trials} runs of {p.steps} steps{batches} with the first seed, "
        f"{chosen}. The space is {space}; all else keeps its default unless the table says otherwise. During a run the "
        f"learning rate {rate}.{stopped}",
        "The point with the lowest validation loss at its end is run with the second seed, and only that run is "
        "scored. So the spread holds the luck of tuning as well as that of training. A seed decides the model's start "
        "and the order of the data.",
        "A run diverged if its validation loss was not finite, or ended worse than before the first step. Diverged "
        "runs are recorded as such: never left out, never filled up. A mean is given only where all scored runs "
        "finished.",
        "Steps to target: the first measurement at which the validation loss was at most the target, the median over "
        "the repetitions. The target is the median of the optimizers' median final losses.",
        f"Intervals: {SOURCES['interval']}. Separated or not, at the 5% level: {SOURCES['separation']}. Probability "
        f"that one beats the other: {SOURCES['probability']}. Ranks: {SOURCES['rank']}. The protocol: "
        f"{SOURCES['protocol']}.",
        f"Ravine {e['ravine']}, torch {e['torch']}, Python {e['python']}, {e['system']}, {e['processor']}; one thread "
        "a run. Time per step is the median over all runs, evaluation not counted; other work on the machine shows "
        "in it.",
    ]


def _is_usual(contender: Mapping[str, Any]) -> bool:
    """Whether nothing but the learning rate was searched, where it is searched unless told otherwise."""
    space, default = contender["space"], contender["defaults"].get("lr", math.nan)
    return not space or (list(space) == ["lr"] and math.isclose(Span(*space["lr"]).low, default * 10**-1.5))


def hyper(values: Mapping[str, float]) -> str:
    """Hyperparameters in a line."""
    return ", ".join(f"{n} {v:g}" for n, v in values.items())
