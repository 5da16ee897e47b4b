"""What a step costs with state in few bits: 16.8 million float32 parameters, each choice in turn with torch's
fused Adam, and each against the floor: a kernel that computes next to nothing, on as many float32 numbers as make the
same bytes of memory traffic. How fast memory is depends on where the pages of a process lie (between 44 and 63 GB/s
on the machine of `bench/results/storage.json`), so each round has new memory.

    python bench/storage_speed.py [THREADS] [TURNS] [ROUNDS] > bench/results/storage.json
"""

from __future__ import annotations

import ctypes
import json
import statistics
import sys
import time

import numpy as np
import torch

import ravine.torch
from ravine.bench.cases import floor
from ravine.cli.bench import this_machine
from ravine.engines.fused.kernel import Table
from ravine.engines.fused.storage import SIZES, Storage
from ravine.engines.storage import policy
from ravine.engines.storage.codes import BLOCK
from ravine.recipe import recipe
from ravine.torch.codes import DTYPES

ELEMENTS = 4096 * 4096
RULES = ("adam", "rmsprop_torch_momentum", "adadelta", "lion")
STATES = ("float32", "bfloat16", "int8")


def parameters(elements: int) -> list[torch.Tensor]:
    p = torch.nn.Parameter(torch.randn(elements))
    p.grad = torch.randn(elements)
    return [p]


def traffic(slots: int, state: str) -> float:
    """Bytes that a step reads and writes for each parameter, with the scales of 8-bit state."""
    of_a_slot = {"float32": 4, "bfloat16": 2, "int8": 1 + SIZES["float32"] / BLOCK}[state]
    return 3 * SIZES["float32"] + 2 * slots * of_a_slot


def seconds(optimizer: torch.optim.Optimizer) -> float:
    start = time.perf_counter()
    optimizer.step()
    return time.perf_counter() - start


def in_cache(name: str, state: str, n: int = 8192, repeats: int = 16, turns: int = 100) -> float:
    """Seconds for each parameter of those that a core has in its caches: what arithmetic alone takes, on one thread."""
    rule = ravine.rule(name)
    kinds = tuple(policy.kinds(rule, state, ELEMENTS).values())
    storage = Storage("float32", "float32", kinds, is_state_stochastic=state != "float32")
    arrays = [torch.randn(n), torch.randn(n), *(torch.zeros(n, dtype=DTYPES[kind]) for kind in kinds)]
    arrays += [torch.zeros(n // BLOCK) for _ in storage.scales]
    table = Table(rule, storage, [n], [[a.data_ptr() for a in arrays]])
    if storage.is_seeded:
        table.set_seeds([1])
    scalars = [s.start for s in rule.slots.values() if s.is_scalar]
    table.step_at(5.0, scalars, tuple(h.default for h in rule.hyperparameters.values()), 1)
    c, numbers = (ctypes.addressof(values) for values in table._prepared[2:])
    chunks = np.tile(np.array([[0, 0, n]], np.int64), (repeats, 1))
    found = []
    for _ in range(turns):
        start = time.perf_counter()
        table.kernel.run_alone(table.rows.ctypes.data, chunks.ctypes.data, repeats, c, numbers)
        found.append((time.perf_counter() - start) / repeats / n)
    return statistics.median(found)


def round_of(name: str, turns: int) -> dict[str, float]:
    """The median of some turns, by what is stepped, all of it in memory that is new."""
    params = parameters(ELEMENTS)
    slots = sum(not s.is_scalar for s in ravine.rule(name).slots.values())
    made = {state: ravine.torch.from_recipe(params, name, state=state) for state in STATES}
    for state in STATES:
        alike = parameters(round(ELEMENTS * traffic(slots, state) / traffic(slots, "float32")))
        made[f"floor {state}"] = ravine.torch.from_recipe(alike, recipe(floor(slots)))
    made["torch fused Adam"] = torch.optim.Adam(params, fused=True)
    times: dict[str, list[float]] = {way: [] for way in made}
    for turn in range(turns + 2):
        for way, optimizer in made.items():
            took = seconds(optimizer)
            if turn >= 2:
                times[way].append(took)
    return {way: statistics.median(found) for way, found in times.items()}


def main(threads: int = 2, turns: int = 9, rounds: int = 5) -> None:
    torch.set_num_threads(threads)
    rows = {name: [round_of(name, turns) for _ in range(rounds)] for name in RULES}
    alone = {name: {state: in_cache(name, state) for state in STATES} for name in RULES}
    print(json.dumps({"machine": this_machine(), "turns": turns, "seconds": rows, "in_cache": alone}, indent=1))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
