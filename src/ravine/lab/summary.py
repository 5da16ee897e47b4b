"""From records to the numbers of the table. Reads records, runs nothing."""

from __future__ import annotations

import math
import statistics as stdlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ravine.lab.protocol import best_trial
from ravine.lab.records import DIVERGED, FAILED, FINISHED, Record
from ravine.lab.statistics import Interval, mean_interval

if TYPE_CHECKING:
    from ravine.lab.results import Results


@dataclass(frozen=True)
class Row:
    """One contender's line. A mean over seeds is given only where all scored runs finished: a diverged run has no final
    loss, and leaving it out would flatter. `median_loss` counts it as infinite."""

    name: str
    best: dict[str, float]
    at_edge: tuple[str, ...]
    loss: Interval
    accuracy: Interval
    median_loss: float
    steps_to_target: float
    seconds_to_target: float
    reached: int
    scored: int
    scored_finished: int
    runs: int
    diverged: int
    failed: int
    seconds_per_step: float

    @property
    def diverged_share(self) -> float:
        """The share of this contender's runs, tuning and scored, that diverged."""
        return self.diverged / self.runs if self.runs else math.nan


@dataclass(frozen=True)
class Summary:
    """The rows, best first, and the target: the median of the contenders' median final losses."""

    target: float
    rows: tuple[Row, ...]


def summarise(results: Results) -> dict[str, Any]:
    """The summary as it stands in results.json."""
    made = summary(results)
    return {"target": made.target, "rows": [{**vars(r), "diverged_share": r.diverged_share} for r in made.rows]}


def summary(results: Results) -> Summary:
    """The numbers of the table."""
    medians = [m for n in results.names if math.isfinite(m := median_loss(results.finals(n)))]
    target = stdlib.median(medians) if medians else math.nan
    rows = [_row(results, c["name"], c["space"], target) for c in results.contenders]
    return Summary(target, tuple(sorted(rows, key=_order)))


def median_loss(records: Sequence[Record]) -> float:
    """The median final loss; runs that did not finish count as infinite."""
    return stdlib.median(r.loss for r in records) if records else math.inf


def _order(row: Row) -> tuple[float, float, float]:
    """Best first: all finished before not all, then by mean loss, then by median loss."""
    whole = row.scored > 0 and row.scored_finished == row.scored
    return (0 if whole else 1, row.loss.value if whole else math.inf, row.median_loss)


def _row(results: Results, name: str, space: dict[str, list[float]], target: float) -> Row:
    tuning, finals, runs = results.tuning(name), results.finals(name), results.of(name)
    finished = [r for r in finals if r.status == FINISHED]
    whole = len(finished) == len(finals)
    chosen = best_trial(tuning)
    best = {n: chosen.settings.hyper[n] for n in space} if chosen else {}
    reached = [r.first_at(target) for r in finals]
    steps = [r.seconds_per_step for r in runs if math.isfinite(r.seconds_per_step)]
    nothing = Interval(math.nan, math.nan, math.nan)
    accuracies = [r.accuracy for r in finished if math.isfinite(r.accuracy)]
    return Row(
        name=name,
        best=best,
        at_edge=tuple(n for n in best if _is_at_edge(best[n], [r.settings.hyper[n] for r in tuning])),
        loss=mean_interval([r.loss for r in finals]) if whole else nothing,
        accuracy=mean_interval(accuracies) if whole else nothing,
        median_loss=median_loss(finals),
        steps_to_target=stdlib.median(s for s, _ in reached) if reached else math.inf,
        seconds_to_target=stdlib.median(s for _, s in reached) if reached else math.inf,
        reached=sum(math.isfinite(s) for s, _ in reached),
        scored=len(finals),
        scored_finished=len(finished),
        runs=len(runs),
        diverged=sum(r.status == DIVERGED for r in runs),
        failed=sum(r.status == FAILED for r in runs),
        seconds_per_step=stdlib.median(steps) if steps else math.nan,
    )


def _is_at_edge(value: float, tried: Sequence[float]) -> bool:
    """Whether a better value may lie outside of what was tried."""
    return len(tried) > 2 and value in (min(tried), max(tried))
