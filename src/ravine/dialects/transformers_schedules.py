"""transformers' schedules (transformers/optimization.py), each a LambdaLR that multiplies the optimizer's lr.

torch saves nothing of their functions, so what a checkpoint's is has to be said.
"""

from __future__ import annotations

import math

from ravine.schedules import Piece, Schedule, joined, one

LATER = 1e-9
"""What puts a beginning behind the step that it falls on."""


def _warmed(lr: float, warmup: float, rest: Schedule) -> Schedule:
    """A line from zero to lr, then the rest."""
    return joined([one("polynomial", 0.0, end=lr, length=warmup), rest], [warmup]) if warmup > 0 else rest


def get_constant_schedule(lr: float, last_epoch: int = -1) -> Schedule:
    return one("constant", lr)


def get_constant_schedule_with_warmup(lr: float, num_warmup_steps: int, last_epoch: int = -1) -> Schedule:
    return _warmed(lr, num_warmup_steps, one("constant", lr))


def get_linear_schedule_with_warmup(
    lr: float, num_warmup_steps: int, num_training_steps: int, last_epoch: int = -1
) -> Schedule:
    return _warmed(
        lr, num_warmup_steps, one("polynomial", lr, end=0.0, length=max(1, num_training_steps - num_warmup_steps))
    )


def get_cosine_schedule_with_warmup(
    lr: float, num_warmup_steps: int, num_training_steps: int, num_cycles: float = 0.5, last_epoch: int = -1
) -> Schedule:
    return _cosine(lr, num_warmup_steps, num_training_steps, num_cycles, 0.0)


def get_cosine_with_min_lr_schedule_with_warmup(
    lr: float,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
) -> Schedule:
    if (min_lr is None) is (min_lr_rate is None):
        raise ValueError("one of min_lr and min_lr_rate must be given")
    end = lr * min_lr_rate if min_lr_rate is not None else min_lr or 0.0
    return _cosine(lr, num_warmup_steps, num_training_steps, num_cycles, end)


def _cosine(lr: float, warmup: int, training: int, cycles: float, end: float) -> Schedule:
    half = max(1, training - warmup) / (2 * cycles)
    return _warmed(lr, warmup, one("cosine waves", lr, end=end, length=half))  # beyond the training it rises again


def get_cosine_with_hard_restarts_schedule_with_warmup(
    lr: float, num_warmup_steps: int, num_training_steps: int, num_cycles: int = 1, last_epoch: int = -1
) -> Schedule:
    span = max(1, num_training_steps - num_warmup_steps)
    pieces = [Piece("cosine", lr, end=0.0, length=span / num_cycles, begin=b) for b in _begins(num_cycles, span)]
    return _warmed(lr, num_warmup_steps, Schedule((*pieces, Piece("constant", 0.0, begin=span))))


def _begins(cycles: int, span: int) -> list[float]:
    """When cosines begin; one whose begin transformers rounds to the end of the one before begins right after it."""
    begins = [0.0]
    for cycle in range(1, math.ceil(cycles)):
        begin = cycle * span / cycles
        step = round(begin)
        if abs(begin - step) < LATER:
            begin = step + LATER if (cycles * (step / span)) % 1.0 > 0.5 else step
        begins.append(begin)
    return begins


def get_polynomial_decay_schedule_with_warmup(
    lr: float,
    num_warmup_steps: int,
    num_training_steps: int,
    lr_end: float = 1e-7,
    power: float = 1.0,
    last_epoch: int = -1,
) -> Schedule:
    fall = one("polynomial", lr, end=lr_end, length=num_training_steps - num_warmup_steps, power=power)
    return _warmed(lr, num_warmup_steps, fall)


def get_inverse_sqrt_schedule(
    lr: float, num_warmup_steps: int, timescale: int | None = None, last_epoch: int = -1
) -> Schedule:
    scale = timescale if timescale is not None else num_warmup_steps or 10_000
    return _warmed(lr, num_warmup_steps, one("inverse time", lr, length=scale, power=0.5))


def get_wsd_schedule(
    lr: float,
    num_warmup_steps: int,
    num_decay_steps: int,
    num_training_steps: int | None = None,
    num_stable_steps: int | None = None,
    warmup_type: str = "linear",
    decay_type: str = "cosine",
    min_lr_ratio: float = 0.0,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
) -> Schedule:
    kinds = {"linear": "polynomial", "cosine": "cosine"}
    if warmup_type not in kinds or decay_type not in kinds:
        raise ValueError(f"warmup_type and decay_type must be linear or cosine here, got {warmup_type}, {decay_type}")
    if decay_type == "cosine" and num_cycles != 0.5:
        raise ValueError(f"num_cycles must be 0.5 here, half a wave, got {num_cycles!r}")
    if num_stable_steps is None and num_training_steps is None:
        raise ValueError("one of num_training_steps and num_stable_steps must be given")
    least = lr * min_lr_ratio
    falls = num_stable_steps
    if falls is None:
        falls = (num_training_steps or 0) - num_warmup_steps - num_decay_steps
    fall = one(kinds[decay_type], lr, end=least, length=num_decay_steps)
    stable = joined([one("constant", lr), fall], [falls]) if falls > 0 else fall
    if num_warmup_steps <= 0:
        return stable
    return joined([one(kinds[warmup_type], least, end=lr, length=num_warmup_steps), stable], [num_warmup_steps])
