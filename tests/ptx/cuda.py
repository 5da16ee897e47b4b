"""A stand-in for NVIDIA's library: it has the functions that the engine calls, and a launch runs the PTX in NumPy.

It is called through C function pointers, so that arguments are converted as for the real one. While a stream is being
captured, launches are kept with the bytes of their parameters, as a CUDA graph keeps them, and run at each replay;
loading a module then is an error, as it is on a GPU.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ptx.machine import Machine
from ptx.memory import Memory
from ptx.program import Program
from ravine.engines.gpu.device import Device
from ravine.engines.gpu.driver import SIGNATURES, Driver

PARAMETER_BYTES = {(12, 1): 32764, (0, 0): 4352}
"""The most that a kernel's parameters may take, from a driver's version on."""


@dataclass
class Launch:
    """One launch as the library was asked for it."""

    device: int
    stream: int
    program: Program
    name: str
    grid: int
    block: int
    parameters: list[bytes]


class Cuda:
    """The library. `launches` has what was started, `captured` what a capture has kept."""

    def __init__(self, capability: tuple[int, int] = (9, 0), version: tuple[int, int] = (12, 4)) -> None:
        self.capability, self.version = capability, version
        self.memory = Memory()
        self.launches: list[Launch] = []
        self.captured: list[Launch] = []
        self.capturing: set[int] = set()
        self.executed: Counter[str] = Counter()
        self._texts: list[str] = []
        self._programs: list[tuple[Program, str]] = []
        self._contexts: list[int] = []
        self._said = b""
        for name, arguments in SIGNATURES.items():
            kind = ctypes.CFUNCTYPE(ctypes.c_int, *arguments)
            setattr(self, name, kind(self._guarded(getattr(self, f"_{name}"))))

    def _guarded(self, function: Any) -> Any:
        def guarded(*arguments: Any) -> int:
            try:
                return function(*arguments) or 0
            except Exception as error:  # through C no exception passes: the driver's error text has it
                self._said = f"{type(error).__name__}: {error}".encode()
                return 999

        return guarded

    def replay(self) -> None:
        """Run what was captured."""
        for launch in self.captured:
            self._execute(launch)

    def _execute(self, launch: Launch) -> None:
        self.launches.append(launch)
        machine = Machine(launch.program, self.memory)
        machine.run(launch.grid, launch.block, launch.parameters)
        self.executed.update(machine.executed)

    def _cuInit(self, flags: int) -> None:
        assert flags == 0

    def _cuDriverGetVersion(self, to: int) -> None:
        ctypes.c_int.from_address(to).value = self.version[0] * 1000 + self.version[1] * 10

    def _cuDeviceGet(self, to: int, number: int) -> None:
        ctypes.c_int.from_address(to).value = number + 10

    def _cuDeviceGetAttribute(self, to: int, attribute: int, device: int) -> None:
        ctypes.c_int.from_address(to).value = self.capability[{75: 0, 76: 1}[attribute]]

    def _cuDevicePrimaryCtxRetain(self, to: int, device: int) -> None:
        ctypes.c_void_p.from_address(to).value = device + 90

    def _cuCtxPushCurrent_v2(self, context: int) -> None:
        self._contexts.append(context - 100)

    def _cuCtxPopCurrent_v2(self, to: int) -> None:
        self._contexts.pop()

    def _cuModuleLoadDataEx(self, to: int, text: int, count: int, options: int, values: int) -> int:
        if self.capturing:
            self._said = b"operation not permitted when stream is capturing"
            return 900
        self._texts.append(ctypes.string_at(text).decode())
        ctypes.c_void_p.from_address(to).value = len(self._texts)
        return 0

    def _cuModuleGetFunction(self, to: int, module: int, name: bytes) -> None:
        self._programs.append((Program(self._texts[module - 1], name.decode()), name.decode()))
        ctypes.c_void_p.from_address(to).value = len(self._programs)

    def _cuLaunchKernel(self, function: int, *given: Any) -> None:
        *shape, shared, stream, parameters, extra = given
        assert (shape[1:3], shape[4:6], shared, extra) == ([1, 1], [1, 1], 0, None), given
        program, name = self._programs[function - 1]
        grid, block = shape[0], shape[3]
        assert block == program.block > 0
        assert grid > 0, "a grid of no blocks"
        limit = next(size for since, size in PARAMETER_BYTES.items() if self.version >= since)
        assert sum(size for _, size in program.parameters) <= limit, "parameters too large"
        places = (ctypes.c_void_p * len(program.parameters)).from_address(parameters)
        held = [ctypes.string_at(p, size) for p, (_, size) in zip(places, program.parameters, strict=True)]
        launch = Launch(self._contexts[-1], stream or 0, program, name, grid, block, held)
        if launch.stream in self.capturing:
            self.captured.append(launch)
        else:
            self._execute(launch)

    def _cuGetErrorString(self, code: int, to: int) -> None:
        self._error = ctypes.create_string_buffer(self._said)
        ctypes.c_void_p.from_address(to).value = ctypes.addressof(self._error)


class HostDevice(Device):
    """A device whose memory is the host's. Tests set `current`, torch's current stream."""

    def __init__(self, cuda: Cuda, index: int = 0) -> None:
        super().__init__(index, Driver(cuda))
        self.cuda = cuda
        self.current = 0
        self.used_on: list[int] = []
        self.uploads = 0

    def stream(self) -> int:
        return self.current

    def is_capturing(self) -> bool:
        return self.current in self.cuda.capturing

    def array(self, count: int, kind: str) -> Any:
        made = super().array(count, kind)
        self.cuda.memory.own(made.data_ptr(), made.nbytes)
        return made

    def upload(self, values: Any, to: Any) -> None:
        assert not self.is_capturing(), "a copy from the host in a capture"
        self.uploads += 1
        to[: np.asarray(values).size].copy_(torch.from_numpy(np.ascontiguousarray(values).reshape(-1)))

    def use_on(self, stream: int, tensors: list[Any]) -> None:
        self.used_on.append(stream)

    def place(self) -> Any:
        return torch.device("cpu")
