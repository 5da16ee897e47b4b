"""The protocol: the same budget, seeds and steps for everybody. It knows no task and runs nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ravine.lab.contender import Contender
from ravine.lab.records import FAILED, FINAL, TUNING, Record, Settings

Spaces = Mapping[str, Mapping[str, Sequence[float]]]
"""For each contender by name: hyperparameter → [low, high], searched in powers of ten."""


@dataclass(frozen=True)
class Protocol:
    """Every contender gets `trials` trials, each another point of its search space run on each of the tuning seeds. The
    point with the lowest mean final validation loss is then run on `seeds` fresh seeds; only those runs are scored.
    """

    steps: int
    trials: int = 8
    seeds: int = 5
    tuning_seeds: int = 2
    first_seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"steps": 1, "trials": 1, "seeds": 2, "tuning_seeds": 1, "first_seed": 0}.items():
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"{name.replace('_', '-')} must be at least {least}, got {value}")

    @property
    def final_seeds(self) -> range:
        """The fresh seeds: those after the tuning seeds."""
        return range(self.first_seed + self.tuning_seeds, self.first_seed + self.tuning_seeds + self.seeds)

    @property
    def runs(self) -> int:
        """Runs of one contender that has something to tune."""
        return self.trials * self.tuning_seeds + self.seeds

    def trial_points(self, space: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
        """The points of a search space to try, log-uniform: a Sobol sequence, moved to the middle of its cells.

        For one hyperparameter and 2ᵏ trials that is an even grid, in an order in which every beginning is spread out.
        A rule with nothing to tune has one trial.
        """
        if not space:
            return [{}]
        from scipy.stats import qmc

        power = math.ceil(math.log2(self.trials))
        points = qmc.Sobol(len(space), scramble=False).random_base2(power)[: self.trials] + 0.5 / 2**power
        return [
            {n: low * (high / low) ** float(u) for u, (n, (low, high)) in zip(point, space.items(), strict=True)}
            for point in points
        ]

    def tuning(self, task: str, contender: Contender, space: Mapping[str, Sequence[float]]) -> list[Settings]:
        """The tuning runs of one contender."""
        return [
            self._settings(task, contender, point, seed, TUNING, trial)
            for trial, point in enumerate(self.trial_points(space))
            for seed in range(self.first_seed, self.first_seed + self.tuning_seeds)
        ]

    def final(self, task: str, contender: Contender, best: Mapping[str, float]) -> list[Settings]:
        """The scored runs of one contender, with the best point of its tuning."""
        return [self._settings(task, contender, best, seed, FINAL, -1) for seed in self.final_seeds]

    def _settings(
        self, task: str, contender: Contender, point: Mapping[str, float], seed: int, stage: str, trial: int
    ) -> Settings:
        hyper: dict[str, Any] = {**contender.fixed, **point}
        return Settings(task, contender.name, contender.rule, hyper, seed, self.steps, stage, trial)


def trial_losses(tuning: Iterable[Record]) -> dict[int, float]:
    """The mean final validation loss of each trial; infinite if one of its runs did not finish."""
    losses: dict[int, list[float]] = {}
    for record in tuning:
        losses.setdefault(record.settings.trial, []).append(record.loss)
    return {trial: sum(values) / len(values) for trial, values in sorted(losses.items())}


def best_trial(tuning: Sequence[Record]) -> Record | None:
    """A run of the trial with the lowest mean loss (of equals the first); None if no trial finished on all seeds."""
    losses = trial_losses(tuning)
    best = min(losses, key=lambda trial: losses[trial], default=None)
    if best is None or not math.isfinite(losses[best]):
        return None
    return next(r for r in tuning if r.settings.trial == best)


def remaining(
    protocol: Protocol, task: str, contenders: Sequence[Contender], spaces: Spaces, records: Sequence[Record]
) -> tuple[list[Settings], int]:
    """(the runs that can start now, how many more will follow), given the records there are.

    A contender's scored runs follow when all its tuning runs are there. Where none of these finished, the first trial's
    point is scored all the same, so that its divergence shows.
    """
    done = {r.settings.key for r in records}
    ready: list[Settings] = []
    later = 0
    for contender in contenders:
        tuning = protocol.tuning(task, contender, spaces[contender.name])
        missing = [s for s in tuning if s.key not in done]
        if missing:
            ready += missing
            later += protocol.seeds
            continue
        mine = [r for r in records if r.settings.contender == contender.name and r.settings.stage == TUNING]
        chosen = best_trial(mine) or min(mine, key=lambda r: (r.status == FAILED, r.settings.trial))
        best = {n: chosen.settings.hyper[n] for n in spaces[contender.name]}
        ready += [s for s in protocol.final(task, contender, best) if s.key not in done]
    return ready, later
