"""Two ways to have other processes train: `ravine worker` on the queue in the storage, and `--on` a dask scheduler.
What starting takes until the first run is back, and how many runs a second come back of a task that does nothing, two
workers each, in turn.

    python bench/lab_placing.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ravine.lab import compare as lab
from ravine.lab.contender import parse
from ravine.lab.entry import entries
from ravine.lab.protocol import Protocol
from ravine.lab.store import Store

TASK = "def train(make_optimizer, seed, report, steps=1):\n    report(steps, 1.0 + 0.001 * seed)\n"
SEEDS, TRIALS, TIMES = 10, 8, 3


def comparison(folder: Path) -> tuple[Any, Store]:
    """A comparison of one optimizer, and an empty storage."""
    (folder / "nothing.py").write_text(TASK)
    protocol = Protocol(steps=1, trials=TRIALS, seeds=SEEDS)
    header = lab.prepare(str(folder / "nothing.py"), parse("gd"), protocol)
    return header, Store(f"sqlite:///{folder / 'runs.sqlite3'}")


def watched(header: Any, store: Store, began: float) -> dict[str, float]:
    """Seconds to the first record, and records a second from then on, until all are there."""
    study, first = store.enter(entries(header)[0]), None
    while (there := len(store.records(study))) < header.runs:
        if there and first is None:
            first = time.monotonic(), there
        time.sleep(0.1)
    assert first is not None
    return {
        "first run after": first[0] - began,
        "runs a second": (header.runs - first[1]) / (time.monotonic() - first[0]),
    }


def by_queue(folder: Path) -> dict[str, float]:
    """With `ravine worker`, while this process only looks."""
    header, store = comparison(folder)
    store.enter(entries(header)[0])
    began = time.monotonic()
    code = "from ravine.cli import main; main()"
    args = ["worker", "--storage", store.url, "--workers", "2", "--idle", "2"]
    with subprocess.Popen([sys.executable, "-c", code, *args], stdout=subprocess.DEVNULL):
        return watched(header, store, began)


def by_scheduler(folder: Path) -> dict[str, float]:
    """With dask's scheduler and two workers of its, which are started first."""
    header, store = comparison(folder)
    began = time.monotonic()
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    common: Sequence[str] = ["--scheduler-file", str(file), "--no-dashboard", "--host", "127.0.0.1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = [subprocess.Popen([*dask, "scheduler", *common, "--port", "0"], **quiet)]
    while not (file.exists() and file.read_text()):
        time.sleep(0.05)
    running.append(subprocess.Popen([*dask, "worker", *common, "--nworkers", "2", "--nthreads", "1"], **quiet))
    code = "from ravine.cli import main; main()"
    args = ["compare", header.task["spec"], "--optimizers", "gd", "--steps", "1", "--seeds", str(SEEDS), "--no-prune"]
    on = ["--on", json.loads(file.read_text())["address"], "--storage", store.url, "--out", str(folder / "out")]
    try:
        with subprocess.Popen([sys.executable, "-c", code, *args, *on], stdout=subprocess.DEVNULL):
            return watched(header, store, began)
    finally:
        for process in running:
            process.kill()


def main() -> None:
    """Both in turn; medians."""
    found: dict[str, list[dict[str, float]]] = {"ravine worker": [], "--on": []}
    for _ in range(TIMES):
        for name, do in (("ravine worker", by_queue), ("--on", by_scheduler)):
            with tempfile.TemporaryDirectory() as folder:
                found[name].append(do(Path(folder)))
            print(name, found[name][-1], flush=True)
    for name, rows in found.items():
        print(name, {key: round(statistics.median(r[key] for r in rows), 2) for key in rows[0]})


if __name__ == "__main__":
    main()
