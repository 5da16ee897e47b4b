"""What became of the learning rate in the runs, in words, where that is not what the protocol says."""

from __future__ import annotations

import statistics
from collections import Counter

from ravine.lab.records import DEFAULTS, FINAL
from ravine.lab.results import Results


def departures(results: Results) -> str:
    """How scored runs departed from the comparison's schedule, and where their rates ended; empty if they followed."""
    runs = [r for r in results.records if r.settings.stage in (FINAL, DEFAULTS)]
    departed = [r for r in runs if r.schedule]
    if not departed:
        return ""
    ways = Counter(r.schedule for r in departed)
    ends = [r.rates[-1] / r.rates[0] for r in departed if r.rates and r.rates[0]]
    end = (
        f" The rate ended at {statistics.median(ends):.2g} times what it was at the first report (median)."
        if ends
        else ""
    )
    return (
        f"{len(departed)} of {len(runs)} scored runs did not follow the comparison's schedule "
        f"({departed[0].settings.schedule}): {'; '.join(ways)}.{end}"
    )
