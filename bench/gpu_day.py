"""Everything that only a real GPU can show: bits, captures, GradScaler, streams, two devices, bandwidth.

`make gpu-day` on a machine with an NVIDIA GPU; needs nothing but the project's environment with torch's CUDA build.
Writes one JSON with the device's name. A section that fails is recorded with its error, and the next one runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ravine
import ravine.torch
from ptx.hold import STEPS, TYPES, gradient, hyper_of, same, storage_of
from ravine.bench import gpu as timing
from ravine.bench.cases import CASES
from ravine.bench.shapes import SHAPES
from ravine.engines import reference
from ravine.engines.fused.kernel import hyper_values
from ravine.engines.fused.lower import array_slots, scalar_slots
from ravine.engines.gpu.device import device
from ravine.engines.gpu.table import GpuTable
from ravine.rule import Rule

SIZES = ((1, 0), (37, 0), (0, 0), (131, 1), (1030, 0), (40000, 0), (515, 3))
KINDS = (("float32",), ("float64",), ("bfloat16",), ("float16",), ("bfloat16", "bfloat16", "float32"))


def bits() -> dict[str, Any]:
    """Every elementwise rule and storage, counts on the host and on the device, against the reference."""
    wrong, runs = [], 0
    for name, rule in ravine.rules().items():
        if not rule.graph.is_elementwise:
            continue
        for types in KINDS:
            for has_counts in (False, True):
                runs += 1
                if found := first_difference(rule, types, has_counts):
                    wrong.append(f"{name} {types} {has_counts}: {found}")
    return {"runs": runs, "different": wrong}


def first_difference(rule: Rule, types: tuple[str, ...], has_counts: bool) -> str:
    """Where a rule's kernel first differs from the reference; empty if nowhere."""
    engine = device(torch.cuda.current_device())
    assert not isinstance(engine, str), engine
    storage = storage_of(rule, *types)
    names, scalars = array_slots(rule.graph), scalar_slots(rule.graph)
    rng, hyper, compute = np.random.default_rng(0), hyper_of(rule), TYPES[storage.compute]

    def made(size: int, offset: int, kind: str, value: Any) -> torch.Tensor:
        host = torch.as_tensor(value, dtype=torch.float64).expand(size).to(TYPES[kind])
        return torch.cat([torch.zeros(offset, dtype=TYPES[kind]), host]).cuda()[offset:]

    rows = []
    for size, offset in SIZES:
        slots = [made(size, offset, k, float(rule.slots[n].start)) for n, k in zip(names, storage.slots, strict=True)]
        place = "cuda" if has_counts else "cpu"
        starts = [0.0, *(float(rule.slots[n].start) for n in scalars)]
        kinds = zip(starts, storage.scalars, strict=True)
        counts = [torch.tensor(v, dtype=TYPES[kind], device=place) for v, kind in kinds]
        rows.append([made(size, offset, storage.x, rng.standard_normal(size)), None, slots, counts])
    table = None
    for t in range(1, STEPS + 1):
        wanted = []
        for row, (size, offset) in zip(rows, SIZES, strict=True):
            row[1] = made(size, offset, storage.g, gradient(t, size, rng).double())
            own: dict[str, Any] = {n: s.cpu().to(compute).numpy() for n, s in zip(names, row[2], strict=True)}
            own |= {n: c.item() for n, c in zip(scalars, row[3][1:], strict=True)}
            x, g = (a.cpu().to(compute).numpy() for a in row[:2])
            wanted.append(reference.step(rule, x, g, {n: own[n] for n in rule.slots}, t, hyper))
        addresses = [[a.data_ptr() for a in (x, g, *slots, *counts)] for x, g, slots, counts in rows]
        if table is None:
            table = GpuTable(rule, storage, [n for n, _ in SIZES], addresses, engine, has_counts=has_counts)
        table.set_gradients([row[1].data_ptr() for row in rows])
        table.step(hyper_values(rule, hyper))
        for k, (row, (x, new)) in enumerate(zip(rows, wanted, strict=True)):
            if not same(row[0].cpu(), torch.from_numpy(np.array(x)).to(TYPES[storage.x])):
                return f"x of tensor {k} in step {t}"
            for n, slot in zip(names, row[2], strict=True):
                if not same(slot.cpu(), torch.from_numpy(np.array(new[n])).to(slot.dtype)):
                    return f"{n} of tensor {k} in step {t}"
            if [c.item() for c in row[3]] != [float(t), *(new[n] for n in scalars)]:
                return f"counts of tensor {k} in step {t}"
    return ""


def small_model(place: str = "cuda") -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.Tanh(), torch.nn.Linear(128, 10)).to(place)


def loss_of(model: torch.nn.Module, data: torch.Tensor) -> torch.Tensor:
    return model(data).square().mean()


def capture() -> dict[str, Any]:
    """A captured training step, replayed, against the same steps uncaptured; a capture before the first step is an
    error."""
    data = torch.randn(32, 64, device="cuda")
    ends = {}
    for is_captured in (False, True):
        model = small_model()
        optimizer = ravine.torch.Adam(model.parameters(), lr=torch.tensor(0.01, device="cuda"), capturable=True)

        def step(model: torch.nn.Module = model, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad(set_to_none=True)
            loss_of(model, data).backward()
            optimizer.step()

        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(side)
        if is_captured:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                step()
            for _ in range(10):
                graph.replay()
        else:
            for _ in range(10):
                step()
        ends[is_captured] = [p.detach().clone() for p in model.parameters()]
    equal = all(torch.equal(a, b) for a, b in zip(*ends.values(), strict=True))
    optimizer = ravine.torch.Adam(small_model().parameters(), capturable=True)
    for p in optimizer.param_groups[0]["params"]:
        p.grad = torch.ones_like(p)
    said = ""
    try:
        with torch.cuda.graph(torch.cuda.CUDAGraph()):
            optimizer.step()
    except RuntimeError as error:
        said = str(error)
    return {"replays_equal_steps": equal, "capture_before_the_first_step": said}


def grad_scaler() -> dict[str, Any]:
    """AMP with a scale that is at first far too large: steps are left out until it fits, and training goes on."""
    results = {}
    for options in ({}, {"fused": True}, {"capturable": True}):
        model = small_model()
        optimizer = ravine.torch.AdamW(model.parameters(), lr=0.01, **options)
        scaler = torch.amp.GradScaler("cuda", init_scale=2.0**40)
        data, losses = torch.randn(32, 64, device="cuda"), []
        for _ in range(60):
            optimizer.zero_grad()
            with torch.autocast("cuda", torch.float16):
                loss = loss_of(model, data)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss.item())
        step = next(iter(optimizer.state.values()))["step"]
        results[str(options)] = {"first": losses[0], "last": losses[-1], "steps": float(step), "on": str(step.device)}
    return results


def streams() -> dict[str, Any]:
    """Steps on a stream of their own end where those on the default stream end."""
    ends = []
    for stream in (torch.cuda.current_stream(), torch.cuda.Stream()):
        model = small_model()
        optimizer = ravine.torch.RMSprop(model.parameters(), momentum=0.9)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            data = torch.ones(8, 64, device="cuda")
            for _ in range(10):
                optimizer.zero_grad()
                loss_of(model, data).backward()
                optimizer.step()
        torch.cuda.synchronize()
        ends.append([p.detach().clone() for p in model.parameters()])
    return {"equal": all(torch.equal(a, b) for a, b in zip(*ends, strict=True))}


def two_devices() -> dict[str, Any]:
    """One group over two devices, where there are two."""
    if torch.cuda.device_count() < 2:
        return {"devices": torch.cuda.device_count()}
    params = [torch.nn.Parameter(torch.ones(1000, device=f"cuda:{k % 2}")) for k in range(6)]
    optimizer = ravine.torch.Adam(params)
    for _ in range(5):
        for p in params:
            p.grad = torch.full_like(p, 0.5)
        optimizer.step()
    return {"devices": 2, "equal": all(torch.equal(p.cpu(), params[0].cpu()) for p in params)}


def speed(pairs: int, compiled: bool) -> dict[str, Any]:
    """Every timed optimizer on every shape, beside torch's ways and a copy."""
    return {
        shape: {n: timing.compare(case, make(), pairs, compiled, "cuda") for n, case in CASES.items()}
        for shape, make in SHAPES.items()
    }


def slow_paths() -> dict[str, Any]:
    """How much longer a step takes with gradients that are subnormal, for which division and root have slow paths."""
    found = {}
    for name, case in CASES.items():
        times = {}
        for kind, size in (("normal", 1e-3), ("subnormal", 1e-41)):
            params = timing.parameters([(4096, 4096)], "cuda")
            params[0].grad = torch.full_like(params[0], size)
            optimizer = case.make(params)
            optimizer.step()
            times[kind] = statistics.median(timing.seconds(optimizer.step, "cuda") for _ in range(5))
        found[name] = {**times, "ratio": times["subnormal"] / times["normal"]}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--compile", action="store_true", help="time torch.compile too")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("there is no GPU that torch can use here")
    from ravine.torch.accelerator import ways

    results: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "ways": ways(),
    }
    sections: dict[str, Callable[[], Any]] = {
        "bits": bits,
        "capture": capture,
        "grad_scaler": grad_scaler,
        "streams": streams,
        "two_devices": two_devices,
        "slow_paths": slow_paths,
        "speed": lambda: speed(given.pairs, given.compile),
    }
    for name, section in sections.items():
        print(name, flush=True)
        try:
            results[name] = section()
        except Exception:
            results[name] = {"error": traceback.format_exc()}
        given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in results.items() if k != "speed"}, indent=1))


if __name__ == "__main__":
    main()
