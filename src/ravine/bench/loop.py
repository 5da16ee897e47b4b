"""A step where it is taken in earnest: in a training loop that makes new gradients and leaves caches as it will."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch

from ravine.bench.cases import Case
from ravine.bench.measure import spread
from ravine.bench.shapes import Shape

BATCH = 8
"""Rows of input that every layer is given."""

WARM_UP = 4
"""Steps of each optimizer that are not counted: they make the state and the plan."""

BLOCK = 5
"""Steps that one optimizer takes in a row where the optimizers take turns in blocks."""

SHORT, MORE = 0.1, 4
"""Where a turn takes less than so many seconds, so many times as many are taken."""

ONE_THREAD = "one thread"

clock = time.perf_counter
"""What tells the time of a step; on a machine that others use too, `time.thread_time` (with one thread) is fairer."""


class Network:
    """A network with a branch for every shape, whose training makes new gradients each time.

    A matrix is a linear layer, a kernel one over its flattened rows, a vector a gain; each is followed by tanh, and all
    end in one loss.
    """

    def __init__(self, shapes: Sequence[Shape]) -> None:
        generator = torch.Generator().manual_seed(0)
        self.params: list[torch.Tensor] = [
            torch.nn.Parameter(0.02 * torch.randn(shape, generator=generator)) for shape in shapes
        ]
        self.inputs = {n: torch.randn(BATCH, n, generator=generator) for n in {_width(p) for p in self.params}}

    def loss(self) -> torch.Tensor:
        """The forward pass."""
        return torch.stack([self._branch(p) for p in self.params]).sum()

    def _branch(self, p: torch.Tensor) -> torch.Tensor:
        x = self.inputs[_width(p)]
        y = x @ p.flatten(1).T if p.dim() > 1 else x * p
        return y.tanh().mean()

    def turn(self, optimizer: Any) -> float:
        """Forward, backward, step, and the gradients let go. Returns the seconds that the step took."""
        self.loss().backward()  # type: ignore[no-untyped-call]
        start = clock()
        optimizer.step()
        taken = clock() - start
        for p in self.params:
            p.grad = None  # what zero_grad(set_to_none=True) does
        return taken


def _width(p: torch.Tensor) -> int:
    return p[0].numel() if p.dim() > 1 else p.numel()


class _OnOneThread:
    """An optimizer of ours that is told of one thread, while torch keeps its own."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    def step(self) -> None:
        threads, torch.get_num_threads = torch.get_num_threads, lambda: 1
        try:
            self.optimizer.step()
        finally:
            torch.get_num_threads = threads


def compare(case: Case, shapes: Sequence[Shape], pairs: int) -> dict[str, Any]:
    """One optimizer in a training loop: ours, ours on one thread (where torch has more), and torch's ways.

    They train one network, each with state of its own, and take turns step by step ("in_turn") and in blocks
    ("in_blocks"), because what ran before says whether caches are warm and whether torch's threads sleep. Of each:
    seconds a step, and ratios to ours, which are medians over the steps with the middle 80 per cent. `pairs` is the
    number of steps of each, four times as many where forward and backward are quick.
    """
    network = Network(shapes)
    optimizers: dict[str, Any] = {"ravine": case.make(network.params)}
    if torch.get_num_threads() > 1:
        optimizers[ONE_THREAD] = _OnOneThread(case.make(network.params))
    optimizers |= {name: make(network.params) for name, make in case.theirs(compiled=False).items()}
    start = time.perf_counter()
    for _ in range(WARM_UP):
        for optimizer in optimizers.values():
            network.turn(optimizer)
    is_quick = time.perf_counter() - start < SHORT * WARM_UP * len(optimizers)
    steps = pairs * (MORE if is_quick else 1)
    return {"in_turn": _times(network, optimizers, steps, 1), "in_blocks": _times(network, optimizers, steps, BLOCK)}


def _times(network: Network, optimizers: dict[str, Any], steps: int, block: int) -> dict[str, Any]:
    times: dict[str, list[float]] = {name: [] for name in optimizers}
    for number in range(-(-steps // block)):
        names = list(optimizers) if number % 2 else list(reversed(optimizers))  # so that each comes behind others
        for name in names:
            times[name] += [network.turn(optimizers[name]) for _ in range(block)]
    ours = times["ravine"]
    return {
        "seconds": {name: statistics.median(t) for name, t in times.items()},
        "ratios": {name: spread(t, ours) for name, t in times.items() if name != "ravine"},
    }
