"""Steps in a training loop of 400 small tensors, in processor time: for a machine that others use too.

python bench/processor_time.py adam,rmsprop,nadam,sgd-nesterov

One thread; torch's time over ours, medians over the steps with the middle 80 per cent, as `ravine bench` reports them
by the clock on the wall.
"""

from __future__ import annotations

import argparse
import time

import torch

from ravine.bench import loop
from ravine.bench.cases import CASES
from ravine.bench.shapes import shapes


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("optimizers", nargs="?", default=",".join(CASES))
    parser.add_argument("--pairs", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    loop.clock = time.thread_time
    for name in arguments.optimizers.split(","):
        for turns, found in loop.compare(CASES[name], shapes("small"), arguments.pairs).items():
            ratios = (
                f"{way} {r['median']:.2f} ({r['low']:.2f} to {r['high']:.2f})" for way, r in found["ratios"].items()
            )
            print(f"{name:16} {turns:9} {found['seconds']['ravine'] * 1e3:.3f} ms   {'   '.join(ratios)}", flush=True)


if __name__ == "__main__":
    main()
