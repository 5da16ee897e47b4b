"""What a step costs when there is next to nothing to compute: one parameter of 64 numbers, one thread.

`python bench/overhead.py` prints microseconds per step, the median of runs taken in turn, for each class of
ravine.torch and every way that torch has.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

import ravine.torch

CLASSES = ("SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "AdamW", "NAdam", "RAdam", "Adamax")
FUSED = ("SGD", "Adagrad", "Adam", "AdamW")
STEPS, ROUNDS = 300, 25


def optimizer(kind: Any, **options: Any) -> Any:
    """One that has made its state and its kernel."""
    p = torch.nn.Parameter(torch.randn(64))
    p.grad = torch.randn(64)
    made = kind([p], **options)
    made.step()
    made.step()
    return made


def microseconds(made: Any) -> float:
    """Per step."""
    start = time.perf_counter()
    for _ in range(STEPS):
        made.step()
    return (time.perf_counter() - start) / STEPS * 1e6


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}; microseconds per step, median of {ROUNDS} rounds of {STEPS}")
    print(f"{'':10}{'ravine':>9}{'torch':>9}{'foreach':>9}{'fused':>9}")
    for name in CLASSES:
        torchs = getattr(torch.optim, name)
        ways = [optimizer(getattr(ravine.torch, name)), optimizer(torchs), optimizer(torchs, foreach=True)]
        if name in FUSED:
            ways.append(optimizer(torchs, fused=True))
        rounds = [[microseconds(way) for way in ways] for _ in range(ROUNDS)]
        print(f"{name:10}" + "".join(f"{statistics.median(column):9.1f}" for column in zip(*rounds, strict=True)))


if __name__ == "__main__":
    main()
