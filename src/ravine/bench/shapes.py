"""The parameter shapes that steps are timed on."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

from ravine import userfile
from ravine.errors import unknown

Shape = tuple[int, ...]


def resnet50() -> list[Shape]:
    """ResNet-50 (He et al. 2016, arXiv:1512.03385) for 1000 classes: 161 tensors, 25.6 million numbers."""

    def convolution(out: int, into: int, size: int) -> list[Shape]:
        return [(out, into, size, size), (out,), (out,)]  # the weight, then its batch norm's scale and shift

    found = convolution(64, 3, 7)
    into = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            found += convolution(width, into, 1) + convolution(width, width, 3) + convolution(4 * width, width, 1)
            if block == 0:
                found += convolution(4 * width, into, 1)
            into = 4 * width
    return [*found, (1000, 2048), (1000,)]


def gpt2() -> list[Shape]:
    """GPT-2 small (Radford et al. 2019): 148 tensors, 124 million numbers."""
    n = 768
    found: list[Shape] = [(50257, n), (1024, n)]
    for _ in range(12):
        found += [(n,), (n,), (n, 3 * n), (3 * n,), (n, n), (n,), (n,), (n,), (n, 4 * n), (4 * n,), (4 * n, n), (n,)]
    return [*found, (n,), (n,)]


SHAPES: dict[str, Callable[[], list[Shape]]] = {
    "large": lambda: [(4096, 4096)],
    "resnet50": resnet50,
    "gpt2": gpt2,
    "small": lambda: [(550,)] * 400,
}
"""One large matrix, two real models, 400 small tensors."""


def shapes(name: str) -> list[Shape]:
    """Shapes by name, or those of a model of yours: FILE.py:FUNCTION or MODULE:FUNCTION, called without arguments."""
    if ":" in name:
        return _of_model(name)
    if name not in SHAPES:
        raise unknown("shape", name, SHAPES)
    return SHAPES[name]()


def _of_model(reference: str) -> list[Shape]:
    module_name, _, attribute = reference.rpartition(":")
    if module_name.endswith(".py"):
        path = Path(module_name).resolve()
        if not path.is_file():
            raise ValueError(f"no such file: {module_name!r} (a model of your own is named FILE.py:FUNCTION)")
        sys.path.insert(0, str(path.parent))  # a model's file may import its neighbours
    try:
        is_file = module_name.endswith(".py")
        module = userfile.load(module_name) if is_file else importlib.import_module(module_name)
        make = getattr(module, attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"no model {reference!r}: {error}") from error
    return [tuple(p.shape) for p in make().parameters()]
