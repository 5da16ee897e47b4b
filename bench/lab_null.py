"""Does `ravine compare` see differences where there are none, and those that there are?

Null test: nine copies of one optimizer under different names, each with seeds of its own, so that all that differs is
luck: of tuning, of the start, of the order of the data. No pair may come out separated, in at least 19 of 20
repetitions. Planted difference: one copy's learning rate is divided by ten after its tuning. It must come out separated
from all others, and as the worse, every time.

    python bench/lab_null.py --repetitions 20 --out bench/results/lab_null.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ravine.lab.compare import environment
from ravine.lab.contender import parse
from ravine.lab.protocol import Protocol, missing
from ravine.lab.records import DEFAULTS, FINAL, Record, Settings
from ravine.lab.statistics import pairs

HANDICAP = 0.1


def play(task: str, rule: str, steps: int, trials: int, seeds: int, copy: int) -> tuple[list[float], list[float]]:
    """Tune and score one copy, with seeds that no other has: (its losses, its losses with the learning rate / 10)."""
    import torch

    from ravine.lab import tasks
    from ravine.lab.runner import run

    torch.set_num_threads(1)
    protocol = Protocol(steps=steps, trials=trials, seeds=seeds, first_seed=2 * seeds * copy)
    (contender,) = parse(rule)
    space = contender.describe()["space"]
    records: list[Record] = []

    def go(settings: Settings) -> Record:
        return run(partial(tasks.find, task), settings)

    while ready := [s for s in missing(protocol, task, contender, space, records)[0] if s.stage != DEFAULTS]:
        records += map(go, ready)
    finals = [r for r in records if r.settings.stage == FINAL]
    slower = [replace(r.settings, hyper={**r.settings.hyper, "lr": HANDICAP * r.settings.hyper["lr"]}) for r in finals]
    return [r.loss for r in finals], [go(s).loss for s in slower]


def separations(losses: dict[str, list[float]]) -> list[tuple[str, str]]:
    """The pairs that come out separated, the better one first."""
    found = [p for p in pairs(losses) if p.separated]
    return [(p.a, p.b) if sum(losses[p.a]) < sum(losses[p.b]) else (p.b, p.a) for p in found]


def repetition(plays: list[tuple[list[float], list[float]]]) -> dict[str, Any]:
    """One repetition of both tests, from the losses of the copies."""
    fair = {f"copy {i}": own for i, (own, _) in enumerate(plays)}
    planted = {**fair, "copy 0": plays[0][1]}
    beaten_by = {a for a, b in separations(planted) if b == "copy 0"}
    return {
        "falsely_separated": separations(fair),
        "planted_found": beaten_by == set(fair) - {"copy 0"},
        "losses": {**fair, "planted": plays[0][1]},
    }


def measure(
    mapper: Callable[..., Any], task: str, rule: str, steps: int, trials: int, seeds: int, copies: int, repetitions: int
) -> dict[str, Any]:
    """Both tests, `repetitions` times."""
    one = partial(play, task, rule, steps, trials, seeds)
    done = []
    for i in range(repetitions):
        plays = list(mapper(one, range(i * copies, (i + 1) * copies)))
        done.append(repetition(plays))
        print(f"{i + 1}: {done[-1]['falsely_separated']}, planted found: {done[-1]['planted_found']}", file=sys.stderr)
    return {
        "settings": {"task": task, "rule": rule, "steps": steps, "trials": trials, "seeds": seeds, "copies": copies},
        "repetitions": repetitions,
        "null_not_separated": sum(not r["falsely_separated"] for r in done),
        "planted_found": sum(r["planted_found"] for r in done),
        "each": done,
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="digits")
    parser.add_argument("--rule", default="adam")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--copies", type=int, default=9)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    given = vars(parser.parse_args())
    workers, out = given.pop("workers"), given.pop("out")
    began = time.monotonic()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
        result = measure(executor.map, **given)
    result |= {"seconds": round(time.monotonic() - began), "environment": environment()}
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1), encoding="utf-8")
    n = result["repetitions"]
    print(f"nothing separated: {result['null_not_separated']} of {n}; planted found: {result['planted_found']} of {n}")
    sys.exit(not (result["null_not_separated"] >= 0.95 * n and result["planted_found"] == n))


if __name__ == "__main__":
    main()
