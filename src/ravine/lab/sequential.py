"""Adding repetitions until a comparison is resolved: when to look, what a look costs, what is still open.

Looking again and again at growing data and stopping when something shows finds differences that are not there. So when
to look is settled beforehand, and each look spends a share of the 5% (Bonferroni over the looks, which holds however
the looks depend on each other); what is left is spent by the last. It may come early, when the time is up: time knows
nothing of the losses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ravine.lab.separation import PAIRED_FROM
from ravine.lab.statistics import LEVEL, Look, ratio
from ravine.lab.summary import Summary

PILOT = 3
"""Repetitions after which the spread of losses is told, and nothing decided."""
MOST = 80


def planned(most: int) -> list[int]:
    """The numbers of repetitions after which to look: ten, then twice as many each time, and the last."""
    doubled = [PAIRED_FROM * 2**i for i in range(max(0, math.ceil(math.log2(most / PAIRED_FROM))))]
    return [*doubled, most]


def spent(taken: Sequence[int], looks: int, is_last: bool) -> tuple[Look, ...]:
    """The looks that were taken of so many planned, each with its share of the error; the last has what is left."""
    shares = [1 / looks] * len(taken)
    if is_last:
        shares[-1] = 1 - (len(taken) - 1) / looks
    return tuple(map(Look, taken, shares))


def resolve(made: Summary, looks: Sequence[Look], difference: float) -> tuple[list[str], list[str]]:
    """(who is within that difference of the first, who is neither that nor separated from it), in the order of rows.

    Within means that the interval of the ratio of losses is, at the level of the last look and for as many as are
    compared with the first. Where losses are not all positive the difference is one of losses.
    """
    first, others = made.rows[0].name, [r.name for r in made.rows[1:]]
    level = 1 - (1 - LEVEL) * looks[-1].share / max(1, len(others))
    within: list[str] = []
    unresolved: list[str] = []
    for name in others:
        pair = made.pair(first, name)
        if pair is not None and pair.separated:
            continue
        found = ratio(made.scores, first, name, level)
        if made.scores.is_log:
            is_near = 1 / (1 + difference) <= found.low and found.high <= 1 + difference
        else:
            is_near = -difference <= found.low and found.high <= difference
        (within if is_near else unresolved).append(name)
    return within, unresolved
