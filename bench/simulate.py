"""How fast simulations are on one core: a million trajectory-steps of every rule, and a learning-rate map.

Run `python bench/simulate.py`. A trajectory-step is one step of one run on the oblong bowl; the median of three.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np

from ravine import rules
from ravine.simulate import final, surface
from ravine.simulate.scenarios.maps import MAPPED, momentum_of

TRAJECTORIES, STEPS = 1000, 1000
SIZE, MAP_STEPS = 200, 500


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """The median time of a piece of work."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print the table, and say whether the targets are met."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core
    bowl = surface("oblong_bowl")
    starts = np.random.default_rng(0).uniform(-2, 2, (TRAJECTORIES, 2))
    print(f"{TRAJECTORIES:,} trajectories × {STEPS:,} steps on the oblong bowl, one core (target: 1 s)")
    slowest = 0.0
    for name in rules():
        took = seconds(lambda name=name: final(name, bowl, start=starts, steps=STEPS))  # type: ignore[misc]
        slowest = max(slowest, took)
        print(f"  {name:34} {took:6.3f} s")
    print(f"slowest: {slowest:.3f} s\n")
    print(f"map of {SIZE} × {SIZE} settings of lr × μ, {MAP_STEPS} steps, one core (target: 5 s)")
    lr, mu = np.geomspace(1e-4, 10, SIZE)[None, :], (1 - np.geomspace(1, 0.01, SIZE))[:, None]
    for name in MAPPED:
        decay = {momentum_of(name): mu}
        took = seconds(lambda name=name, decay=decay: final(name, bowl, steps=MAP_STEPS, lr=lr, **decay))  # type: ignore[misc]
        print(f"  {name:34} {took:6.3f} s")


if __name__ == "__main__":
    main()
