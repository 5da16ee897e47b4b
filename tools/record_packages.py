"""Record what optimizers of packages compute that the project does not install: evidence for the rules of papers.

Run by `make record-packages`, which installs the packages apart and puts tests/ on the path. Writes
tests/recorded/packages.npz: for each run of `evidence_packages.runs` the points visited and the last state.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
import types
from typing import Any

import numpy as np
import torch

from evidence import DROP, X0, stream
from evidence_packages import RECORD, Run, runs

PACKAGES = ("timm", "pytorch_optimizer", "schedulefree", "prodigyopt")


def main() -> None:
    torch.set_default_dtype(torch.float64)
    for package in ("timm", "timm.optim"):
        _without_its_init(package)
    arrays: dict[str, Any] = {}
    for run in runs():
        arrays |= record(run)
        print(run.key, flush=True)
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    np.savez_compressed(RECORD, versions=np.array(versions), **arrays)


def _without_its_init(package: str) -> None:
    """Let a package's modules be imported without its own `__init__`: timm's imports all its models, and theirs."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    module = types.ModuleType(package)
    module.__path__ = list(spec.submodule_search_locations)
    sys.modules[package] = module


def record(run: Run) -> dict[str, np.ndarray]:
    """The points of a run, and its last state, by the names under which they are kept."""
    module, _, name = run.call.rpartition(".")
    x0 = run.sizes[1] * X0
    p = torch.nn.Parameter(torch.tensor(x0).reshape(run.shape))
    optimizer = getattr(importlib.import_module(module), name)([p], **run.options)
    if hasattr(optimizer, "train"):  # Schedule-Free's
        optimizer.train()
    points = [x0]
    for t, g in enumerate(run.sizes[0] * stream(), 1):
        optimizer.param_groups[0]["lr"] = run.options["lr"] * (run.drop if t > DROP else 1)
        p.grad = torch.tensor(g).reshape(run.shape)
        optimizer.step()
        points.append(p.detach().numpy().copy().ravel())
    state = optimizer.state[p]
    return {run.key: np.stack(points)} | {f"{run.key} {n}": np.asarray(state[n]) for n in run.state.values()}


if __name__ == "__main__":
    main()
