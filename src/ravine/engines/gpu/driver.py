"""NVIDIA's driver by its C interface: loads PTX and launches kernels."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

LIBRARY = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"

LOG = 1 << 13
"""Bytes for what the driver has to say about PTX that it can't translate."""

ERROR_LOG, ERROR_LOG_SIZE = 5, 6  # of CUjit_option
MAJOR, MINOR = 75, 76  # of CUdevice_attribute: the compute capability

_pointer, _word, _unsigned = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint

SIGNATURES: dict[str, Sequence[Any]] = {
    "cuInit": (_unsigned,),
    "cuDriverGetVersion": (_pointer,),
    "cuDeviceGet": (_pointer, _word),
    "cuDeviceGetAttribute": (_pointer, _word, _word),
    "cuDevicePrimaryCtxRetain": (_pointer, _word),
    "cuCtxPushCurrent_v2": (_pointer,),
    "cuCtxPopCurrent_v2": (_pointer,),
    "cuModuleLoadDataEx": (_pointer, _pointer, _unsigned, _pointer, _pointer),
    "cuModuleGetFunction": (_pointer, _pointer, ctypes.c_char_p),
    "cuLaunchKernel": (_pointer, *[_unsigned] * 7, _pointer, _pointer, _pointer),
    "cuGetErrorString": (_word, _pointer),
}


class DriverError(RuntimeError):
    """What the driver refused, in its words."""


class Driver:
    """The functions of the library that the engine calls. Raises OSError or AttributeError where they are not there."""

    def __init__(self, library: Any = None) -> None:
        self._library = ctypes.CDLL(LIBRARY) if library is None else library
        self._functions = {}
        for name, arguments in SIGNATURES.items():
            function = getattr(self._library, name)
            function.argtypes, function.restype = list(arguments), _word
            self._functions[name] = function
        self._contexts: dict[int, Any] = {}
        self._lock = threading.Lock()
        self._call("cuInit", 0)

    def version(self) -> tuple[int, int]:
        """The newest CUDA that the driver knows, as (major, minor)."""
        found = _word()
        self._call("cuDriverGetVersion", ctypes.byref(found))
        return found.value // 1000, found.value % 1000 // 10

    def capability(self, device: int) -> tuple[int, int]:
        """A card's compute capability, as (major, minor)."""
        handle, found = _word(), []
        self._call("cuDeviceGet", ctypes.byref(handle), device)
        for attribute in (MAJOR, MINOR):
            value = _word()
            self._call("cuDeviceGetAttribute", ctypes.byref(value), attribute, handle)
            found.append(value.value)
        return found[0], found[1]

    def load(self, device: int, ptx: str, entry: str) -> Any:
        """A function of a PTX text, translated for a card. It stays loaded: modules are few, and shared."""
        log = ctypes.create_string_buffer(LOG)
        options = (_word * 2)(ERROR_LOG, ERROR_LOG_SIZE)
        values = (_pointer * 2)(ctypes.addressof(log), LOG)
        module, function = _pointer(), _pointer()
        with self._current(device):
            text = ptx.encode() + b"\0"
            try:
                self._call("cuModuleLoadDataEx", ctypes.byref(module), text, 2, options, values)
            except DriverError as error:
                raise DriverError(f"{error}: {log.value.decode(errors='replace').strip()}") from None
            self._call("cuModuleGetFunction", ctypes.byref(function), module, entry.encode())
        return function

    def launch(self, device: int, function: Any, grid: int, block: int, stream: int, parameters: Any) -> None:
        """Start a kernel on a stream of a device; `parameters` is an array of the addresses of its parameters."""
        with self._current(device):
            self._call("cuLaunchKernel", function, grid, 1, 1, block, 1, 1, 0, stream, parameters, None)

    @contextlib.contextmanager
    def _current(self, device: int) -> Iterator[None]:
        """Torch's context of a device, whatever device the thread is at."""
        context = self._contexts.get(device) or self._retained(device)
        self._call("cuCtxPushCurrent_v2", context)
        try:
            yield
        finally:
            popped = _pointer()
            self._call("cuCtxPopCurrent_v2", ctypes.byref(popped))

    def _retained(self, device: int) -> Any:
        with self._lock:
            if device not in self._contexts:
                handle, context = _word(), _pointer()
                self._call("cuDeviceGet", ctypes.byref(handle), device)
                self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), handle)
                self._contexts[device] = context
            return self._contexts[device]

    def _call(self, name: str, *arguments: Any) -> None:
        code = self._functions[name](*arguments)
        if code:
            text = ctypes.c_char_p()
            self._functions["cuGetErrorString"](code, ctypes.byref(text))
            raise DriverError(f"{name}: {(text.value or b'unknown error').decode()} ({code})")


@cache
def driver() -> Driver | str:
    """This process's driver, or why there is none."""
    try:
        return Driver()
    except OSError:
        return f"there is no NVIDIA driver ({LIBRARY} can't be loaded)"
    except (AttributeError, DriverError) as error:
        return f"NVIDIA's driver does not work: {error}"
