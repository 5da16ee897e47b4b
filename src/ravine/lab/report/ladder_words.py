"""What a ladder tells, in sentences: how it was tuned, whether small sizes predict large ones, and the trends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ravine.lab import separation
from ravine.lab.ladder import TRANSFER, Change, is_predicted
from ravine.lab.report.words import interval, listed
from ravine.lab.results import Results
from ravine.lab.statistics import Interval

MOST = 6
"""Pairs that are told one by one; ladder.json has all."""


def words(option: str, tuning: str, many: Mapping[float, Results], found: Sequence[Change]) -> list[str]:
    """The sentences."""
    sizes = [f"{s:g}" for s in sorted(many)]
    first, last = f"{option} {sizes[0]}", f"{option} {sizes[-1]}"
    how = (
        f"Tuned at {first} only: the other sizes use what each repetition chose there, so a difference at these is "
        "also one of how well the hyperparameters transfer."
        if tuning == TRANSFER
        else "Tuned anew at each size."
    )
    if not found:
        return [how, "There is one optimizer, so there is nothing to compare along the ladder."]
    repetitions = min(r.protocol.seeds for r in many.values())
    least = separation.least_repetitions(len(next(iter(many.values())).contenders))
    if repetitions < least:
        few = f"{repetitions} repetitions can tell neither a verdict nor a trend here: that takes at least {least}."
        return [how, few, f"So {first} predicts nothing of {last}."]
    return [
        how,
        _prediction(first, last, found),
        *_verdicts(option, sizes, found),
        *_trends(option, repetitions, found),
        *_beyond(last, len(sizes), found),
        f"None of this says what comes after {last}.",
    ]


def _prediction(first: str, last: str, found: Sequence[Change]) -> str:
    told = [c for c in found if c.ahead[0]]
    held, new = sum(c.holds for c in told), sum(bool(c.ahead[-1]) and not c.ahead[0] for c in found)
    more = f" Separated at {last} and not at {first}: {_pairs(new)}." if new else ""
    match is_predicted(found):
        case None:
            return f"The smallest size predicts nothing: {first} separates no pair of the {len(found)}.{more}"
        case True:
            return (
                f"The smallest size predicts what it told: {last} separates the {_pairs(held)} that {first} separates, "
                f"in the same order.{more}"
            )
        case _:
            return (
                f"The smallest size does not predict the largest: of {_pairs(len(told))} that {first} separates, "
                f"{last} separates {held or 'none'} in the same order.{more}"
            )


def _pairs(count: int) -> str:
    return f"{count} pair{'s' * (count != 1)}"


def _verdicts(option: str, sizes: Sequence[str], found: Sequence[Change]) -> list[str]:
    """Which verdicts change along the ladder: those that turn around first."""
    changed = sorted((c for c in found if len(set(c.ahead)) > 1), key=lambda c: not c.is_reversed)
    if not changed:
        return [f"No verdict changes from {option} {sizes[0]} to {sizes[-1]}."]
    told = [
        f"{c.a} and {c.b} ("
        + ", ".join(
            f"{size}: {name + ' ahead' if name else 'not separated'}" for size, name in zip(sizes, c.ahead, strict=True)
        )
        + ")"
        for c in changed[:MOST]
    ]
    rest = f"; and {len(changed) - MOST} more in ladder.json" if len(changed) > MOST else ""
    said = f"Verdicts that change with {option}: {'; '.join(told)}{rest}."
    if any(not c.has_trend and not c.is_reversed for c in changed):
        said += " A verdict that comes or goes while no trend is told may be chance."
    return [said]


def _trends(option: str, repetitions: int, found: Sequence[Change]) -> list[str]:
    told = [c for c in found if c.has_trend]
    unknown = sum(not math.isfinite(c.trend.value) for c in found)
    said = [f"{_pairs(unknown)} have no trend: runs did not finish."] if unknown else []
    if not told:
        return [*said, f"These {repetitions} seeds tell no trend of a difference with {option} from none."]
    shown = [
        f"{by(c.a, [c], c.b)} {effect(c.trend, c.is_difference)}" for c in sorted(told, key=lambda c: c.trend_p)[:MOST]
    ]
    rest = f"; and {len(told) - MOST} more in ladder.json" if len(told) > MOST else ""
    return [*said, f"With each doubling of {option}: {'; '.join(shown)}{rest}."]


def _beyond(last: str, count: int, found: Sequence[Change]) -> list[str]:
    """Whether the line through the smaller sizes leads to the largest."""
    known = [c for c in found if math.isfinite(c.beyond.value)]
    if count < 3 or not known:
        return []
    missed = [f"{c.b} over {c.a} ({effect(c.beyond, c.is_difference)})" for c in known if c.is_missed]
    if not missed:
        return [f"No difference at {last} is seen to depart from the line through the smaller sizes."]
    more = f" and {len(missed) - MOST} more" if len(missed) > MOST else ""
    return [f"Not where the line through the smaller sizes leads, at {last}: {listed(missed[:MOST])}{more}."]


def by(a: str, found: Sequence[Change], b: str = "loss") -> str:
    """What is shown of a pair: a ratio, or a difference where losses are not all positive."""
    return f"{b} {'less' if any(c.is_difference for c in found) else 'over'} {a}'s"


def effect(value: Interval, is_difference: bool) -> str:
    """By what a ratio is multiplied, or what is added to a difference, as ×1.12 (1.05 to 1.20)."""
    if not math.isfinite(value.value):
        return "–"
    text = interval(value)
    return f"{'+' * (value.value >= 0)}{text}" if is_difference else f"×{text}"
