"""Checks of what arithmetic can do to a run. A guard that must be asked for by an option counts, if it works."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import Parameter

from ravine.doctor.report import Verdict
from ravine.doctor.subject import Subject, advance, brief, gradients, identical, parameters, state_tensors, step

Outcome = tuple[Verdict, str]

STALL_STEPS = 400
TRAVEL = 0.1
"""How far the stall check's float32 run goes in that many steps: each is far below half a bfloat16 ulp of 1."""


def one_nan(subject: Subject) -> Outcome:
    """One NaN in one gradient does not spoil the run, by default or by a guard that the class offers."""
    params = parameters()
    optimizer = subject.make(params)
    advance(optimizer, params, range(2))
    _bad_step(optimizer, params)
    advance(optimizer, params, range(3, 6))
    lost = sum(int((~p.isfinite()).sum()) for p in params)
    if not lost:
        return Verdict.PASS, "all parameters finite three clean steps after a NaN in one gradient"
    harm = f"one NaN in one gradient leaves {lost} parameter{'s' if lost > 1 else ''} NaN for ever"
    if not subject.accepts("on_nonfinite"):
        return Verdict.FAIL, harm
    params = parameters()
    optimizer = subject.make(params, on_nonfinite="skip")
    advance(optimizer, params, range(2))
    before = [t.clone() for t in (*params, *state_tensors(optimizer).values())]
    _bad_step(optimizer, params)
    if not identical([*params, *state_tensors(optimizer).values()], before):
        return Verdict.FAIL, f"{harm}; on_nonfinite='skip' did not leave parameters and state alone"
    try:
        _bad_step(subject.make(params, on_nonfinite="error"), params)
    except (RuntimeError, ValueError, ArithmeticError):
        return Verdict.PASS, "as in torch by default; on_nonfinite='skip' leaves everything alone, 'error' raises"
    return Verdict.FAIL, f"{harm}; on_nonfinite='error' raised nothing"


def _bad_step(optimizer: Any, params: list[Parameter]) -> None:
    for p, g in zip(params, gradients(params, 2), strict=True):
        p.grad = g
    assert params[0].grad is not None
    params[0].grad[0, 0] = torch.nan
    step(optimizer)


def bfloat16_stall(subject: Subject) -> Outcome:
    """bfloat16 parameters move although each step is below half an ulp, by default or by `rounding="stochastic"`."""
    if not subject.accepts("lr"):
        return Verdict.NOT_APPLICABLE, "it has no option lr to make the steps small with"
    lr = 2.0**-12
    try:
        subject.make(parameters(), lr=lr)
    except (TypeError, ValueError) as error:
        return Verdict.NOT_APPLICABLE, f"it takes no lr to make the steps small with: {brief(error)}"
    lr *= TRAVEL / abs(_travel(subject, torch.float32, lr=lr))
    expected = _travel(subject, torch.float32, lr=lr)
    got = {"by default": _travel(subject, torch.bfloat16, lr=lr) / expected}
    if subject.accepts("rounding"):
        got["with rounding='stochastic'"] = _travel(subject, torch.bfloat16, lr=lr, rounding="stochastic") / expected
    told = "; ".join(f"{way} {abs(share):.0%}" for way, share in got.items())
    verdict = Verdict.PASS if any(0.8 < share < 1.2 for share in got.values()) else Verdict.FAIL
    return verdict, f"of the way that float32 parameters go in {STALL_STEPS} small steps, bfloat16 ones go {told}"


def _travel(subject: Subject, dtype: torch.dtype, **options: Any) -> float:
    param = Parameter(torch.ones(16, 16, dtype=dtype))
    optimizer = subject.make([param], **options)
    for _ in range(STALL_STEPS):
        param.grad = torch.full_like(param, 1.0)
        step(optimizer)
    return param.detach().double().mean().item() - 1.0
