"""`--budget`: how many trials fit into a time."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from ravine.lab.contender import Contender
from ravine.lab.pool import Pool
from ravine.lab.protocol import Protocol, missing
from ravine.lab.records import DEFAULTS

UNITS = {"s": 1, "m": 60, "h": 3600}
RESERVE = 0.75
"""The part of the time that is planned: estimates are rough, and the report takes its time too."""
MOST_TRIALS = 64


def seconds(text: str) -> float:
    """The seconds in 90s, 10m, 1.5h. Raises ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip())
    if not match or float(match[1]) == 0:
        raise ValueError(f"a budget is a number and s, m or h, as in 10m; got {text!r}")
    return float(match[1]) * UNITS[match[2]]


@dataclass(frozen=True)
class Plan:
    """What was decided, and in words why."""

    protocol: Protocol
    text: str


def plan(protocol: Protocol, task: str, contenders: Sequence[Contender], budget: float, workers: int) -> Plan:
    """The protocol with as many trials (at most 64) as fit into `budget` seconds, measured by one run of each
    contender; with fewer than 2, fewer repetitions, down to 3. Raises ValueError if that doesn't fit either."""
    began = time.monotonic()
    cost = sum(_probe(protocol, task, contenders, workers))
    left = RESERVE * budget - (time.monotonic() - began)
    for seeds in range(protocol.seeds, min(3, protocol.seeds) - 1, -1):
        trials = min(MOST_TRIALS, int(left / (cost * seeds)) - 2)
        if trials >= 2:
            total = cost * seeds * (trials + 2)
            text = (
                f"Planned for {budget:.0f} s: {trials} trials and {seeds} repetitions for each of {len(contenders)} "
                f"optimizers, about {total:.0f} s."
            )
            return Plan(replace(protocol, trials=trials, seeds=seeds), text)
    least = cost * min(3, protocol.seeds) * 4 / RESERVE
    raise ValueError(f"a budget of {budget:.0f} s is too short: 2 trials and 3 repetitions take about {least:.0f} s")


def _probe(protocol: Protocol, task: str, contenders: Sequence[Contender], workers: int) -> list[float]:
    """Seconds of this machine's time that a run of each contender takes, spread over the workers."""
    with closing(Pool(workers)) as pool:
        _run_all(pool, protocol, task, list(contenders)[:workers])  # starts the processes and loads the data
        began = time.monotonic()
        _run_all(pool, protocol, task, contenders)
        whole = time.monotonic() - began
    return [whole / len(contenders)] * len(contenders)


def _run_all(pool: Pool, protocol: Protocol, task: str, contenders: Sequence[Contender]) -> None:
    queue = [s for c in contenders for s in missing(protocol, task, c, {}, [])[0] if s.stage == DEFAULTS]
    queue = [s for s in queue if s.repetition == 0]
    while queue or pool.busy:
        while queue and pool.has_room:
            pool.start(queue.pop())
        pool.wait(1.0)
