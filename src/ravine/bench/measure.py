"""Timing in turn: every implementation once, again and again, so that a busy machine is busy for all alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ravine.bench.cases import Case, make_floor
from ravine.bench.shapes import Shape

AT_LEAST = 0.01
"""Seconds that one timing lasts, by repeating the step."""


def parameters(shapes: Sequence[Shape]) -> list[torch.Tensor]:
    """Parameters of these shapes with gradients, float32."""
    torch.manual_seed(0)
    made: list[torch.Tensor] = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    for p in made:
        p.grad = torch.randn_like(p) * 1e-3
    return made


def compare(case: Case, shapes: Sequence[Shape], pairs: int, compiled: bool = False) -> dict[str, Any]:
    """One optimizer on some shapes: seconds a step of ours, of torch's ways and of the floor, and ratios to ours.

    A ratio is the median over the pairs; its spread is the middle 80 per cent of them.
    """
    params = parameters(shapes)
    optimizer = case.make(params)
    optimizer.step()
    steps: dict[str, Callable[[], Any]] = {"ravine": optimizer.step, "floor": make_floor(params, optimizer).step}
    steps |= {name: make(params).step for name, make in case.theirs(compiled).items()}
    repeats, extra = {}, {}
    for name, step in steps.items():
        step()
        extra[name] = _extra_memory(step)
        repeats[name] = max(1, round(AT_LEAST / max(_time(step, 1), 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(pairs):
        for name, step in steps.items():
            times[name].append(_time(step, repeats[name]))
    return {
        "seconds": {name: statistics.median(t) for name, t in times.items()},
        "ratios": {name: spread(t, times["ravine"]) for name, t in times.items() if name not in ("ravine", "floor")},
        "of_floor": spread(times["ravine"], times["floor"]),
        "extra_memory": extra,
    }


def spread(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """The ratio of two series taken in turn: its median, and the 10th and 90th percentile."""
    ratios = sorted(a / b for a, b in zip(above, below, strict=True))
    last = len(ratios) - 1
    return {
        "median": statistics.median(ratios),
        "low": ratios[round(0.1 * last)],
        "high": ratios[round(0.9 * last)],
    }


def _time(step: Callable[[], Any], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats


def _extra_memory(step: Callable[[], Any]) -> int | None:
    """Bytes by which one step raises the process's peak of resident memory; None where the system doesn't tell."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        return None

    def read(field: str) -> int:
        line = next(line for line in status.read_text().splitlines() if line.startswith(field))
        return 1024 * int(line.split()[1])

    before = read("VmRSS")
    reset.write_text("5")  # the peak starts anew
    step()
    return max(0, read("VmHWM") - before)


FIRST_STEP = """
import time, torch, ravine.torch
torch.set_num_threads({threads})
p = torch.nn.Parameter(torch.ones(1000)); p.grad = torch.ones(1000)
optimizer = ravine.torch.{kind}([p])
start = time.perf_counter()
optimizer.step()
print(time.perf_counter() - start)
"""


def first_step(kind: str = "Adam", processes: int = 3) -> dict[str, float]:
    """Seconds of the first step of a process: "cold", with the compiling, and "warm", with the code in the cache.

    Medians of some processes, each pair of which has a cache of its own.
    """
    script = FIRST_STEP.format(threads=torch.get_num_threads(), kind=kind)
    command = [sys.executable, "-c", script]

    def seconds(cache: str) -> float:
        environment = {**os.environ, "RAVINE_CACHE_DIR": cache}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return float(done.stdout)

    pairs = []
    for _ in range(processes):
        with tempfile.TemporaryDirectory() as cache:
            pairs.append((seconds(cache), seconds(cache)))
    cold, warm = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {"cold": cold, "warm": warm}
