"""Several tasks at once: the performance profile. Reads results, runs nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ravine.lab.records import FINAL
from ravine.lab.results import Results
from ravine.lab.statistics import Interval
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
    """Each contender's rank by mean score, averaged over the tasks whose runs are all there, with what its mean rank
    may be (the averages of the ends of its ranks); the lowest first."""
    made = [results.summary.rows for results in many if results.is_complete]
    names = [r.name for r in made[0]] if made else []
    places = {n: [r.rank for rows in made for r in rows if r.name == n] for n in names}
    found = {n: Interval(*(sum(end) / len(made) for end in zip(*ends, strict=True))) for n, ends in places.items()}
    return dict(sorted(found.items(), key=lambda item: item[1].value))
