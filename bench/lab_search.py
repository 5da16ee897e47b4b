"""What --prune saves and costs, and what --search tpe brings: the same comparison in two ways, in turn.

Both tune with the same seeds, so the scored runs of the two can be paired. Given are the steps that were trained (which
are the same on any machine), the seconds of processor time of the whole command, and the ratio of the scored losses.

    python bench/lab_search.py --out bench/results/lab_search.json
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ravine.lab.compare import environment
from ravine.lab.records import FINAL, FINISHED, PRUNED
from ravine.lab.results import Results

TUNE = ("--tune", "lr,beta1,mu,rho", "--trials", "24", "--seeds", "3")
PAIRS = {
    "prune, digits": (("digits",), ("digits", "--prune")),
    "prune, breast-cancer": (("breast-cancer",), ("breast-cancer", "--prune")),
    "tpe, breast-cancer, 24 trials": (("breast-cancer", *TUNE), ("breast-cancer", *TUNE, "--search", "tpe")),
}


def compare(args: tuple[str, ...]) -> tuple[Results, float]:
    """Run the command; (its results, the seconds of processor time that it and its workers took)."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from ravine.cli import main; main()", "compare", *args, "--out", folder]
        before = processor_seconds()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return Results.load(Path(folder) / "results.json"), processor_seconds() - before


def processor_seconds() -> float:
    """What the processes that this one started, and that have ended, took."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def steps(results: Results) -> int:
    """All steps that were trained."""
    return sum(int(r.curve["step"][-1]) for r in results.records)


def measure(plain: tuple[str, ...], other: tuple[str, ...], repeats: int) -> dict[str, Any]:
    """One pair, `repeats` times in turn."""
    timed = [(compare(plain), compare(other)) for _ in range(repeats)]
    (one, _), (two, _) = timed[0]
    ratios, same = [], 0
    for name in one.names:
        for a, b in zip(one.of(name, FINAL), two.of(name, FINAL), strict=True):
            same += a.settings.hyper == b.settings.hyper
            if a.status == b.status == FINISHED:
                ratios.append(b.loss / a.loss)
    return {
        "plain": "ravine compare " + " ".join(plain),
        "other": "ravine compare " + " ".join(other),
        "steps": [steps(one), steps(two)],
        "seconds": [[round(a[1], 1), round(b[1], 1)] for a, b in timed],
        "ratio_of_seconds": round(statistics.median(b[1] / a[1] for a, b in timed), 3),
        "pruned": sum(r.status == PRUNED for r in two.records),
        "scored_with_the_same_settings": [same, len(one.names) * one.protocol.seeds],
        "ratio_of_scored_losses": round(math.exp(statistics.mean(map(math.log, ratios))), 4),
    }


def main() -> None:
    """Measure all pairs, print and record them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found: dict[str, Any] = {"environment": environment()}
    for name, (plain, other) in PAIRS.items():
        found[name] = measure(plain, other, given.repeats)
        print(name, json.dumps(found[name], indent=1), flush=True)
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
