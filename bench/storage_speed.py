"""What a step costs with state in few bits: 16.8 million float32 parameters, each choice in turn with torch's
fused Adam, and each against a kernel that only moves the same bytes.

    python bench/storage_speed.py [THREADS] [TURNS] > bench/results/storage.json
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import torch

import ravine.torch
from ravine.bench.cases import floor
from ravine.cli.bench import this_machine
from ravine.recipe import recipe

SHAPE = (4096, 4096)
RULES = ("adam", "rmsprop_torch_momentum", "adadelta", "lion")
STATES = ("float32", "bfloat16", "int8")


def parameters() -> list[torch.Tensor]:
    p = torch.nn.Parameter(torch.randn(SHAPE))
    p.grad = torch.randn(SHAPE)
    return [p]


def seconds(optimizer: torch.optim.Optimizer) -> float:
    start = time.perf_counter()
    optimizer.step()
    return time.perf_counter() - start


def main(threads: int = 2, turns: int = 9) -> None:
    torch.set_num_threads(threads)
    params = parameters()
    rows = {}
    for name in RULES:
        slots = sum(not s.is_scalar for s in ravine.rule(name).slots.values())
        made = {state: ravine.torch.from_recipe(params, name, state=state) for state in STATES}
        made |= {
            f"floor {state}": ravine.torch.from_recipe(params, recipe(floor(slots)), state=state) for state in STATES
        }
        if name == "adam":
            made["torch fused"] = torch.optim.Adam(params, fused=True)
        times: dict[str, list[float]] = {way: [] for way in made}
        for turn in range(turns + 2):
            for way, optimizer in made.items():
                took = seconds(optimizer)
                if turn >= 2:
                    times[way].append(took)
        rows[name] = {way: {"median": statistics.median(t), "least": min(t)} for way, t in times.items()}
    print(json.dumps({"machine": this_machine(), "turns": turns, "seconds": rows}, indent=1))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
