"""Checks of what arithmetic can do to a run. A guard that must be asked for by an option counts, if it works."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from ravine.doctor.report import Outcome, Verdict
from ravine.doctor.state import changed, names, snapshot, state_tensors
from ravine.doctor.subject import Stopped, Subject
from ravine.doctor.trials import gradients, parameters, seed

CLEAN = 80
"""Clean steps after a NaN: enough for delayed gradients, slow weights and periodic work to have had their turn."""


def one_nan(subject: Subject) -> Outcome:
    """One NaN in one gradient does not spoil the run, by default or by a guard that the class offers."""
    params = parameters()
    optimizer = subject.run(params, 2)
    before = snapshot(optimizer)
    try:
        _bad_step(subject, optimizer, params)
    except Stopped as stop:
        if spoilt := changed(before, snapshot(optimizer)):
            return Verdict.FAIL, f"the step with a NaN stops ({stop}) after it has changed {names(spoilt)}"
        return Verdict.PASS, f"the step with a NaN changes nothing and stops ({stop})"
    harm = _harm(subject, optimizer, params)
    if not harm:
        return Verdict.PASS, f"all parameters finite and moving in {CLEAN} clean steps after a NaN in one gradient"
    return _guard(subject, f"one NaN in one gradient leaves {harm}")


def _bad_step(subject: Subject, optimizer: Any, params: list[Parameter]) -> None:
    for p, g in zip(params, gradients(params, 2), strict=True):
        p.grad = g
    assert params[0].grad is not None
    params[0].grad[0, 0] = torch.nan
    seed(2)
    subject.step(optimizer)


def _harm(subject: Subject, optimizer: Any, params: list[Parameter]) -> str:
    """What is lost after many clean steps; empty if nothing is."""
    try:
        moved = _moved(subject, optimizer, params)
    except Stopped as stop:
        return f"no way on: a clean step later, {stop}"
    if lost := sum(int((~p.isfinite()).sum()) for p in params):
        return f"{lost} parameter{'s' * (lost > 1)} not finite {CLEAN} clean steps later"
    clean = parameters()
    still = sum(
        int((was & ~now).sum()) for was, now in zip(_moved(subject, subject.run(clean, 3), clean), moved, strict=True)
    )
    if not still:
        return ""
    spoilt = [key for key, t in state_tensors(optimizer).items() if t.is_floating_point() and not t.isfinite().all()]
    cause = f"; {names(spoilt)} not finite" * bool(spoilt)
    return (
        f"{still} parameter{'s' * (still > 1)} that never move{'s' * (still == 1)} again in {CLEAN} clean steps{cause}"
    )


def _moved(subject: Subject, optimizer: Any, params: list[Parameter]) -> list[Tensor]:
    """Which elements the second half of many clean steps moves."""
    subject.advance(optimizer, params, range(3, 3 + CLEAN // 2))
    halfway = [p.detach().clone() for p in params]
    subject.advance(optimizer, params, range(3 + CLEAN // 2, 3 + CLEAN))
    return [p.detach() != half for p, half in zip(params, halfway, strict=True)]


def _guard(subject: Subject, harm: str) -> Outcome:
    """Whether the guard that the class offers works."""
    if not subject.accepts("on_nonfinite"):
        return Verdict.FAIL, harm
    params = parameters()
    optimizer = subject.run(params, 2, on_nonfinite="skip")
    before = snapshot(optimizer)
    _bad_step(subject, optimizer, params)
    if changed(before, snapshot(optimizer)):
        return Verdict.FAIL, f"{harm}; on_nonfinite='skip' did not leave parameters and state alone"
    try:
        _bad_step(subject, subject.make(params, on_nonfinite="error"), params)
    except Stopped:
        return Verdict.PASS, "as in torch by default; on_nonfinite='skip' leaves everything alone, 'error' raises"
    return Verdict.FAIL, f"{harm}; on_nonfinite='error' raised nothing"
