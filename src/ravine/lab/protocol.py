"""The protocol: the same budget, seeds and steps for everybody. It knows no task and runs nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ravine.errors import unknown
from ravine.lab.contender import Contender
from ravine.lab.records import CONSTANT, DEFAULTS, FAILED, FINAL, LINEAR, TUNING, Record, Settings
from ravine.lab.space import Space, Span


@dataclass(frozen=True)
class Protocol:
    """Every contender is tuned and scored `seeds` times over, each repetition with a tuning seed and a fresh seed.

    In a repetition `trials` points of the search space are run with the tuning seed; the one with the lowest final
    validation loss is run with the fresh seed, and only that run is scored. So the spread of scores holds the luck of
    tuning as well as that of training: with one tuning for all seeds, copies of one optimizer would come out different
    whenever they were tuned to different points. The rule's defaults are run with the fresh seed too.
    """

    steps: int
    trials: int = 8
    seeds: int = 5
    first_seed: int = 0
    schedule: str = LINEAR

    def __post_init__(self) -> None:
        if self.schedule not in (CONSTANT, LINEAR):
            raise unknown("schedule", self.schedule, (CONSTANT, LINEAR))
        for name, least in {"steps": 1, "trials": 1, "seeds": 2, "first_seed": 0}.items():
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"{name.replace('_', '-')} must be at least {least}, got {value}")

    def tuning_seed(self, repetition: int) -> int:
        """The seed of a repetition's trials."""
        return self.first_seed + 2 * repetition

    def fresh_seed(self, repetition: int) -> int:
        """The seed of a repetition's scored run."""
        return self.first_seed + 2 * repetition + 1

    def runs(self, space: Space) -> int:
        """How many runs a contender with this search space has in all."""
        return self.seeds * ((self.trials if space else 0) + 2)

    def trial_points(self, space: Space) -> list[dict[str, float]]:
        """The points of a search space to try: a Sobol sequence over its spans, moved to the middle of its cells.

        For one hyperparameter and 2ᵏ trials that is an even grid, in an order in which every beginning is spread out.
        """
        if not space:
            return []
        from scipy.stats import qmc

        power = math.ceil(math.log2(self.trials))
        points = qmc.Sobol(len(space), scramble=False).random_base2(power)[: self.trials] + 0.5 / 2**power
        return [{n: Span(*s).at(float(u)) for u, (n, s) in zip(point, space.items(), strict=True)} for point in points]


def missing(
    protocol: Protocol, task: str, contender: Contender, space: Space, records: Iterable[Record]
) -> tuple[list[Settings], int]:
    """(the runs of a contender that can start now, how many more will follow), given the records there are.

    A repetition's scored run follows when all its trials are there. Where no trial finished, the first is scored all
    the same, so that its divergence shows. A contender with nothing to tune is scored as it is.
    """
    done = {r.settings.key: r for r in records if r.settings.contender == contender.name}
    points = protocol.trial_points(space)
    ready: list[Settings] = []
    later = 0
    for repetition in range(protocol.seeds):
        base = Settings(
            task,
            contender.name,
            contender.rule,
            contender.fixed,
            -1,
            protocol.steps,
            "",
            repetition,
            -1,
            protocol.schedule,
        )
        fresh = replace(base, seed=protocol.fresh_seed(repetition))
        trials = [
            replace(
                base,
                seed=protocol.tuning_seed(repetition),
                stage=TUNING,
                trial=trial,
                hyper={**contender.fixed, **point},
            )
            for trial, point in enumerate(points)
        ]
        ready += [s for s in trials if s.key not in done]
        if all(s.key in done for s in trials):
            best = best_of([done[s.key] for s in trials])
            ready.append(replace(fresh, stage=FINAL, hyper=best.settings.hyper if best else contender.fixed))
        else:
            later += 1
        ready.append(replace(fresh, stage=DEFAULTS))
    return [s for s in ready if s.key not in done], later


def best_of(trials: Sequence[Record]) -> Record | None:
    """The trial with the lowest loss, of equals the first; those that failed by an exception come last."""
    return min(trials, key=lambda r: (r.status == FAILED, r.loss, r.settings.trial), default=None)
