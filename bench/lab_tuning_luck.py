"""Why every repetition is tuned anew: how often copies of one optimizer are falsely told apart otherwise.

Runs one optimizer at every point of its search space with many seeds; then draws from these runs thousands of
comparisons of nine copies, tuned once for all seeds, or anew for each seed as `ravine compare` does.

    python bench/lab_tuning_luck.py --out bench/results/lab_tuning_luck.json
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ravine
from ravine.lab import tasks
from ravine.lab.compare import environment
from ravine.lab.protocol import Protocol
from ravine.lab.records import Settings
from ravine.lab.runner import run
from ravine.lab.schedule import CONSTANT, LINEAR
from ravine.lab.space import search_space
from ravine.lab.statistics import pairs

COPIES, COMPARISONS, SEEDS = 9, 200, 60


def final_losses(rule: str, steps: int, schedule: str) -> Any:
    """Final losses, shape (points of the search space, seeds)."""
    points = Protocol(steps=steps).trial_points(search_space(ravine.rule(rule), {}), 0)
    load = partial(tasks.find, "digits")
    return np.array(
        [
            [
                run(load, Settings("digits", rule, rule, point, seed, steps, "", 0, schedule=schedule)).loss
                for seed in range(SEEDS)
            ]
            for point in sorted(points, key=lambda p: p["lr"])
        ]
    )


def falsely_separated(losses: Any, seeds: int, anew: bool, random: np.random.Generator) -> float:
    """The share of comparisons of equals in which some pair comes out separated."""
    count = 0
    for _ in range(COMPARISONS):
        copies = {}
        for copy in range(COPIES):
            order = random.permutation(SEEDS)
            tuned, fresh = order[:seeds], order[seeds : 2 * seeds]
            once = losses[:, tuned[:2]].mean(axis=1).argmin()  # one tuning, on two seeds
            best = losses[:, tuned].argmin(axis=0) if anew else np.full(seeds, once)
            copies[str(copy)] = list(losses[best, fresh])
        count += any(p.separated for p in pairs(copies))
    return count / COMPARISONS


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rule", default="adam")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    result: dict[str, Any] = {"rule": given.rule, "steps": given.steps, "environment": environment()}
    for schedule in (CONSTANT, LINEAR):
        losses = final_losses(given.rule, given.steps, schedule)
        for seeds in (5, 10):
            for anew in (False, True):
                name = f"{schedule}, {seeds} seeds, {'tuned anew' if anew else 'tuned once'}"
                result[name] = falsely_separated(losses, seeds, anew, random)
                print(f"{name}: {result[name]:.1%} of comparisons falsely separate copies")
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
