"""What a step of rules costs that read more than one element at a time, on GPT-2 small, and the memory it takes.

    python bench/matrix_speed.py [--cases lamb,adafactor,muon,muon-float32] [--pairs 9] [--threads 2] [--out FILE]

Each case and what it is measured by take turns in one process; a ratio is the median over the turns with its 10th and
90th percentile, of the time on the clock and of the processors' time, which other programs disturb less. Memory is how
far two steps raise the process's peak above what parameters, gradients and state take.

torch.optim.Muon multiplies in bfloat16, which a processor without instructions for it does very slowly: "muon" is of
two of a layer's four matrices, in one turn. "muon-float32" is of all twelve layers', against torch's own lines with
bfloat16 taken out.
"""

from __future__ import annotations

import argparse
import inspect
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.optim._muon as torch_muon

import ravine.torch
from ravine.bench.measure import spread
from ravine.bench.shapes import gpt2
from ravine.cli.bench import this_machine

Make = Callable[[list[torch.Tensor]], Any]

HIDDEN = [shape for shape in gpt2()[2:] if len(shape) == 2]
"""The matrices of the twelve layers."""


@dataclass(frozen=True)
class Case:
    """Two optimizers on the same shapes; `aim` is what their times' ratio, theirs over ours, should be at least."""

    shapes: Sequence[tuple[int, ...]]
    ours: Make
    theirs: Make
    aim: float
    most_pairs: int = 100
    in_float32: bool = False


CASES = {
    "lamb": Case(gpt2(), lambda ps: ravine.torch.from_recipe(ps, "lamb"), lambda ps: ravine.torch.Adam(ps), 1 / 1.6),
    "adafactor": Case(gpt2(), lambda ps: ravine.torch.Adafactor(ps), lambda ps: torch.optim.Adafactor(ps), 3.0),
    "muon": Case(HIDDEN[:2], lambda ps: ravine.torch.Muon(ps), lambda ps: torch.optim.Muon(ps), 1.5, most_pairs=1),
    "muon-float32": Case(
        HIDDEN, lambda ps: ravine.torch.Muon(ps), lambda ps: torch.optim.Muon(ps), 1.5, most_pairs=9, in_float32=True
    ),
}
"""LAMB against our own Adam, the others against torch's."""


@contextmanager
def multiplied(*, in_float32: bool) -> Iterator[None]:
    """torch's Muon as it is, or in the type of the gradient."""
    name, own = "_zeropower_via_newtonschulz", torch_muon._zeropower_via_newtonschulz
    if in_float32:
        space = dict(vars(torch_muon))
        exec(inspect.getsource(own).replace(".bfloat16()", ".float()"), space)
        setattr(torch_muon, name, space[name])
    try:
        yield
    finally:
        setattr(torch_muon, name, own)


def made(shapes: Sequence[tuple[int, ...]], make: Make) -> Any:
    torch.manual_seed(0)
    params: list[torch.Tensor] = [torch.nn.Parameter(0.02 * torch.randn(shape)) for shape in shapes]
    for p in params:
        p.grad = torch.randn_like(p) * 1e-3
    return make(params)


def seconds(optimizer: Any) -> tuple[float, float]:
    """A step's, on the clock and of the processors."""
    clock, processors = time.perf_counter(), time.process_time()
    optimizer.step()
    return time.perf_counter() - clock, time.process_time() - processors


def compare(case: Case, pairs: int) -> dict[str, Any]:
    """Both in turn, after a step that makes the state."""
    with multiplied(in_float32=case.in_float32):
        both = {"ours": made(case.shapes, case.ours), "theirs": made(case.shapes, case.theirs)}
        both["ours"].step()
        if pairs > 1:
            both["theirs"].step()
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in both}
        for _ in range(pairs):
            for name, optimizer in both.items():
                times[name].append(seconds(optimizer))
    clock, processors = ({name: [t[k] for t in own] for name, own in times.items()} for k in range(2))
    return {
        "aim": case.aim,
        "pairs": pairs,
        "seconds": {name: statistics.median(own) for name, own in clock.items()},
        "processor_seconds": {name: statistics.median(own) for name, own in processors.items()},
        "ratio": spread(clock["theirs"], clock["ours"]),
        "processor_ratio": spread(processors["theirs"], processors["ours"]),
    }


def memory(case: Case) -> dict[str, int]:
    """Bytes: how far two steps raise the process's peak above parameters, gradients and state; the largest matrix."""
    made([(7,) * n for n in {len(shape) for shape in case.shapes}], case.ours).step()  # it compiles
    optimizer = made(case.shapes, case.ours)
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak starts anew
    optimizer.step()
    optimizer.step()
    state = sum(v.nbytes for own in optimizer.state.values() for v in own.values())
    return {
        "beyond_state": max(0, status("VmHWM") - before - state),
        "state": state,
        "largest_matrix": 4 * max(map(size, case.shapes)),
    }


def size(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())


def status(name: str) -> int:
    """Bytes of memory as Linux has them of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found = {"machine": this_machine(), "cases": {}}
    if arguments.out and arguments.out.exists():
        found["cases"] = json.loads(arguments.out.read_text(encoding="utf-8"))["cases"]
    for name in arguments.cases.split(","):
        case = CASES[name]
        row = found["cases"][name] = {"memory": memory(case), **compare(case, min(arguments.pairs, case.most_pairs))}
        ratio, processors, took = row["ratio"], row["processor_ratio"], row["seconds"]
        print(f"{name:14} {ratio['median']:.2f} × ({ratio['low']:.2f} to {ratio['high']:.2f}), aim {case.aim:.2f}")
        print(f"  of processors' time {processors['median']:.2f} ×; seconds {took['ours']:.3f}, {took['theirs']:.3f}")
        print("  MB: " + ", ".join(f"{key} {value / 2**20:.1f}" for key, value in row["memory"].items()), flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
