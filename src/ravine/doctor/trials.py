"""The small training runs that the checks are made of, and how their results are compared."""

from __future__ import annotations

import random
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

SHAPES = ((64, 80), (3, 5))
"""Matrices, since there are optimizers that take nothing else. The first has blocks enough for 8-bit state, which is
usual from 4096 elements on; the second is too small for it."""


def parameters(dtype: torch.dtype = torch.float32, shapes: Sequence[tuple[int, ...]] = SHAPES) -> list[Parameter]:
    """The same parameters at every call."""
    generator = torch.Generator().manual_seed(0)
    return [Parameter(torch.randn(s, generator=generator, dtype=torch.float64).to(dtype)) for s in shapes]


def gradients(params: Sequence[Tensor], number: int) -> list[Tensor]:
    """Gradients for the `number`-th step, the same at every call."""
    generator = torch.Generator().manual_seed(1000 + number)
    return [torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype) for p in params]


def set_gradients(params: Sequence[Tensor], number: int) -> None:
    """Give every parameter its gradient of that step."""
    for p, g in zip(params, gradients(params, number), strict=True):
        p.grad = g


def seed(number: int) -> None:
    """Start every common source of random numbers anew."""
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


def random_state() -> tuple[object, ...]:
    """Where those sources stand; two of these can be compared."""
    kind, keys, position, *_ = np.random.get_state()
    return torch.get_rng_state().tolist(), kind, np.asarray(keys).tolist(), position, random.getstate()


@contextmanager
def random_numbers_kept() -> Iterator[None]:
    """What is drawn or seeded inside is not seen outside."""
    python, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy_state)


def largest_difference(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """The largest absolute difference; infinite where only one is finite."""
    worst = 0.0
    for x, y in zip(a, b, strict=True):
        gap = (x.detach().double() - y.detach().double()).abs()
        gap[~(x.isfinite() & y.isfinite()) & ~(x == y)] = torch.inf
        worst = max(worst, gap.max().item() if gap.numel() else 0.0)
    return worst


def identical(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    """Whether all tensors agree bit for bit."""
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def brief(error: BaseException) -> str:
    """An exception in one line; where it has no message, the line of code that raised it."""
    first = next(iter(str(error).strip().splitlines()), "")
    if not first and (frames := traceback.extract_tb(error.__traceback__)):
        first = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}: {frames[-1].line}"
    text = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return text if len(text) <= 160 else text[:159] + "…"
