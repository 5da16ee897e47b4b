"""Several tasks at once: the performance profile. Reads results, runs nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ravine.lab.records import FINAL
from ravine.lab.results import Results
from ravine.lab.statistics import Interval, rank_intervals
from ravine.lab.summary import Summary

Profile = dict[str, list[tuple[float, float]]]
"""For each contender the corners of its curve: (factor τ, share of problems solved within τ times the best's steps)."""


def profile(many: Sequence[Results]) -> Profile:
    """Dolan & Moré's performance profile (2002). A problem is a repetition of a task, its cost the steps to the task's
    target: a contender's curve tells on which share of the problems it needed at most τ times the steps of the best.
    Problems that nobody solved are left out."""
    costs = [c for results in many for c in _costs(results, results.summary)]
    solved = [c for c in costs if math.isfinite(min(c.values(), default=math.inf))]
    names = list(dict.fromkeys(n for c in solved for n in c))
    found: Profile = {}
    for name in names:
        ratios = sorted(c.get(name, math.inf) / min(c.values()) for c in solved)
        corners = {ratio: (i + 1) / len(solved) for i, ratio in enumerate(ratios) if math.isfinite(ratio)}
        found[name] = sorted(corners.items())
    return found


def _costs(results: Results, made: Summary) -> list[dict[str, float]]:
    """The steps to the target of each contender, by repetition. A target met at step 0 costs one step."""
    finals = {n: {r.settings.repetition: r for r in results.of(n, FINAL)} for n in results.names}
    return [
        {n: max(1.0, runs[i].first_at(made.target)[0]) for n, runs in finals.items() if i in runs}
        for i in range(results.protocol.seeds)
    ]


def mean_ranks(many: Sequence[Results]) -> dict[str, Interval]:
    """Each contender's rank by mean final loss, averaged over the tasks, with its interval; the lowest first."""
    ranks = rank_intervals(*({n: [r.loss for r in results.of(n, FINAL)] for n in results.names} for results in many))
    return dict(sorted(ranks.items(), key=lambda item: item[1].value))
