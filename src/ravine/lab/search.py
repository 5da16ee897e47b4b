"""Searching by Optuna: what to try next, and what to stop. It decides from a study in memory that is made of records,
so that the same records give the same decision, wherever and in whichever order their runs ended."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from ravine.lab.records import FINISHED, PRUNED, Record
from ravine.lab.space import COMPLEMENT, LOG, Space, Span

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

WARM_UP = 0.25
"""The first part of a run, in which it is not stopped: how a run starts tells little of where it ends."""


def parameters(space: Space, hyper: Mapping[str, float]) -> tuple[dict[str, float], dict[str, BaseDistribution]]:
    """Hyperparameters in Optuna's terms: (values, distributions). Of a decay, what it lacks of one: Optuna has a scale
    for that. Empty where a value lies outside the space, as a default may outside a range of the user's."""
    values = {}
    for name, value in space.items():
        span, given = Span(*value), hyper.get(name, math.nan)
        if not span.low <= given <= span.high:
            return {}, {}
        low, high = ends(span)
        values[label(name, span)] = min(max(1 - given if span.scale == COMPLEMENT else given, low), high)
    return values, distributions_of(space)


def distributions_of(space: Space) -> dict[str, BaseDistribution]:
    """The spans of a space as Optuna's distributions."""
    from optuna.distributions import FloatDistribution

    return {
        label(name, span): FloatDistribution(*ends(span), log=span.scale in (LOG, COMPLEMENT))
        for name, span in ((n, Span(*value)) for n, value in space.items())
    }


def ends(span: Span) -> tuple[float, float]:
    """Where a span begins and ends as Optuna is told."""
    return (1 - span.high, 1 - span.low) if span.scale == COMPLEMENT else (span.low, span.high)


def label(name: str, span: Span) -> str:
    """What a hyperparameter is called where a decay is shown by what it lacks of one."""
    return f"1 - {name}" if span.scale == COMPLEMENT else name


def suggest(space: Space, seed: int, earlier: Sequence[Record]) -> dict[str, float]:
    """The next point of a space to try, by Optuna's TPE (Bergstra et al. 2011), given the earlier trials of a tuning,
    in order. A run that diverged or failed counts as the worst there is."""
    spans = tuple((name, Span(*value)) for name, value in space.items())
    trials = tuple(
        (tuple(r.settings.hyper[n] for n in space), r.status, _curve(r)[-1:], r.loss)
        for r in sorted(earlier, key=lambda r: r.settings.trial)
    )
    return dict(zip(space, _suggest(spans, seed, trials), strict=True))


@cache
def _suggest(spans: tuple[tuple[str, Span], ...], seed: int, trials: tuple[Any, ...]) -> tuple[float, ...]:
    import optuna

    space = dict(spans)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of `multivariate`, before Optuna 5
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=1)
    study = _study(sampler=sampler)
    for values, status, curve, loss in trials:
        study.add_trial(_trial(space, dict(zip(space, values, strict=True)), status, curve, loss))
    asked = study.ask(distributions_of(space)).params
    found = []
    for name, span in spans:
        value = asked[label(name, span)]
        value = 1 - value if span.scale == COMPLEMENT else value
        found.append(min(max(value, span.low), span.high))
    return tuple(found)


def judge(rivals: Sequence[Record], steps: int) -> Callable[[int, float], bool]:
    """A function that takes a run's measurements, (step, loss), and tells whether it is to be stopped: by Optuna's
    median rule (Golovin et al. 2017, Vizier), if its best loss so far is above the median of its rivals' losses at that
    step. Not in the first quarter, nor with fewer than two rivals that finished.
    """
    import optuna

    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=math.ceil(WARM_UP * steps))
    study = _study(pruner=pruner)
    for rival in rivals:
        if rival.status == FINISHED:
            study.add_trial(_trial({}, {}, rival.status, _curve(rival), rival.loss))
    trial = study.ask()

    def is_to_stop(step: int, loss: float) -> bool:
        trial.report(loss, step)
        return step < steps and trial.should_prune()

    return is_to_stop


def _curve(record: Record) -> tuple[tuple[int, float], ...]:
    return tuple(zip(map(int, record.curve["step"]), record.curve["loss"], strict=True))


def _study(**kwargs: Any) -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(**kwargs)


def _trial(space: Space, hyper: Mapping[str, float], status: str, curve: Any, loss: float) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    values, distributions = parameters(space, hyper)
    stopped = status == PRUNED
    return create_trial(
        state=TrialState.PRUNED if stopped else TrialState.COMPLETE,
        value=curve[-1][1] if stopped else loss,
        params=values,
        distributions=distributions,
        intermediate_values=dict(curve),
    )
