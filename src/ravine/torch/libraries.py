"""Functions of torch's own libraries that Python has no name for."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import torch


def library(name: str) -> Any:
    """One of torch's libraries, by the middle of its file's name. Raises OSError where there is none."""
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    return ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / f"lib{name}{suffix}"))


def address(library: Any, function: str) -> int:
    """Where a function begins. Raises AttributeError where the library has none of that name."""
    return ctypes.cast(getattr(library, function), ctypes.c_void_p).value or 0
