"""Does `ravine compare` see differences where there are none, and those that there are?

Real runs: one optimizer at every rate of a fine lattice with many seeds (the bank). From it comparisons of copies are
drawn, each copy with seeds of its own, tuned in each repetition as `ravine compare` tunes: on a grid of eight rates,
turned at random in each repetition, or, to see why, on a grid that stays. The copies' ranges are equal, or every other
one is shifted by a quarter of a decade. No pair may come out separated in more than 5% of comparisons. Planted: one
copy's learning rate is divided by ten after its tuning; it must be separated from all others, as the worse.

Made-up losses: equals whose losses are normal, heavy-tailed, rounded, error counts, of unequal spreads, or diverge; and
a planted difference between two halves.

    python bench/lab_null.py --bank bench/results/lab_bank.json      # make the bank (minutes)
    python bench/lab_null.py --out bench/results/lab_null.json       # draw from it
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from ravine.lab import power
from ravine.lab.compare import environment
from ravine.lab.records import TUNING, Settings
from ravine.lab.separation import adjusted, least_repetitions
from ravine.lab.statistics import scores

BANK = Path(__file__).parent / "results" / "lab_bank.json"
PARTS = ("made up", "planted half", "real")
PER_DECADE, TRIALS, DECADES = 8, 8, 4
CELLS, STRIDE = PER_DECADE * DECADES, PER_DECADE * DECADES // TRIALS
SHIFT, HANDICAP = STRIDE // 2, PER_DECADE
"""In cells of the lattice: a quarter of a decade, and a tenth of the rate."""


# The bank ---------------------------------------------------------------------------------------------------------


def runs(task: str, rule: str, steps: int, seeds: int, rate: float) -> list[float]:
    """The final losses of an optimizer at a rate, by seed; infinite: it diverged."""
    import torch

    from ravine.lab import tasks
    from ravine.lab.runner import run

    torch.set_num_threads(1)
    load = partial(tasks.find, task)
    settings = [Settings(task, rule, rule, {"lr": rate}, seed, steps, TUNING, seed) for seed in range(seeds)]
    return [float(f"{run(load, s).loss:.5g}") for s in settings]


def fill(task: str, rule: str, steps: int, seeds: int, workers: int) -> dict[str, Any]:
    """The bank: losses by rate and seed. The lattice begins a decade below the range that is searched."""
    import ravine
    from ravine.lab.space import search_space

    low = math.log10(search_space(ravine.rule(rule), {})["lr"].low)
    rates = [10 ** (low + (i - HANDICAP) / PER_DECADE) for i in range(HANDICAP + CELLS + SHIFT)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
        losses = list(executor.map(partial(runs, task, rule, steps, seeds), rates))
    settings = {"task": task, "rule": rule, "steps": steps, "seeds": seeds}
    known = [[v if math.isfinite(v) else None for v in row] for row in losses]
    return {"settings": settings, "rates": rates, "losses": known, "environment": environment()}


def read(file: Path = BANK) -> np.ndarray:
    """The losses of a bank: shape (rates, seeds)."""
    return np.array(json.loads(file.read_text(encoding="utf-8"))["losses"], dtype=float)  # null becomes NaN


# Comparisons drawn from it ----------------------------------------------------------------------------------------


def drawn(
    bank: np.ndarray, random: np.random.Generator, k: int, n: int, shifted: bool, turned: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Final losses of k copies in n repetitions, and of the first copy at a tenth of its rates."""
    filled = np.where(np.isnan(bank), np.inf, bank)
    turns = random.integers(STRIDE, size=n) if turned else np.zeros(n, dtype=int)
    first, last = random.integers(bank.shape[1], size=(2, k, n))
    best = np.empty((k, n), dtype=int)
    for copy in range(k):
        begin = HANDICAP + (SHIFT if shifted and copy % 2 else 0)
        for i in range(n):
            # Turned points lie on one lattice for all; those that stay are laid out from each range's own beginning.
            offset = (turns[i] - (begin - HANDICAP)) % STRIDE if turned else 0
            points = begin + offset + STRIDE * np.arange(TRIALS)
            best[copy, i] = points[filled[points, first[copy, i]].argmin()]
    return filled[best, last], filled[best[0] - HANDICAP, last[0]]


def separations(table: np.ndarray) -> np.ndarray:
    """Which pairs are separated, from losses of shape (k, n)."""
    made = scores({str(i): row for i, row in enumerate(table)})
    return adjusted(made.table, made.finished) <= 0.05


def real(bank: np.ndarray, k: int, n: int, comparisons: int, shifted: bool, turned: bool = True) -> dict[str, Any]:
    """How often equals are separated, and how often the planted copy is from all others."""
    random = np.random.default_rng([k, n, shifted, turned])
    false = planted = 0
    for _ in range(comparisons):
        losses, slow = drawn(bank, random, k, n, shifted, turned)
        false += bool(separations(losses).any())
        losses[0] = slow
        apart = separations(losses)[0, 1:].all()
        planted += bool(apart and np.log(losses[0]).mean() > np.log(losses[1:]).mean(axis=1).max())
    return {"k": k, "n": n, **share(false, comparisons), "planted": round(planted / comparisons, 3)}


def share(count: int, of: int) -> dict[str, Any]:
    """A share and its 95% interval (Clopper & Pearson 1934)."""
    from scipy.stats import binomtest

    low, high = binomtest(count, of).proportion_ci()
    return {"falsely": round(count / of, 4), "low": round(low, 4), "high": round(high, 4), "of": of}


# Made-up losses ---------------------------------------------------------------------------------------------------

SPREAD = 0.15


def made_up(kind: str, random: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Losses of k equals in n repetitions."""
    noise = random.normal(0, SPREAD, (k, n))
    match kind:
        case "normal, seeds in common":
            return np.exp(noise + random.normal(0, SPREAD, (1, n)))
        case "heavy tails":
            return np.exp(0.1 * random.standard_t(1.5, (k, n)))
        case "rounded":
            return np.exp(np.round(noise, 1))
        case "error counts":
            return np.maximum(random.binomial(114, 0.03, (k, n)), 0.5)
        case "unequal spreads":
            return np.exp(random.normal(0, 1, (k, n)) * np.geomspace(0.03, 0.5, k)[:, None])
        case "one in ten diverges":
            return np.where(random.random((k, n)) < 0.1, np.inf, np.exp(noise))
        case "half diverge":
            return np.where(random.random((k, n)) < 0.5, np.inf, np.exp(noise))
    raise ValueError(kind)


KINDS = (
    *("normal, seeds in common", "heavy tails", "rounded", "error counts", "unequal spreads"),
    *("one in ten diverges", "half diverge"),
)


def simulated(kind: str, k: int, n: int, comparisons: int) -> dict[str, Any]:
    """How often equals are separated."""
    random = np.random.default_rng([KINDS.index(kind), k, n])
    false = sum(bool(separations(made_up(kind, random, k, n)).any()) for _ in range(comparisons))
    return {"kind": kind, "k": k, "n": n, **share(false, comparisons)}


def found(k: int, n: int, comparisons: int) -> dict[str, Any]:
    """How often the best is separated from the half that is worse by what `power.visible` says can be seen."""
    random, apart = np.random.default_rng([k, n]), power.visible(power.assumed(SPREAD), k, n)
    if not math.isfinite(apart):
        return {"k": k, "n": n, "visible": None}
    seen = []
    for _ in range(comparisons):
        table = random.normal(0, SPREAD, (k, n))
        table[k // 2 :] += apart
        seen.append(separations(np.exp(table))[0, k // 2 :].mean())
    return {"k": k, "n": n, "visible": round(math.expm1(apart), 3), "found": round(float(np.mean(seen)), 3)}


def measure(part: str, comparisons: int) -> list[dict[str, Any]]:
    """One part of the results; two contenders are compared five times as often, twenty a quarter."""
    often = {2: 5 * comparisons, 9: comparisons, 20: max(1, comparisons // 4)}
    sizes = [(k, n, count) for k, count in often.items() for n in (3, 5, 10, 20)]
    if part == "made up":
        return [said(simulated(kind, *size)) for kind in KINDS for size in sizes]
    if part == "planted half":
        return [said(found(k, n, max(1, c // 4))) for k, n, c in sizes if n >= least_repetitions(k)]
    bank, rows = read(), []
    for shifted in (False, True):
        name = {"ranges": "shifted by a quarter of a decade" if shifted else "equal"}
        rows += [said({**name, **real(bank, *size, shifted)}) for size in sizes]
    stays = {"ranges": "shifted, points that stay"}
    return rows + [said({**stays, **real(bank, 2, n, 5 * comparisons, True, turned=False)}) for n in (5, 10, 20)]


def said(row: dict[str, Any]) -> dict[str, Any]:
    """The row, once it has been printed."""
    print(row, file=sys.stderr, flush=True)
    return row


def is_good(result: dict[str, Any]) -> bool:
    """Whether no share of false separations is above 5% by more than its interval, and the planted ones are found
    wherever that many repetitions can separate so many."""
    turned = [r for r in result.get("real", []) if "stay" not in r["ranges"]]
    planted = [r["planted"] for r in turned if r["n"] >= least_repetitions(r["k"])]
    return all(r["low"] <= 0.05 for r in [*result.get("made up", []), *turned]) and min(planted, default=1.0) >= 0.95


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="breast-cancer")
    parser.add_argument("--rule", default="adam")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=48)
    parser.add_argument("--comparisons", type=int, default=150)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--bank", type=Path, help="make the bank, write it there, and stop")
    parser.add_argument("--part", choices=PARTS, help="only this one; the others stay in the file as they are")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.bank:
        bank = fill(given.task, given.rule, given.steps, given.seeds, given.workers)
        given.bank.write_text(json.dumps(bank) + "\n", encoding="utf-8")
        return
    result = json.loads(given.out.read_text(encoding="utf-8")) if given.out and given.out.exists() else {}
    for part in [given.part] if given.part else PARTS:
        result[part] = measure(part, given.comparisons)
        if given.out:
            given.out.write_text(text(result), encoding="utf-8")
    sys.exit(not is_good(result))


def text(result: dict[str, Any]) -> str:
    """JSON with a row a line."""
    parts = (
        f" {json.dumps(name)}: [\n  " + ",\n  ".join(map(json.dumps, rows)) + "\n ]" for name, rows in result.items()
    )
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
