"""torch's wrapper around every optimizer's `step`, left out where it would do nothing.

It tells profilers of the step and runs hooks. After a backward pass, when caches are cold, telling takes 0.1 ms also
when nobody listens: as long as Ravine's step of a hundred small tensors.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch._C import _len_torch_dispatch_stack
from torch.compiler import is_dynamo_compiling
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from ravine.torch.libraries import address, library

HAS_CALLBACKS = "_ZN2at12hasCallbacksEv"
"""at::hasCallbacks(): whether some profiler or other observer, of this thread or of all, wants to know of functions."""


def hooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step as torch wraps it. The wrapper is passed by while no observer listens and no hook is registered."""
    by_torch = torch.optim.Optimizer.profile_hook_step(step)
    is_observed = _observers()

    @functools.wraps(step)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        if (
            is_dynamo_compiling()
            or self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or _global_optimizer_pre_hooks
            or _global_optimizer_post_hooks
            or is_observed()
            or _len_torch_dispatch_stack()  # a mode sees the telling too
        ):
            return by_torch(self, *args, **kwargs)
        return step(self, *args, **kwargs)

    return wrapper


@functools.cache
def _observers() -> Callable[[], bool]:
    """A function that says whether somebody observes; where that can't be asked, it says that somebody does."""
    try:
        place = address(library("torch_cpu"), HAS_CALLBACKS)
    except (OSError, AttributeError):
        return lambda: True
    found: Callable[[], bool] = ctypes.PYFUNCTYPE(ctypes.c_bool)(place)
    return found
