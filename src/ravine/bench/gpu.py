"""Timing steps on a GPU: in turn, by the device's own events, beside a copy of the same bytes in the same run."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ravine.bench.cases import Case
from ravine.bench.measure import spread
from ravine.bench.shapes import Shape

PEERS = {"apex": ("apex.optimizers", {"Adam": "FusedAdam", "SGD": "FusedSGD", "Adagrad": "FusedAdagrad"})}
PEERS["bitsandbytes"] = ("bitsandbytes.optim", {"Adam": "Adam32bit", "AdamW": "AdamW32bit", "Lion": "Lion32bit"})
"""Other libraries' optimizers that are timed where they are installed: the module, and its name for a class."""

STEPS = 20
"""Steps between two events."""


def parameters(shapes: Sequence[Shape], device: str, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Parameters of these shapes with gradients, on a device."""
    torch.manual_seed(0)
    made: list[torch.Tensor] = [torch.nn.Parameter(torch.randn(shape, device=device, dtype=dtype)) for shape in shapes]
    for p in made:
        p.grad = torch.randn_like(p) * 1e-3
    return made


def seconds(step: Callable[[], Any], device: str, steps: int = STEPS) -> float:
    """Of one step, from the first's start to the last's end on the device."""
    if not device.startswith("cuda"):  # for the tests, which have no other
        start = time.perf_counter()
        for _ in range(steps):
            step()
        return (time.perf_counter() - start) / steps
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize(device)
    begin.record()
    for _ in range(steps):
        step()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3 / steps


def moved_bytes(optimizer: torch.optim.Optimizer) -> int:
    """What a step must move: parameters and arrays of state read and written, gradients read."""
    total = 0
    for group in optimizer.param_groups:
        for p in group["params"]:
            state = [v for v in optimizer.state.get(p, {}).values() if torch.is_tensor(v) and v.shape == p.shape]
            total += 2 * p.nbytes + p.grad.nbytes + sum(2 * v.nbytes for v in state)
    return total


def copy_seconds(count: int, device: str, pairs: int) -> float:
    """Of a copy within the device's memory that moves so many bytes, half of them read and half written."""
    source = torch.empty(max(count // 2, 1), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    return statistics.median(seconds(lambda: target.copy_(source), device) for _ in range(pairs))


def launches(step: Callable[[], Any]) -> int:
    """Kernels that one step starts."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as found:
        step()
    return sum("LaunchKernel" in event.name for event in found.events())


def extra_memory(step: Callable[[], Any], device: str) -> int:
    """Bytes by which one step raises the peak of what torch has allocated on the device."""
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def compare(case: Case, shapes: Sequence[Shape], pairs: int, compiled: bool, device: str) -> dict[str, Any]:
    """One optimizer on some shapes: seconds a step of ours and of its peers, ratios to ours, the share of a copy.

    All step the same parameters in turn. On a GPU also launches a step, extra memory, and the first step's seconds.
    """
    params = parameters(shapes, device)
    start = time.perf_counter()
    optimizer = case.make(params)
    optimizer.step()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    first = time.perf_counter() - start
    made = {"ravine": optimizer, **{name: make(params) for name, make in case.theirs(compiled).items()}}
    made |= _peers(case, params)
    steps: dict[str, Callable[[], Any]] = {name: o.step for name, o in made.items()}
    for step in steps.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(pairs):
        for name, step in steps.items():
            times[name].append(seconds(step, device))
    count = moved_bytes(optimizer)
    copied = copy_seconds(count, device, pairs)
    ours = statistics.median(times["ravine"])
    found: dict[str, Any] = {
        "seconds": {name: statistics.median(t) for name, t in times.items()},
        "ratios": {name: spread(t, times["ravine"]) for name, t in times.items() if name != "ravine"},
        "moved_bytes": count,
        "copy_bytes_per_second": count / copied,
        "share_of_copy": copied / ours,
        "first_step": first,
    }
    if device.startswith("cuda"):
        found["launches"] = {name: launches(step) for name, step in steps.items()}
        found["extra_memory"] = {name: extra_memory(step, device) for name, step in steps.items()}
    return found


def _peers(case: Case, params: list[torch.Tensor]) -> dict[str, torch.optim.Optimizer]:
    """Other libraries' optimizers of the same kind, where they are installed and take the same options."""
    found = {}
    for name, (module, kinds) in PEERS.items():
        try:
            found[name] = getattr(importlib.import_module(module), kinds[case.kind])(params, **case.options)
        except (ImportError, KeyError, AttributeError, TypeError):
            continue
    return found
