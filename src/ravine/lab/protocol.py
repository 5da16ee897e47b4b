"""The protocol: the same budget, seeds and steps for everybody. It knows no task and runs nothing."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

from ravine.errors import unknown
from ravine.lab.contender import Contender
from ravine.lab.records import DEFAULTS, FAILED, FINAL, TUNING, Record, Settings
from ravine.lab.schedule import LINEAR, SHAPES
from ravine.lab.search import suggest
from ravine.lab.space import Space, Span
from ravine.lab.statistics import Look

SOBOL, TPE = "sobol", "tpe"
"""How trials are chosen: spread evenly beforehand; or half of them so, and the others by what came out, by Optuna."""
SEEDS_APART = 100_003
"""Between the seeds of two repetitions' searches there is room for the numbers of their trials."""


@dataclass(frozen=True)
class Protocol:
    """Every contender is tuned and scored `seeds` times over, each repetition with a tuning seed and a fresh seed.

    In a repetition `trials` points of the search space are run with the tuning seed; the one with the lowest final
    validation loss is run with the fresh seed, and only that run is scored. So the spread of scores holds the luck of
    tuning as well as that of training: with one tuning for all seeds, copies of one optimizer would come out different
    whenever they were tuned to different points. The rule's defaults are run with the fresh seed too.

    With `search` tpe only the first half of the trials is spread evenly; the others are asked of Optuna one by one.
    With `prune` the first half runs whole, and the others are stopped early where they do worse than these; that was
    decided by what a run took, if `run_seconds` is not zero. `schedule`,
    `warmup` and `clip_norm` (see `ravine.lab.method.TRAINING`) hold for a contender that has none of its own.

    `target` is the validation loss that steps are counted to, if it is given; `looks` are the numbers of repetitions
    after which the results were looked at with the right to stop, the last of them `seeds`, if that was done
    until every difference from the best of at least `resolve` was told. None of these decides a run's numbers.
    """

    steps: int
    trials: int = 8
    seeds: int = 5
    first_seed: int = 0
    schedule: str = LINEAR
    search: str = SOBOL
    prune: bool = False
    warmup: float = 0.0
    clip_norm: float = 0.0
    target: float | None = None
    looks: tuple[Look, ...] = ()
    resolve: float = 0.0
    run_seconds: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "looks", tuple(Look(*look) for look in self.looks))  # lists, where it comes from JSON
        if self.target is not None and not math.isfinite(self.target):
            raise ValueError(f"target must be a finite loss, got {self.target}")
        for name, known in {"schedule": SHAPES, "search": (SOBOL, TPE)}.items():
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        for name, least in {"steps": 1, "trials": 1, "seeds": 2, "first_seed": 0, "warmup": 0, "clip_norm": 0}.items():
            value = getattr(self, name)
            if not value >= least:
                raise ValueError(f"{name.replace('_', '-')} must be at least {least}, got {value}")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "looks": [list(look) for look in self.looks]}

    @property
    def of_runs(self) -> Protocol:
        """What of it decides a run's numbers: more repetitions only add runs."""
        return replace(self, seeds=2, target=None, looks=(), resolve=0.0, run_seconds=0.0)

    def tuning_seed(self, repetition: int) -> int:
        """The seed of a repetition's trials."""
        return self.first_seed + 2 * repetition

    def fresh_seed(self, repetition: int) -> int:
        """The seed of a repetition's scored run."""
        return self.first_seed + 2 * repetition + 1

    def runs(self, space: Space) -> int:
        """How many runs a contender with this search space has in all."""
        return self.seeds * ((self.trials if space else 0) + 2)

    def training(self, space: Space) -> dict[str, float]:
        """What everybody is given, unless it is searched."""
        given = {"warmup": self.warmup, "clip_norm": self.clip_norm}
        return {n: v for n, v in given.items() if v and n not in space}

    @property
    def first(self) -> int:
        """The half of a repetition's trials, rounded up, that come first."""
        return (self.trials + 1) // 2

    def trial_points(self, space: Space, repetition: int) -> list[dict[str, float]]:
        """The points to try that are known beforehand: a Sobol sequence over the spans, turned around each of them at
        random (Cranley & Patterson 1976), otherwise in every repetition.

        For one hyperparameter and 2ᵏ trials that is an even grid, in an order in which every beginning is spread out.
        With one grid for all repetitions an optimizer would win or lose by how near its best value a point happens to
        lie. The turn depends on the seed and the hyperparameter's name alone, so it is the same for all optimizers.
        """
        if not space:
            return []
        points = _spread(len(space), self.first if self.search == TPE else self.trials)
        seed = self.tuning_seed(repetition)
        turns = {n: random.Random(f"{seed} {n}").random() for n in space}
        spans = {n: Span(*s) for n, s in space.items()}
        return [
            {n: s.at(s.rotated(share, turns[n])) for share, (n, s) in zip(point, spans.items(), strict=True)}
            for point in points
        ]


@cache
def _spread(dimensions: int, count: int) -> list[list[float]]:
    """So many points of a unit cube, spread evenly. SciPy has the same sequence, and takes a second to be imported."""
    import torch

    sequence: Any = torch.quasirandom.SobolEngine  # has no types
    spread: list[list[float]] = sequence(dimensions).draw(count, dtype=torch.float64).tolist()
    return spread


def missing(
    protocol: Protocol, task: str, contender: Contender, space: Space, records: Iterable[Record]
) -> tuple[list[Settings], int]:
    """(the runs of a contender that can start now, how many more will follow), given the records there are.

    A repetition's scored run follows when all its trials are there. Where no trial finished, the first is scored all
    the same, so that its divergence shows. A contender with nothing to tune is scored as it is, or with what is
    transferred to it.
    """
    done = {r.settings.key: r for r in records if r.settings.contender == contender.name}
    wanted: list[Settings] = []
    for repetition in range(protocol.seeds):
        base = Settings(
            task,
            contender.name,
            contender.rule,
            {**protocol.training(space), **contender.fixed},
            -1,
            protocol.steps,
            "",
            repetition,
            -1,
            contender.schedule or protocol.schedule,
        )
        fresh = replace(base, seed=protocol.fresh_seed(repetition))
        trials, is_whole = _trials(protocol, base, space, protocol.trial_points(space, repetition), done)
        wanted += trials
        if is_whole:
            best = best_of([done[s.key] for s in trials])
            hyper = best.settings.hyper if best else base.hyper
            if contender.transferred:
                hyper = contender.transferred[repetition]
            wanted.append(replace(fresh, stage=FINAL, hyper=hyper))
        wanted.append(replace(fresh, stage=DEFAULTS))
    ready = [s for s in wanted if s.key not in done]
    here = sum(key[2] < protocol.seeds for key in done)
    return ready, protocol.runs(space) - here - len(ready)


def _trials(
    protocol: Protocol,
    base: Settings,
    space: Space,
    points: Sequence[Mapping[str, float]],
    done: Mapping[tuple[str, str, int, int], Record],
) -> tuple[list[Settings], bool]:
    """(the trials of a repetition that may run, whether that is all of them and all are there).

    Those that are judged against the first half wait for it; those that are asked of Optuna for all before them.
    """
    first = protocol.first
    seed = protocol.tuning_seed(base.repetition)

    def trial(number: int, point: Mapping[str, float]) -> Settings:
        rivals = first if protocol.prune and number >= first else 0
        hyper = {**base.hyper, **point}
        return replace(base, seed=seed, stage=TUNING, trial=number, hyper=hyper, rivals=rivals)

    trials = [trial(number, point) for number, point in enumerate(points)]
    if protocol.prune and not all(s.key in done for s in trials[:first]):
        return trials[:first], False
    while space and all(s.key in done for s in trials):
        if len(trials) == protocol.trials:
            return trials, True
        number, earlier = len(trials), [done[s.key] for s in trials]
        known = done.get(replace(base, stage=TUNING, trial=number).key)
        point = known.settings.hyper if known else suggest(space, SEEDS_APART * seed + number, earlier)
        trials.append(trial(number, point))
    return trials, not space


def best_of(trials: Sequence[Record]) -> Record | None:
    """The trial with the lowest loss, of equals the first; those that failed by an exception come last."""
    return min(trials, key=lambda r: (r.status == FAILED, r.loss, r.settings.trial), default=None)
