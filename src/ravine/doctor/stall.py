"""The check of bfloat16 parameters that steps too small to be seen should move."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import Parameter

from ravine.doctor.report import Outcome, Verdict
from ravine.doctor.subject import Stopped, Subject
from ravine.doctor.trials import seed

STEPS = 400
TRAVEL = 0.1
"""How far the float32 run should go in that many steps, from 1."""
HALF_ULP = 2.0**-9
"""Half the distance of bfloat16 numbers below 1: a smaller step, rounded to the nearest, does nothing."""
SEEN = 0.02
"""The least way that tells: five such distances."""


@dataclass(frozen=True)
class Trip:
    """How far a run went, and its longest step, both with one rate."""

    lr: float
    way: float
    longest: float


def bfloat16_stall(subject: Subject) -> Outcome:
    """bfloat16 parameters move although each step is below half an ulp, by default or by `rounding="stochastic"`."""
    if not _has_rate(subject):
        return Verdict.NOT_APPLICABLE, "it has no lr to make the steps small with"
    if refused := subject.refuses(torch.bfloat16):
        return Verdict.NOT_APPLICABLE, f"it takes no bfloat16 parameters ({refused})"
    try:
        trip = _small_steps(subject)
    except Stopped as stop:
        return Verdict.NOT_APPLICABLE, f"it takes no lr to make the steps small with ({stop})"
    if not (abs(trip.way) >= SEEN and trip.longest < HALF_ULP):
        return Verdict.NOT_APPLICABLE, (
            f"no lr was found that makes it walk by steps below half an ulp ({HALF_ULP:.1e}): with lr = {trip.lr:.1e}, "
            f"{STEPS} float32 steps go {abs(trip.way):.1e} far, the longest of them {trip.longest:.1e}"
        )
    got = {"by default": _travel(subject, torch.bfloat16, trip.lr).way / trip.way}
    if subject.accepts("rounding"):
        stochastic = _travel(subject, torch.bfloat16, trip.lr, rounding="stochastic")
        got["with rounding='stochastic'"] = stochastic.way / trip.way
    told = "; ".join(f"{way} {abs(share):.0%}" for way, share in got.items())
    verdict = Verdict.PASS if any(0.8 < share < 1.2 for share in got.values()) else Verdict.FAIL
    return verdict, f"of the way that float32 parameters go in {STEPS} small steps, bfloat16 ones go {told}"


def _has_rate(subject: Subject) -> bool:
    if subject.has("lr"):
        return True
    groups = subject.make([_ones(torch.float32)]).param_groups
    return all(isinstance(g.get("lr"), float) for g in groups)


def _small_steps(subject: Subject) -> Trip:
    """A float32 run with the rate at which it goes as far as it should, or as its longest step allows."""
    short, far = 0.0, math.inf  # rates that are known to be too small, too large
    trip = _travel(subject, torch.float32, 2.0**-12)
    for _ in range(9):
        if not math.isfinite(trip.way):
            wanted, far = trip.lr / 2**10, trip.lr
        elif trip.way == 0:
            wanted, short = trip.lr * 2**10, trip.lr
        else:
            factor = min(TRAVEL / abs(trip.way), 0.9 * HALF_ULP / trip.longest)
            if 0.8 < factor < 1.2 and trip.longest < HALF_ULP:
                break
            wanted = trip.lr * factor
            short, far = (trip.lr, far) if factor > 1 else (short, trip.lr)
        if not short < wanted < far:  # the way is not in proportion to the rate
            wanted = math.sqrt(short * far)
        trip = _travel(subject, torch.float32, wanted)
    return trip


def _travel(subject: Subject, dtype: torch.dtype, lr: float, **options: Any) -> Trip:
    param = _ones(dtype)
    optimizer = subject.make_with_rate([param], lr, **options)
    longest = 0.0
    for number in range(STEPS):
        before = param.detach().clone()
        param.grad = torch.full_like(param, 1.0)
        seed(number)
        subject.step(optimizer)
        longest = max(longest, (param.detach() - before).abs().max().item())
    return Trip(lr, param.detach().double().mean().item() - 1.0, longest)


def _ones(dtype: torch.dtype) -> Parameter:
    return Parameter(torch.ones(64, 64, dtype=dtype))
