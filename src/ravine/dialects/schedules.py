"""The frameworks' schedules of the learning rate, each under its own name, as a `ravine.schedules.Schedule`.

torch's and transformers' schedulers multiply the optimizer's own learning rate, which is their first argument here:
what stands in a program there, the optimizer, is passed over when a line is read.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from ravine.dialects import torch_schedules, transformers_schedules
from ravine.errors import unknown
from ravine.schedules import Schedule, after, joined, one, steps

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
    decay = one("cosine", peak, end=alpha * peak, length=decay_steps)
    if warmup_target is None:
        return decay
    return joined([one("polynomial", initial_learning_rate, end=peak, length=warmup_steps), decay], [warmup_steps])


def CosineDecayRestarts(
    initial_learning_rate: float,
    first_decay_steps: float,
    t_mul: float = 2.0,
    m_mul: float = 1.0,
    alpha: float = 0.0,
    name: str = "SGDRDecay",
) -> Schedule:
    if m_mul != 1.0:
        raise ValueError(f"CosineDecayRestarts with m_mul={m_mul!r}, peaks that change, is not supported")
    end = alpha * initial_learning_rate
    return one("cosine restarts", initial_learning_rate, end=end, length=first_decay_steps, rate=t_mul)


def ExponentialDecay(
    initial_learning_rate: float,
    decay_steps: float,
    decay_rate: float,
    staircase: bool = False,
    name: str = "ExponentialDecay",
) -> Schedule:
    return one("exponential", initial_learning_rate, length=decay_steps, rate=decay_rate, stairs=staircase)


def PiecewiseConstantDecay(
    boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant"
) -> Schedule:
    return steps(values, [b + 1 for b in boundaries])  # a boundary itself is still before it


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
    return one("polynomial", initial_learning_rate, end=end_learning_rate, length=decay_steps, power=power)


def InverseTimeDecay(
    initial_learning_rate: float,
    decay_steps: float,
    decay_rate: float,
    staircase: bool = False,
    name: str = "InverseTimeDecay",
) -> Schedule:
    return one("inverse time", initial_learning_rate, length=decay_steps, rate=decay_rate, stairs=staircase)


# optax (optax/schedules/)


def constant_schedule(value: float) -> Schedule:
    return one("constant", value)


def linear_schedule(
    init_value: float, end_value: float, transition_steps: float, transition_begin: float = 0
) -> Schedule:
    return polynomial_schedule(init_value, end_value, 1, transition_steps, transition_begin)


def polynomial_schedule(
    init_value: float, end_value: float, power: float, transition_steps: float, transition_begin: float = 0
) -> Schedule:
    whole = one("polynomial", init_value, end=end_value, length=transition_steps, power=power)
    return after(transition_begin, whole)


def cosine_decay_schedule(init_value: float, decay_steps: float, alpha: float = 0.0, exponent: float = 1.0) -> Schedule:
    return one("cosine", init_value, end=alpha * init_value, length=decay_steps, power=exponent)


def exponential_decay(
    init_value: float,
    transition_steps: float,
    decay_rate: float,
    transition_begin: float = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Schedule:
    whole = one("exponential", init_value, end=end_value, length=transition_steps, rate=decay_rate, stairs=staircase)
    return after(transition_begin, whole)


def piecewise_constant_schedule(
    init_value: float, boundaries_and_scales: Mapping[float, float] | None = None
) -> Schedule:
    values, begins = [init_value], sorted(boundaries_and_scales or {})
    for begin in begins:
        values.append(values[-1] * (boundaries_and_scales or {})[begin])
    return steps(values, begins)


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
    fall = one("cosine", peak_value, end=end_value, length=decay_steps - warmup_steps, power=exponent)
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
    return joined([s if isinstance(s, Schedule) else one("constant", s) for s in schedules], boundaries)


def sgdr_schedule(cosine_kwargs: Sequence[Mapping[str, Any]]) -> Schedule:
    ends = list(itertools.accumulate(own["decay_steps"] for own in cosine_kwargs))
    return joined([warmup_cosine_decay_schedule(**own) for own in cosine_kwargs], ends[:-1])


Maker = Callable[..., Schedule]


def _of(module: ModuleType) -> dict[str, Maker]:
    return {n: f for n, f in vars(module).items() if callable(f) and n.endswith(ENDINGS)}


ENDINGS = ("LR", "Restarts", "_schedule", "_with_warmup")
MULTIPLYING = ("torch", "transformers")
"""Whose schedulers multiply the optimizer's lr."""

BY_FRAMEWORK: dict[str, dict[str, Maker]] = {
    "keras": {
        f.__name__: f
        for f in (
            *(CosineDecay, CosineDecayRestarts, ExponentialDecay, PiecewiseConstantDecay, PolynomialDecay),
            InverseTimeDecay,
        )
    },
    "optax": {
        f.__name__: f
        for f in (
            *(constant_schedule, linear_schedule, polynomial_schedule, cosine_decay_schedule, exponential_decay),
            *(piecewise_constant_schedule, warmup_constant_schedule, warmup_cosine_decay_schedule),
            *(warmup_exponential_decay_schedule, join_schedules, sgdr_schedule),
        )
    },
    "torch": _of(torch_schedules),
    "transformers": _of(transformers_schedules),
}
"""Every schedule by its framework and name."""

KNOWN: dict[str, Maker] = {name: f for own in BY_FRAMEWORK.values() for name, f in own.items()}


def _framework(name: str) -> str:
    return next(f for f, own in BY_FRAMEWORK.items() if name in own)


def multiplies(name: str) -> bool:
    """Whether a schedule multiplies the optimizer's lr; then it is given the optimizer as its first argument."""
    return _framework(name) in MULTIPLYING


def made(name: str, args: Sequence[Any], given: Mapping[str, Any], lr: float | None = None) -> Schedule:
    """The schedule of a call by its arguments; `lr` for torch's. Raises ValueError, naming the argument."""
    maker = KNOWN[name]
    first = [lr] if multiplies(name) else []
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
