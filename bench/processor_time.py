"""Steps in a training loop of 400 small tensors, in processor time: for a machine that others use too.

python bench/processor_time.py adam,rmsprop,nadam,sgd-nesterov --out bench/results/training-loop.json

One thread; torch's time over ours, medians over the steps with the middle 80 per cent, as `ravine bench` reports them
by the clock on the wall.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from ravine.bench import loop
from ravine.bench.cases import CASES
from ravine.bench.shapes import shapes
from ravine.cli.bench import this_machine


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("optimizers", nargs="?", default=",".join(CASES))
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--out", type=Path, help="write all figures to this JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    loop.clock = time.thread_time
    results = {}
    for name in arguments.optimizers.split(","):
        results[name] = loop.compare(CASES[name], shapes("small"), arguments.pairs)
        for turns, found in results[name].items():
            ratios = (
                f"{way} {r['median']:.2f} ({r['low']:.2f} to {r['high']:.2f})" for way, r in found["ratios"].items()
            )
            print(f"{name:16} {turns:9} {found['seconds']['ravine'] * 1e3:.3f} ms   {'   '.join(ratios)}", flush=True)
    if arguments.out:
        about = {"clock": "the thread's processor time", "shapes": "small", "pairs": arguments.pairs}
        figures = {**about, "machine": this_machine(), "in the loop": results}
        arguments.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
