"""The frameworks' schedules of the learning rate, each under its own name, as a `ravine.schedules.Schedule`.

torch's schedulers multiply the optimizer's own learning rate, which is their first argument here: what stands in a
program there, the optimizer, is passed over when a line is read.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ravine.errors import unknown
from ravine.schedules import Piece, Schedule, joined


def _one(kind: str, start: float, **how: Any) -> Schedule:
    return Schedule((Piece(kind, start, **how),))


def _after(begin: float, whole: Schedule) -> Schedule:
    """The schedule's first value, and from `begin` on the schedule."""
    return joined([_one("constant", whole(0)), whole], [begin]) if begin > 0 else whole


def _steps(values: Sequence[float], begins: Sequence[float]) -> Schedule:
    return joined([_one("constant", v) for v in values], begins)


# Keras (keras/src/optimizers/schedules/learning_rate_schedule.py)


def CosineDecay(
    initial_learning_rate: float,
    decay_steps: float,
    alpha: float = 0.0,
    name: str = "CosineDecay",
    warmup_target: float | None = None,
    warmup_steps: float = 0,
) -> Schedule:
    peak = initial_learning_rate if warmup_target is None else warmup_target
    decay = _one("cosine", peak, end=alpha * peak, length=decay_steps)
    if warmup_target is None:
        return decay
    return joined([_one("polynomial", initial_learning_rate, end=peak, length=warmup_steps), decay], [warmup_steps])


def ExponentialDecay(
    initial_learning_rate: float,
    decay_steps: float,
    decay_rate: float,
    staircase: bool = False,
    name: str = "ExponentialDecay",
) -> Schedule:
    return _one("exponential", initial_learning_rate, length=decay_steps, rate=decay_rate, stairs=staircase)


def PiecewiseConstantDecay(
    boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant"
) -> Schedule:
    return _steps(values, [b + 1 for b in boundaries])  # a boundary itself is still before it


def PolynomialDecay(
    initial_learning_rate: float,
    decay_steps: float,
    end_learning_rate: float = 0.0001,
    power: float = 1.0,
    cycle: bool = False,
    name: str = "PolynomialDecay",
) -> Schedule:
    if cycle:
        raise ValueError("PolynomialDecay with cycle=True is not supported")
    return _one("polynomial", initial_learning_rate, end=end_learning_rate, length=decay_steps, power=power)


def InverseTimeDecay(
    initial_learning_rate: float,
    decay_steps: float,
    decay_rate: float,
    staircase: bool = False,
    name: str = "InverseTimeDecay",
) -> Schedule:
    return _one("inverse time", initial_learning_rate, length=decay_steps, rate=decay_rate, stairs=staircase)


# optax (optax/schedules/)


def constant_schedule(value: float) -> Schedule:
    return _one("constant", value)


def linear_schedule(
    init_value: float, end_value: float, transition_steps: float, transition_begin: float = 0
) -> Schedule:
    return polynomial_schedule(init_value, end_value, 1, transition_steps, transition_begin)


def polynomial_schedule(
    init_value: float, end_value: float, power: float, transition_steps: float, transition_begin: float = 0
) -> Schedule:
    whole = _one("polynomial", init_value, end=end_value, length=transition_steps, power=power)
    return _after(transition_begin, whole)


def cosine_decay_schedule(init_value: float, decay_steps: float, alpha: float = 0.0, exponent: float = 1.0) -> Schedule:
    return _one("cosine", init_value, end=alpha * init_value, length=decay_steps, power=exponent)


def exponential_decay(
    init_value: float,
    transition_steps: float,
    decay_rate: float,
    transition_begin: float = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Schedule:
    whole = _one("exponential", init_value, end=end_value, length=transition_steps, rate=decay_rate, stairs=staircase)
    return _after(transition_begin, whole)


def piecewise_constant_schedule(
    init_value: float, boundaries_and_scales: Mapping[float, float] | None = None
) -> Schedule:
    values, begins = [init_value], sorted(boundaries_and_scales or {})
    for begin in begins:
        values.append(values[-1] * (boundaries_and_scales or {})[begin])
    return _steps(values, begins)


def warmup_constant_schedule(init_value: float, peak_value: float, warmup_steps: float) -> Schedule:
    return linear_schedule(init_value, peak_value, warmup_steps)


def warmup_cosine_decay_schedule(
    init_value: float,
    peak_value: float,
    warmup_steps: float,
    decay_steps: float,
    end_value: float = 0.0,
    exponent: float = 1.0,
) -> Schedule:
    fall = _one("cosine", peak_value, end=end_value, length=decay_steps - warmup_steps, power=exponent)
    return joined([linear_schedule(init_value, peak_value, warmup_steps), fall], [warmup_steps])


def warmup_exponential_decay_schedule(
    init_value: float,
    peak_value: float,
    warmup_steps: float,
    transition_steps: float,
    decay_rate: float,
    transition_begin: float = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Schedule:
    fall = exponential_decay(peak_value, transition_steps, decay_rate, transition_begin, staircase, end_value)
    return joined([linear_schedule(init_value, peak_value, warmup_steps), fall], [warmup_steps])


def join_schedules(schedules: Sequence[Schedule], boundaries: Sequence[float]) -> Schedule:
    return joined([s if isinstance(s, Schedule) else _one("constant", s) for s in schedules], boundaries)


# torch (torch/optim/lr_scheduler.py); lr is the optimizer's own


def ConstantLR(lr: float, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> Schedule:
    return _steps([lr * factor, lr], [total_iters])


def LinearLR(
    lr: float, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5, last_epoch: int = -1
) -> Schedule:
    return _one("polynomial", lr * start_factor, end=lr * end_factor, length=total_iters)


def StepLR(lr: float, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> Schedule:
    return _one("exponential", lr, length=step_size, rate=gamma, stairs=True)


def MultiStepLR(lr: float, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1) -> Schedule:
    return _steps([lr * gamma**k for k in range(len(milestones) + 1)], sorted(milestones))


def ExponentialLR(lr: float, gamma: float, last_epoch: int = -1) -> Schedule:
    return _one("exponential", lr, rate=gamma)


def PolynomialLR(lr: float, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> Schedule:
    return _one("polynomial", lr, end=0.0, length=total_iters, power=power)


def CosineAnnealingLR(lr: float, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> Schedule:  # noqa: N803
    return _one("cosine waves", lr, end=eta_min, length=T_max)  # it rises again after T_max


def OneCycleLR(
    lr: float,
    max_lr: float,
    total_steps: int | None = None,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    cycle_momentum: bool = True,
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
    last_epoch: int = -1,
) -> Schedule:
    if cycle_momentum:
        raise ValueError("OneCycleLR changes the momentum too, unless cycle_momentum=False: only lr follows a schedule")
    total = total_steps or (epochs or 0) * (steps_per_epoch or 0)
    first, kind = max_lr / div_factor, {"cos": "cosine", "linear": "polynomial"}[anneal_strategy]
    ends = [pct_start * total - 1, *([2 * pct_start * total - 2] if three_phase else []), total - 1]
    values = [first, max_lr, *([first] if three_phase else []), first / final_div_factor]
    begins = [0.0, *ends[:-1]]
    pieces = [
        _one(kind, a, end=b, length=stop - start)
        for a, b, start, stop in zip(values[:-1], values[1:], begins, ends, strict=True)
    ]
    return joined(pieces, begins[1:])


def SequentialLR(
    lr: float, schedulers: Sequence[Schedule], milestones: Sequence[int], last_epoch: int = -1
) -> Schedule:
    return joined(schedulers, milestones)


Maker = Callable[..., Schedule]
BY_FRAMEWORK: dict[str, dict[str, Maker]] = {
    "keras": {
        f.__name__: f
        for f in (CosineDecay, ExponentialDecay, PiecewiseConstantDecay, PolynomialDecay, InverseTimeDecay)
    },
    "optax": {
        f.__name__: f
        for f in (
            *(constant_schedule, linear_schedule, polynomial_schedule, cosine_decay_schedule, exponential_decay),
            *(piecewise_constant_schedule, warmup_constant_schedule, warmup_cosine_decay_schedule),
            *(warmup_exponential_decay_schedule, join_schedules),
        )
    },
    "torch": {
        f.__name__: f
        for f in (
            *(ConstantLR, LinearLR, StepLR, MultiStepLR, ExponentialLR, PolynomialLR, CosineAnnealingLR, OneCycleLR),
            SequentialLR,
        )
    },
}
"""Every schedule by its framework and name."""

KNOWN: dict[str, Maker] = {name: f for own in BY_FRAMEWORK.values() for name, f in own.items()}


def _framework(name: str) -> str:
    return next(f for f, own in BY_FRAMEWORK.items() if name in own)


def made(name: str, args: Sequence[Any], given: Mapping[str, Any], lr: float | None = None) -> Schedule:
    """The schedule of a call by its arguments; `lr` for torch's. Raises ValueError, naming the argument."""
    maker = KNOWN[name]
    first = [lr] if name in BY_FRAMEWORK["torch"] else []
    if first == [None]:
        raise ValueError(f"{name} multiplies the optimizer's learning rate, which must be given")
    for argument in given:
        if argument not in (known := inspect.signature(maker).parameters):
            raise unknown(f"argument of {name}", argument, [n for n in known if n != "lr"])
    passed = [*(["optimizer"] if first else []), *map(repr, args), *(f"{n}={v!r}" for n, v in given.items())]
    try:
        return replace(maker(*first, *args, **given), call=f"{_framework(name)}.{name}({', '.join(passed)})")
    except (TypeError, KeyError) as error:
        raise ValueError(f"{name}: {str(error).replace(f'{name}()', '').strip()}") from None
    except ValueError as error:
        raise ValueError(str(error) if name in str(error) else f"{name}: {error}") from None
