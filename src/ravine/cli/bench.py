"""`ravine bench`: what a step costs on this machine, against torch's own implementations and the floor of memory."""

from __future__ import annotations

import datetime
import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ravine.errors import unknown

if TYPE_CHECKING:
    from ravine.bench.cases import Case

DEFAULT = "large,resnet50,gpt2,small"


@click.command()
@click.option("--shapes", default=DEFAULT, show_default=True, help="Which parameter shapes, separated by commas.")
@click.option("--model", help="Time a model of yours instead: FILE.py:FUNCTION or MODULE:FUNCTION that returns it.")
@click.option("--optimizers", default="", help="Which optimizers, separated by commas; all by default.")
@click.option(
    "--pairs", default=15, show_default=True, type=click.IntRange(1), help="How often each is timed, in turn."
)
@click.option(
    "--threads", type=click.IntRange(1), help="Threads, for torch and Ravine alike; torch's number by default."
)
@click.option("--compile", "compiled", is_flag=True, help="Time torch.compile too (minutes; needs a C++ compiler).")
@click.option("--device", help="Time on this device, for instance cuda: beside torch's ways and a copy of the bytes.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures to this JSON file.")
def bench(
    shapes: str,
    model: str | None,
    optimizers: str,
    pairs: int,
    threads: int | None,
    compiled: bool,
    device: str | None,
    out: Path | None,
) -> None:
    """Time optimizer steps: Ravine's, torch's loop, foreach and fused, and a kernel that only moves the bytes.

    First in a training loop, with forward, backward and new gradients, where caches are cold and threads sleep; then
    again and again on gradients that stay. All take turns in one process. A ratio says how many times as long as
    Ravine's step another takes.
    """
    import torch

    from ravine.bench import loop
    from ravine.bench.measure import compare, first_step
    from ravine.bench.shapes import shapes as parameter_shapes

    if threads is not None:
        torch.set_num_threads(threads)
    chosen = _cases(optimizers)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.touch()  # an unwritable path is better known now
    console = Console()
    if device is not None:
        _on_device(device, [model] if model else shapes.split(","), chosen, pairs, compiled, out, console)
        return
    names = [model] if model else shapes.split(",")
    found = {name: parameter_shapes(name) for name in names}
    results: dict[str, Any] = {"machine": this_machine(), "first_step": first_step(), "shapes": {}}
    for name in names:
        progress = track(chosen.items(), description=name, console=console, transient=True)
        measured = {}
        for optimizer, case in progress:
            in_a_loop = loop.compare(case, found[name], pairs)
            measured[optimizer] = {"loop": in_a_loop, **compare(case, found[name], pairs, compiled)}
        results["shapes"][name] = measured
        console.print(_loop_table(name, measured))
        console.print(_table(name, measured))
    first = results["first_step"]
    console.print(
        f"First step of a process: {first['cold']:.3f} s with compiling, {first['warm']:.3f} s from the cache"
    )
    if out is not None:
        out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        console.print(f"Written to {out}")


def _on_device(
    device: str,
    names: list[str],
    chosen: dict[str, Case],
    pairs: int,
    compiled: bool,
    out: Path | None,
    console: Console,
) -> None:
    import torch

    from ravine.bench import gpu
    from ravine.bench.shapes import shapes as parameter_shapes

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise click.UsageError(f"--device {device}: there is no GPU that torch can use here")
    title = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    results: dict[str, Any] = {"machine": this_machine(), "device": title, "shapes": {}}
    for name in names:
        found = parameter_shapes(name)
        table = Table(title=f"{name} on {title}", caption="A peer's time over Ravine's, and Ravine's share of a copy")
        for column in ("optimizer", "ms", "of a copy", "peers"):
            table.add_column(column)
        measured = results["shapes"][name] = {}
        for optimizer, case in track(chosen.items(), description=name, console=console, transient=True):
            row = measured[optimizer] = gpu.compare(case, found, pairs, compiled, device)
            peers = ", ".join(f"{way} {ratio['median']:.2f}" for way, ratio in row["ratios"].items())
            milliseconds = f"{row['seconds']['ravine'] * 1e3:.3g}"
            table.add_row(optimizer, milliseconds, f"{row['share_of_copy']:.2f}", peers)
        console.print(table)
    if out is not None:
        out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        console.print(f"Written to {out}")


def _cases(optimizers: str) -> dict[str, Case]:
    from ravine.bench.cases import CASES

    names = [n.strip() for n in optimizers.split(",")] if optimizers else list(CASES)
    for name in names:
        if name not in CASES:
            raise unknown("optimizer to time", name, CASES)
    return {name: CASES[name] for name in names}


def _loop_table(name: str, measured: dict[str, Any]) -> Table:
    """Two rows an optimizer: taking turns step by step, and in blocks of steps."""
    caption = "The other's time over Ravine's, each with fresh gradients: median (10th to 90th percentile of the steps)"
    table = Table(title=f"{name}: in a training loop", caption=caption)
    table.add_column("optimizer", no_wrap=True)
    table.add_column("turns")
    table.add_column("ms", justify="right")
    ways = list(dict.fromkeys(way for row in measured.values() for way in row["loop"]["in_turn"]["ratios"]))
    for way in ways:
        table.add_column(way if way == "one thread" else f"torch {way}", justify="right")
    for optimizer, row in measured.items():
        for turns, found in row["loop"].items():
            cells = [_ratio(found["ratios"][way]) if way in found["ratios"] else "" for way in ways]
            name = optimizer if turns == "in_turn" else ""
            table.add_row(name, turns.removeprefix("in_"), f"{found['seconds']['ravine'] * 1e3:.3g}", *cells)
    return table


def _table(name: str, measured: dict[str, Any]) -> Table:
    table = Table(
        title=f"{name}: gradients that stay",
        caption="torch's time over Ravine's: median (10th to 90th percentile of the pairs)",
    )
    table.add_column("optimizer", no_wrap=True)
    table.add_column("ms", justify="right")
    table.add_column("× floor", justify="right")
    ways = list(dict.fromkeys(way for row in measured.values() for way in row["ratios"]))
    for way in ways:
        table.add_column(f"torch {way}", justify="right")
    table.add_column("extra MB: ours, torch's best", justify="right")
    for optimizer, row in measured.items():
        cells = [_ratio(row["ratios"][way]) if way in row["ratios"] else "" for way in ways]
        table.add_row(optimizer, f"{row['seconds']['ravine'] * 1e3:.3g}", _ratio(row["of_floor"]), *cells, _memory(row))
    return table


def _ratio(spread: dict[str, float]) -> str:
    return f"{spread['median']:.2f} ({spread['low']:.2f} to {spread['high']:.2f})"


def _memory(row: dict[str, Any]) -> str:
    extra = row["extra_memory"]
    if extra["ravine"] is None:
        return ""
    others = [v for k, v in extra.items() if k not in ("ravine", "floor")]
    return f"{extra['ravine'] / 1e6:.0f}" + (f", {min(others) / 1e6:.0f}" if others else "")


def this_machine() -> dict[str, Any]:
    """What figures were measured on, and when."""
    import torch

    import ravine

    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "ravine": ravine.__version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        if names:
            return names[0]
    return platform.processor() or platform.machine()
