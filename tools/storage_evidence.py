"""`docs/storage.md` and its picture: training with state in few bits, and what rounding to the nearest does.

python tools/storage_evidence.py run TASK SEEDS TRIALS   trains through `ravine compare` (resumable), keeps the summary
python tools/storage_evidence.py                         writes the page from what is kept
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import ravine
from ravine.engines import reference
from ravine.engines.storage import noise, policy
from ravine.engines.storage.step import step, store

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "bench" / "results" / "storage"
PICTURE = ROOT / "docs" / "storage" / "freezing.svg"
PAGE = ROOT / "docs" / "storage.md"
STATES = ("float32", "bfloat16", "int8")
CONTENDERS = {"adam": "Adam[{}]", "rmsprop": "RMSprop[momentum=0.9,{}]", "adadelta": "Adadelta[{}]", "lion": "Lion[{}]"}
STEPS = 3000
"""Of the freezing experiment: as many before the gradients fall as after."""

HEAD = """# State in few bits: what it does to training

Written by `make storage-evidence`. Do not edit. How narrow state is asked for, and what it is, is said in
[torch.md](torch.md#state-in-few-bits).

## Rounding to the nearest freezes slow averages

Adam's second moment (β₂ = 0.999) under random gradients that fall tenfold after {steps:,} steps: the mean of √v over
{elements:,} elements, relative to float32. An average that moves by less than half a unit in the last place of what it
is stored in does not move at all. Rounded at random, it follows on average.

![√v relative to float32, with a tenfold fall of the gradients](storage/freezing.svg)

| state | rounded | steady | {later:,} steps after the fall |
|---|---|--:|--:|
"""

TRAINING = """
## Training

`ravine compare` with {trials} tuning runs in each of {seeds} repetitions, every state choice tuned alike, on the same
seeds. Test loss, its 95 % interval over the repetitions, and what the comparison says of each choice against float32.
Of the tasks and optimizers that `make storage-evidence` trains, this page shows what has been run.
"""

SPEED = """
## What a step costs

Milliseconds for 16.8 million float32 parameters on {threads} threads of two cores of an {processor}, from
`bench/results/storage.json` (`python bench/storage_speed.py 2 9`, on a machine with nothing else to do): the median
over the rounds ({rounds} of them), each in new memory. How fast memory is depends on the minute
and on where pages lie, so look at the ratios: of each round the time over the floor's, a kernel that moves the same
bytes, and over torch's fused float32 Adam; their median, with the least and the largest. The last column is what the
arithmetic alone takes in a core's own caches, as milliseconds for as many parameters on as many cores.

| rule | state | ms | over the floor | over torch's fused Adam | in cache |
|---|---|--:|--:|--:|--:|
"""

PROFILE = """
State in few bits saves memory, and time only where memory is slow. Of Adam's step the bytes fall from 28 to 16 a
parameter, but the arithmetic grows, and by the last column that is what bounds most rules with narrow state here: no
arrangement of memory goes below it. Where memory is faster, the ratios are worse: beside other work, when the floor of
float32 took 7.4 to 8.1 ms, Adam's were 0.91 with bfloat16 state and 1.05 with 8-bit state.

For eight parameters, Adam with 8-bit state takes some 80 instructions and 24 cycles in cache, with float32 state 20
and 15.5. The three divisions and the root alone keep the divider busy for 15.5, most of it beside the rest; without any
of them it would still be 21. Decoding takes 13 instructions, finding the scales 4, encoding 29 with the noise; the two
of the processor's four vector pipes that shift and shuffle are the fullest (`llvm-mca` has them busy in 92 % of the
cycles of the pass that decodes). By its account these two loops take 20 cycles at the least, which is 6.8 ms on two
cores; what is left to 24 lies between the passes of a block, whose second waits for the scale that the first finds.

The table is from before encoding lost two of its instructions. Since then this machine has had other work beside it at
each run, so that torch's Adam alone took 8.4 to 34 ms where it takes 10 to 12 when idle: over torch's fused Adam, Adam
with 8-bit state was 1.21 in one run and 0.82 in the next, which says little of either. In cache the fewer instructions
are worth 4 % to Lion (5.34 to 5.14 ms, the least of three medians) and nothing to Adam (8.4 ms before and after).

What gained nothing, or lost: fetching memory ahead (0.3 ms more for Adam, 0.3 less for Lion), non-temporal stores (half
as much again, since what is written has been read), divisions by a step's coefficients as exact products (more
instructions than the divider's time is worth), decoding and encoding in lanes of 16 bits, more passes over a block, a
first pass that is a block ahead.
"""


def speed() -> str:
    """The table of what a step costs, by what is kept of `bench/storage_speed.py`."""
    given = json.loads((KEPT.parent / "storage.json").read_text(encoding="utf-8"))
    machine, rows = given["machine"], given["seconds"]
    rounds = len(next(iter(rows.values())))
    text = SPEED.format(threads=machine["threads"], processor=machine["processor"], rounds=rounds)
    for name, found in rows.items():
        for state in STATES:
            ms = 1e3 * float(np.median([r[state] for r in found]))
            over = [ratios([r[state] / r[other] for r in found]) for other in (f"floor {state}", "torch fused Adam")]
            alone = 1e3 * given["in_cache"][name][state] * 4096**2 / machine["threads"]
            text += f"| {name} | {state} | {ms:.1f} | {over[0]} | {over[1]} | {alone:.1f} |\n"
    return text + PROFILE


def ratios(found: list[float]) -> str:
    """Their median and their range."""
    return f"{np.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def freezing(elements: int = 1024) -> dict[str, list[float]]:
    """√v over that of float32 after each step, by state and rounding."""
    rule, rng = ravine.rule("adam"), np.random.default_rng(0)
    hyper = {n: h.default for n, h in rule.hyperparameters.items()}
    zero = np.zeros(elements, np.float32)
    wide: dict[str, Any] = {"m": zero, "v": zero}
    ways = [(state, how) for state in STATES[1:] for how in ("stochastic", "nearest")]
    kinds = {state: policy.kinds(rule, state, policy.SMALL) for state in STATES[1:]}
    narrow = {way: {n: store(zero, kind) for n, kind in kinds[way[0]].items()} for way in ways}
    found: dict[str, list[float]] = {f"{state}, {how}": [] for state, how in ways}
    for t in range(1, 2 * STEPS + 1):
        g = (rng.standard_normal(elements) * (1.0 if t <= STEPS else 0.1)).astype(np.float32)
        _, wide = reference.step(rule, zero, g, wide, t, hyper)
        for way in ways:
            seed = noise.seed(0, t, 0) if way[1] == "stochastic" else None
            _, narrow[way] = step(rule, zero, g, narrow[way], t, hyper, seed)
            ratio = np.sqrt(narrow[way]["v"].decode()).mean() / np.sqrt(wide["v"]).mean()
            found[", ".join(way)].append(float(ratio))
    return found


def draw(found: dict[str, list[float]]) -> None:
    """The picture."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "ravine"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.5), layout="constrained")
    for name, ratios in found.items():
        style = "-" if "stochastic" in name else "--"
        axes.plot(range(1, len(ratios) + 1, 20), ratios[::20], style, label=name)
    axes.axvline(STEPS, color="0.6", linewidth=0.8)
    axes.set(xlabel="step", ylabel="√v over that of float32", yscale="log")
    axes.legend()
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, metadata={"Date": None})


def run(task: str, seeds: str, trials: str) -> None:
    """Train, one comparison an optimizer; what has been trained before is not trained again."""
    for name, form in CONTENDERS.items():
        listed = ",".join(f"{name}-{state}=ravine.torch:{form.format(f'state={state}')}" for state in STATES)
        folder = ROOT / "out" / "storage" / f"{_plain(task)}-{name}"
        options = ["--optimizers", listed, "--seeds", seeds, "--trials", trials, "--out", str(folder)]
        subprocess.run([sys.executable, "-m", "ravine", "compare", task, *options], check=True)
        keep(folder / "results.json", task, name)


def keep(results: Path, task: str, name: str) -> None:
    """Keep the summary of a comparison."""
    given = json.loads(results.read_text(encoding="utf-8"))
    kept = {key: given[key] for key in ("task", "protocol", "environment")}
    rows = [
        {key: row[key] for key in ("name", "loss", "best", "scored", "scored_finished")}
        for row in given["summary"]["rows"]
    ]
    KEPT.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**kept, "rows": rows, "pairs": given["summary"]["pairs"]}, indent=1)
    (KEPT / f"{_plain(task)}-{name}.json").write_text(text + "\n", encoding="utf-8")


def _plain(task: str) -> str:
    """A task's name for a file, without brackets: digits-cnn[width=32] is digits-cnn-width-32."""
    return task.rstrip("]").replace("[", "-").replace("=", "-")


def training(file: Path) -> str:
    """The table of one kept comparison."""
    given = json.loads(file.read_text(encoding="utf-8"))
    by_state = {row["name"].rpartition("-")[2]: row for row in given["rows"]}
    wide = by_state["float32"]
    lines = ["| state | test loss | 95 % interval | against float32 |", "|---|--:|--:|---|"]
    for state in STATES:
        row = by_state[state]
        loss = row["loss"]
        verdict = "" if state == "float32" else against(given["pairs"], row, wide)
        if loss["value"] is None:
            found = f"none | {row['scored_finished']} of {row['scored']} stayed finite"
        else:
            found = f"{loss['value']:.4g} | {loss['low']:.4g} to {loss['high']:.4g}"
        lines.append(f"| {state} | {found} | {verdict} |")
    title, seeds = given["task"]["title"], given["protocol"]["seeds"]
    return f"\n### {title}: {file.stem.rpartition('-')[2]}, {seeds} repetitions\n\n" + "\n".join(lines) + "\n"


def against(pairs: list[dict[str, Any]], row: dict[str, Any], wide: dict[str, Any]) -> str:
    """What the comparison says of two contenders."""
    pair = next(p for p in pairs if {p["a"], p["b"]} == {row["name"], wide["name"]})
    verdict = "separated" if pair["separated"] else "not separated"
    if row["loss"]["value"] is None:
        return verdict
    return f"{verdict} ({row['loss']['value'] / wide['loss']['value']:.3f} × the loss)"


def page() -> None:
    """Write the page."""
    found = freezing()
    draw(found)
    text = HEAD.format(steps=STEPS, later=STEPS, elements=1024)
    for name, ratios in found.items():
        state, how = name.split(", ")
        steady = np.mean(ratios[STEPS // 2 : STEPS])
        text += f"| {state} | {how} | {steady:.2f} | {ratios[-1]:.2f} |\n"
    files = sorted(KEPT.glob("*.json"))
    if files:
        protocol = json.loads(files[0].read_text(encoding="utf-8"))["protocol"]
        text += TRAINING.format(trials=protocol["trials"], seeds=protocol["seeds"])
        text += "".join(map(training, files))
    PAGE.write_text(text + speed(), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        run(*sys.argv[2:])
    page()
