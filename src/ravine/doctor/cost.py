"""Checks of what a step costs beyond its own arithmetic."""

from __future__ import annotations

import os
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ravine.doctor.report import Verdict
from ravine.doctor.subject import Subject, advance, parameters, set_gradients, step

Outcome = tuple[Verdict, str]

SIDE = 512


def extra_memory(subject: Subject) -> Outcome:
    """A step allocates next to nothing beyond parameters, gradients and state."""
    params = parameters(shapes=((SIDE, SIDE),))
    optimizer = subject.make(params)
    advance(optimizer, params, range(3))  # the state is made and every kernel compiled
    set_gradients(params, 3)
    tracemalloc.start()
    try:
        activities = [torch.profiler.ProfilerActivity.CPU]
        with _no_chatter(), torch.profiler.profile(activities=activities, profile_memory=True) as profile:
            step(optimizer)
        interpreter = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    share = (_peak(profile) + _large(interpreter)) / (4 * SIDE * SIDE)
    verdict = Verdict.PASS if share <= 0.05 else Verdict.FAIL
    return verdict, f"the peak of one step is {share:.2f} times the size of the parameter, here one of {SIDE}×{SIDE}"


def _peak(profile: Any) -> int:
    """The largest sum of what torch has allocated and not freed since the profile began."""
    held = peak = 0
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


@contextmanager
def _no_chatter() -> Iterator[None]:
    """Nothing from libraries written in C on standard error: the profiler announces itself there."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _large(interpreter: int) -> int:
    """What Python and NumPy took, less the profiler's own few kilobytes."""
    return max(0, interpreter - 32 * 1024)


def recompiles(subject: Subject) -> Outcome:
    """Under `torch.compile` a schedule of lr does not compile the step anew for every value."""
    import torch._dynamo
    from torch._dynamo.utils import counters

    params = parameters()
    optimizer = subject.make(params)
    lr = optimizer.param_groups[0].get("lr")
    if not isinstance(lr, (float, int, torch.Tensor)):
        return Verdict.NOT_APPLICABLE, "it has no lr" if lr is None else f"its lr is no number but {lr!r}"
    advance(optimizer, params, range(1))  # the state is made outside

    def graphs() -> int:
        return int(counters["stats"]["unique_graphs"])

    torch._dynamo.reset()
    try:
        compiled = torch.compile(lambda: step(optimizer), backend="eager")
        for number in range(3):
            set_gradients(params, number)
            compiled()
        before, values = graphs(), 5
        for number in range(values):
            optimizer.param_groups[0]["lr"] *= 0.9
            set_gradients(params, number)
            compiled()
        extra = graphs() - before
    finally:
        torch._dynamo.reset()
    verdict = Verdict.PASS if extra <= 1 else Verdict.FAIL
    return verdict, f"compiled anew {extra} time{'s' * (extra != 1)} while lr took {values} new values"
