"""What the lab's runner adds to a bare training loop of the same task: paired runs in turn, the median of the ratios.

The bare loop is what one would write by hand: the same model, batches, optimizer and evaluations, nothing recorded.

    python bench/lab_overhead.py --out bench/results/lab_overhead.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

import ravine
from ravine.lab import tasks
from ravine.lab.compare import environment
from ravine.lab.records import Settings
from ravine.lab.runner import run


def bare(task: Any, steps: int, seed: int) -> float:
    """Train by hand; return the last validation loss."""
    torch.manual_seed(seed)
    (x, y), (vx, vy) = task.loaded.train, task.loaded.validation
    model = task.model()
    optimizer = ravine.recipe("adam", lr=1e-3).torch(model.parameters())
    generator = torch.Generator().manual_seed(seed)
    every = max(1, steps // task.evaluations)
    part = slice(None, None, max(1, len(x) // len(vx)))
    order, place, loss = torch.randperm(len(x), generator=generator), 0, 0.0
    for step in range(steps + 1):
        if step % every == 0 or step == steps:
            model.eval()
            with torch.no_grad():
                outputs = model(vx)
                loss = float(task.loss(outputs, vy))
                task.accuracy(outputs, vy)
                outputs = model(x[part])
                float(task.loss(outputs, y[part]))
            model.train()
        if step == steps:
            return loss
        if place + task.batch_size > len(x):
            order, place = torch.randperm(len(x), generator=generator), 0
        chosen = order[place : place + task.batch_size]
        place += task.batch_size
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 - step / steps)
        optimizer.zero_grad()
        task.loss(model(x[chosen]), y[chosen]).backward()
        optimizer.step()
    raise AssertionError("the loop returns")


def measure(name: str, steps: int, times: int) -> dict[str, Any]:
    """Median seconds of processor time of both, and the median of the paired ratios. The losses must be the same."""
    task: Any = tasks.find(name)
    settings = Settings(name, "adam", "adam", {"lr": 1e-3}, 0, steps, "tuning", 0)
    own, by_hand = [], []
    for i in range(times + 1):
        began = time.process_time()
        loss = bare(task, steps, 0)
        middle = time.process_time()
        record = run(partial(tasks.find, name), settings)
        end = time.process_time()
        assert record.loss == loss, (record.loss, loss)
        if i:  # the first warms up
            by_hand.append(middle - began)
            own.append(end - middle)
    ratio = statistics.median(a / b for a, b in zip(own, by_hand, strict=True))
    return {"steps": steps, "bare": statistics.median(by_hand), "runner": statistics.median(own), "ratio": ratio}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    steps = {"digits": 300, "digits-cnn": 150, "breast-cancer": 300, "stdlib-lm": 20}
    result = {name: measure(name, n, given.times) for name, n in steps.items()}
    for name, r in result.items():
        print(f"{name:14} bare {r['bare']:.3f} s, runner {r['runner']:.3f} s of processor time, ratio {r['ratio']:.3f}")
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps({"tasks": result, "environment": environment()}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
