"""The OpenMP threads that the process has already, where it has them: torch's.

They go on spinning for some milliseconds after each of torch's parallel operations. A helper of our own would have to
share the processor with them; as members of the team they are there at once. libgomp does not survive a fork, so a
forked child has no team.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

_team: tuple[Any, int] | None = None
_is_forked = False


def team() -> tuple[Any, int] | None:
    """libgomp's `GOMP_parallel` and the address of its `omp_get_thread_num`, if the process has loaded them."""
    global _team
    if _is_forked or os.name != "posix":
        return None
    if _team is None:
        loaded = ctypes.CDLL(None)
        try:
            parallel, number = loaded.GOMP_parallel, loaded.omp_get_thread_num
        except AttributeError:
            return None
        parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        parallel.restype = None
        _team = (parallel, ctypes.cast(number, ctypes.c_void_p).value or 0)
    return _team


def _after_fork() -> None:
    global _is_forked
    _is_forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
