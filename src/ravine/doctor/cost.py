"""Checks of what a step costs beyond its own arithmetic."""

from __future__ import annotations

import logging
import os
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ravine.doctor.report import Outcome, Verdict
from ravine.doctor.subject import Subject, blame
from ravine.doctor.trials import parameters, set_gradients
from ravine.torch.plan import logger, tell

SIDE = 512
WARM, MEASURED = 9, 3
"""Steps before memory is measured, so that the state is made, kernels are compiled and warm-ups like RAdam's are over;
and steps in which it is, since there are classes that do more in every second, third, fifth or sixth."""
SETTLE, COUNTED = 3, 4
"""Steps that may compile before what changes is known, and those after them in which nothing should."""


def extra_memory(subject: Subject) -> Outcome:
    """A step allocates next to nothing beyond parameters, gradients and state."""
    params = parameters(shapes=((SIDE, SIDE),))
    with _reasons() as reasons:
        optimizer = subject.run(params, WARM)
    set_gradients(params, WARM)
    activities = [torch.profiler.ProfilerActivity.CPU]
    with _no_chatter(), torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        with torch.autograd.profiler.record_function("a step to come"):
            pass  # the first profile of a process imports modules, and so does the first step in it
        tracemalloc.start()
        try:
            for _ in range(MEASURED):
                subject.step(optimizer)
            interpreter = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    share = (_peak(profile) + _large(interpreter)) / (4 * SIDE * SIDE)
    verdict = Verdict.PASS if share <= 0.05 else Verdict.FAIL
    size = f"the peak of a step is {share:.2f} times the size of the parameter, here one of {SIDE}×{SIDE}"
    why = "".join(f"; Ravine's log says {reason}" for reason in reasons[-1:])  # the last is about this parameter
    return verdict, size + why


@contextmanager
def _reasons() -> Iterator[list[str]]:
    """Why parameters of an optimizer of Ravine's are not simply stepped by its fused engine, as its debug log says."""
    tell.cache_clear()  # it says so once
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield found
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


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
    """Under `torch.compile` neither a step nor a new value of lr compiles the step anew."""
    params = parameters()
    optimizer = subject.make(params)
    lr = optimizer.param_groups[0].get("lr")
    if not isinstance(lr, (float, int, torch.Tensor)):
        return Verdict.NOT_APPLICABLE, "it has no lr" if lr is None else f"its lr is no number but {lr!r}"
    subject.advance(optimizer, params, range(1))  # the state is made outside
    first, standing, settling, falling = _graphs(subject, optimizer, params)
    if not first:
        return Verdict.NOT_APPLICABLE, "torch.compile finds nothing in its step to compile"
    verdict = Verdict.FAIL if standing or falling else Verdict.PASS
    return verdict, (
        f"compiled anew {_times(standing)} in {COUNTED} steps with lr as it was, {_times(settling)} while it took "
        f"{SETTLE} new values, {_times(falling)} for {COUNTED} more"
    )


def _graphs(subject: Subject, optimizer: torch.optim.Optimizer, params: list[Any]) -> list[int]:
    """How many graphs are compiled in the first steps, in later ones, and then with lr falling, first and later."""
    import torch._dynamo
    from torch._dynamo.utils import counters

    def compiled_in(steps: int, factor: float) -> int:
        before = counters["stats"]["unique_graphs"]
        for number in range(steps):
            if factor != 1:
                for group in optimizer.param_groups:
                    group["lr"] *= factor
            set_gradients(params, number)
            compiled()
        return int(counters["stats"]["unique_graphs"] - before)

    torch._dynamo.reset()
    limit = next(n for n in ("recompile_limit", "cache_size_limit") if hasattr(torch._dynamo.config, n))
    try:
        with torch._dynamo.config.patch({limit: 8 * (SETTLE + COUNTED)}), blame("a compiled step"):
            step = subject.stepping(optimizer)
            compiled = torch.compile(lambda: step(), backend="eager")
            return [compiled_in(n, factor) for factor in (1, 0.9) for n in (SETTLE, COUNTED)]
    finally:
        torch._dynamo.reset()


def _times(count: int) -> str:
    return f"{count} time{'s' * (count != 1)}"
