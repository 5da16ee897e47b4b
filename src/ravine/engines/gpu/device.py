"""One GPU as the engine sees it: torch's memory and current stream, and the kernels that were loaded for it."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Any

import numpy as np

from ravine.engines.gpu import ptx
from ravine.engines.gpu.driver import Driver, driver
from ravine.engines.gpu.target import Target, target, why_not

SWITCH = "RAVINE_GPU"
"""The environment variable that turns the engine off."""

IN_CAPTURE = (
    "the first step of an optimizer, and one after its parameters or state were replaced, makes tables on the device, "
    "which a CUDA graph can't capture: take a step before the capture begins, as torch's documentation of CUDA graphs "
    "has it (three iterations on a side stream)"
)


class Device:
    """The GPU of a number. Kernels are loaded once for each, whoever asks."""

    def __init__(self, index: int, driver: Driver) -> None:
        self.index, self.driver = index, driver
        self.target: Target = target(driver.capability(index), driver.version())
        self._functions: dict[tuple[str, str], Any] = {}

    def function(self, source: str, entry: str) -> Any:
        """A kernel of a module, compiled and loaded when it is first asked for. Raises RuntimeError in a capture."""
        known = self._functions.get((source, entry))
        if known is None:
            self.refuse_capture()
            text = ptx.compile_source(source, self.target)
            known = self._functions[source, entry] = self.driver.load(self.index, text, entry)
        return known

    def launch(self, function: Any, grid: int, block: int, parameters: Any) -> None:
        """Start a kernel on torch's current stream."""
        self.driver.launch(self.index, function, grid, block, self.stream(), parameters)

    def stream(self) -> int:
        """The handle of torch's current stream on this device."""
        import torch

        return int(torch._C._cuda_getCurrentRawStream(self.index))

    def is_capturing(self) -> bool:
        """Whether that stream is being captured into a graph."""
        import torch

        with torch.cuda.device(self.index):
            return bool(torch.cuda.is_current_stream_capturing())

    def refuse_capture(self) -> None:
        """Raise RuntimeError where a graph is being captured."""
        if self.is_capturing():
            raise RuntimeError(IN_CAPTURE)

    def array(self, count: int, kind: str) -> Any:
        """A torch tensor on the device, of one dimension."""
        import torch

        return torch.empty(count, dtype=getattr(torch, kind), device=self.place())

    def upload(self, values: Any, to: Any) -> None:
        """Copy a NumPy array into such a tensor. When this returns, the array may change."""
        import torch

        to.copy_(torch.from_numpy(np.ascontiguousarray(values).reshape(-1)))

    def use_on(self, stream: int, tensors: list[Any]) -> None:
        """Tell torch's allocator that a stream other than the current one of their making uses tensors."""
        import torch

        with torch.cuda.device(self.index):
            for tensor in tensors:
                tensor.record_stream(torch.cuda.ExternalStream(stream))  # type: ignore[no-untyped-call]

    def place(self) -> Any:
        """The device as torch names it."""
        import torch

        return torch.device("cuda", self.index)


@cache
def device(index: int) -> Device | str:
    """The GPU of a number, or why the engine can't work on it."""
    found = driver()
    if isinstance(found, str):
        return found
    return why_not(found.capability(index), found.version()) or Device(index, found)


def is_off() -> bool:
    """Whether the user has turned the engine off."""
    return os.environ.get(SWITCH, "").lower() in ("off", "0", "no")


def words(*values: int) -> list[ctypes.c_int64]:
    """Parameters of 64 bits."""
    return [ctypes.c_int64(v) for v in values]
