"""Runs trained together against the same runs trained one by one, in turn in one process: runs a CPU second, and how
far the losses are apart. `make lab-batched` records it.

    python bench/lab_batched.py --out bench/results/lab_batched.json
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from functools import partial
from pathlib import Path

import torch

from ravine.lab import batched, tasks
from ravine.lab.records import Settings
from ravine.lab.runner import run, run_batch

CASES = (("digits", "gd"), ("digits", "adam"), ("digits-cnn", "adam"), ("breast-cancer", "adam"), ("stdlib-lm", "adam"))
PAIRS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for spec, rule in CASES:
        task = tasks.find(spec)
        is_batched = batched.most(task) > 1
        batched._is_batchable = lambda task: True  # also what is not batched: the reason why it isn't
        settings = [
            Settings(spec, rule, rule, {"lr": 0.001 * 2 ** (k % 6)}, k // 8, given.steps, "tuning", k // 8, k % 8)
            for k in range(batched.MOST)
        ]
        load = partial(tasks.find, spec)
        ratios, speeds, apart = [], [], 0.0
        few = settings[:4] if spec == "stdlib-lm" else settings
        for _ in range(PAIRS if few is settings else 1):
            began = time.process_time()
            together = run_batch(load, few, [()] * len(few))
            between = time.process_time()
            alone = [run(load, s) for s in few[::3]]
            ended = time.process_time()
            assert {r.engine for r in together} == {"batched"}, spec
            speeds.append(len(few) / (between - began))
            ratios.append(speeds[-1] / (len(alone) / (ended - between)))
            for ours, judged in zip(together[::3], alone, strict=True):
                for a, b in zip(ours.curve["loss"], judged.curve["loss"], strict=True):
                    apart = max(apart, abs(a / b - 1) if math.isfinite(b) else 0.0)
        found[f"{spec} {rule}"] = {
            "ratio": round(statistics.median(ratios), 2),
            "runs_a_cpu_second": round(statistics.median(speeds), 1),
            "losses_apart": apart,
            "is_batched": is_batched,
        }
        print(f"{spec} {rule}: {found[f'{spec} {rule}']}", flush=True)
    if given.out:
        given.out.write_text(json.dumps({"steps": given.steps, "batch": batched.MOST, "cases": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
