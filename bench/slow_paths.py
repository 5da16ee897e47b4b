"""A step where the fused engine can't take a parameter as it is, against torch's loop and its default.

python bench/slow_paths.py            # prints torch's time over ours, medians of pairs taken in turn

Each case has 20 parameters of 64 × 64, all or one of them odd in some way. A ratio below 1 is a fault.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from typing import Any

import torch

import ravine.torch
from ravine.bench.measure import spread

COUNT, SIDE, REPEATS = 20, 64, 5

Make = Callable[[int], tuple[torch.Tensor, Callable[[], torch.Tensor | None]]]
"""The parameter of a number, and a function that makes its gradients."""


def _square(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(SIDE, SIDE, dtype=dtype)


def _plain(_: int) -> tuple[torch.Tensor, Callable[[], torch.Tensor]]:
    g = _square()
    return torch.nn.Parameter(_square()), g.clone


def _transposed(_: int) -> tuple[torch.Tensor, Callable[[], torch.Tensor]]:
    g = _square()
    return torch.nn.Parameter(_square()), lambda: g.clone().T


def _expanded(_: int) -> tuple[torch.Tensor, Callable[[], torch.Tensor]]:
    g = torch.randn(SIDE, 1)
    return torch.nn.Parameter(_square()), lambda: g.clone().expand(SIDE, SIDE)


def _with_gaps(_: int) -> tuple[torch.Tensor, Callable[[], torch.Tensor]]:
    g = _square()
    return torch.nn.Parameter(torch.randn(SIDE, 2 * SIDE)[:, ::2]), g.clone


def _complex_transposed(_: int) -> tuple[torch.Tensor, Callable[[], torch.Tensor]]:
    g = _square(torch.complex64)
    return torch.nn.Parameter(_square(torch.complex64)), lambda: g.clone().T


def _now_and_then(number: int) -> tuple[torch.Tensor, Callable[[], torch.Tensor | None]]:
    g, generator = _square(), random.Random(number)
    return torch.nn.Parameter(_square()), lambda: g.clone() if generator.random() < 0.5 else None


def _with_gaps_now_and_then(number: int) -> tuple[torch.Tensor, Callable[[], torch.Tensor | None]]:
    return _with_gaps(number)[0], _now_and_then(number)[1]


def _one_of_many(odd: Make) -> Make:
    return lambda number: odd(number) if number == 0 else _plain(number)


CASES: dict[str, Make] = {
    "plain": _plain,
    "transposed gradients": _transposed,
    "one transposed gradient": _one_of_many(_transposed),
    "expanded gradients": _expanded,
    "parameters with gaps": _with_gaps,
    "one parameter with gaps": _one_of_many(_with_gaps),
    "transposed complex gradients": _complex_transposed,
    "integer counts": _plain,
    "bfloat16 counts": _plain,
    "gradients now and then": _now_and_then,
    "with gaps, now and then": _with_gaps_now_and_then,
}
COUNTS = {"integer counts": torch.int64, "bfloat16 counts": torch.bfloat16}
"""What a case has its step counts in, if not in torch's type."""

KINDS: dict[str, dict[str, Any]] = {"SGD": {}, "SGD with momentum": {"momentum": 0.9}, "RMSprop": {}, "Adam": {}}


class Contender:
    """Parameters with an optimizer, whose step by new gradients is timed."""

    def __init__(self, make: Make, optimizer: Callable[[list[torch.Tensor]], Any], counts: torch.dtype | None) -> None:
        torch.manual_seed(0)
        self.params, self.gradients = map(list, zip(*map(make, range(COUNT)), strict=True))
        self.optimizer = optimizer(self.params)
        self.seconds()
        for own in self.optimizer.state.values() if counts else ():
            if "step" in own:
                own["step"] = own["step"].to(counts)

    def seconds(self) -> float:
        """A step's."""
        taken = 0.0
        for _ in range(REPEATS):
            for p, gradient in zip(self.params, self.gradients, strict=True):
                p.grad = gradient()
            start = time.perf_counter()
            self.optimizer.step()
            taken += time.perf_counter() - start
        return taken / REPEATS


def compare(kind: str, case: str, pairs: int) -> dict[str, dict[str, float]]:
    """torch's time over ours: its loop's, and its default's."""
    options = {"lr": 1e-3, **KINDS[kind]}
    make, counts, name = CASES[case], COUNTS.get(case), kind.split()[0]
    ours = Contender(make, lambda params: getattr(ravine.torch, name)(params, **options), counts)
    loop = Contender(make, lambda params: getattr(torch.optim, name)(params, foreach=False, **options), counts)
    default = Contender(make, lambda params: getattr(torch.optim, name)(params, **options), counts)
    contenders = {"ours": ours, "loop": loop, "default": default}
    for contender in contenders.values():
        contender.seconds()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(pairs):
        for name, contender in contenders.items():
            times[name].append(contender.seconds())
    return {name: spread(times[name], times["ours"]) for name in ("loop", "default")}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("torch's time over Ravine's: median (10th to 90th percentile)")
    for name in CASES:
        for kind in KINDS:
            found = compare(kind, name, arguments.pairs)
            words = (f"{way} {r['median']:.2f} ({r['low']:.2f} to {r['high']:.2f})" for way, r in found.items())
            print(f"{name:30} {kind:18} {'   '.join(words)}", flush=True)


if __name__ == "__main__":
    main()
