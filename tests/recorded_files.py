"""Files that the real frameworks wrote (tests/recorded/files), and training that goes on from them as it did there."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ravine import convert
from ravine.userfile import load

FILES = Path(__file__).parent / "recorded" / "files"
RECORDER: Any = load(FILES.parents[2] / "tools" / "record_files.py")
RECORDED = np.load(FILES / "after.npz", allow_pickle=False)
STEPS = range(RECORDER.BEFORE, RECORDER.BEFORE + RECORDER.AFTER)


def values(name: str, when: str) -> list[np.ndarray]:
    """The parameters when the file was saved ("saved"), or at the end of the recorded run ("after"); or the averages of
    them that were kept there ("average")."""
    return [RECORDED[f"{name}/{when}/{k}"] for k in range(sum(n.startswith(f"{name}/{when}/") for n in RECORDED))]


def parameters(name: str) -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.tensor(v)) for v in values(name, "saved")]


def trained(
    params: list[torch.nn.Parameter], optimizer: Any, scheduler: Any = None, shapes: Any = RECORDER.SHAPES
) -> list[np.ndarray]:
    """The parameters after the steps that the recorded run made next."""
    for t in STEPS:
        for p, g in zip(params, RECORDER.gradients(t, shapes), strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return [p.detach().numpy() for p in params]


def same(found: list[np.ndarray], name: str, when: str = "after") -> None:
    """Whether these are the parameters at the end of the recorded run, or their averages."""
    for own, whole in zip(found, values(name, when), strict=True):
        # Keras computes 1 − βᵗ in float32, which is off by some 1e-6 of itself.
        np.testing.assert_allclose(own, whole, rtol=0, atol=5e-6 * np.abs(whole).max())


def goes_on(name: str, framework: str, names: list[str], shapes: Any = RECORDER.SHAPES, **how: Any) -> None:
    """Take the recorded file and parameters, and make the recorded run's next steps."""
    params = parameters(name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "left behind")  # which has a test of its own
        optimizer = convert.resume(FILES / name, zip(names, params, strict=True), framework, **how)
    same(trained(params, optimizer, shapes=shapes), name)
