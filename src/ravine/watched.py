"""Whether torch's operations are watched or transformed just now: then memory may be written through them only."""

from __future__ import annotations

import torch
from torch._C import _get_tracing_state, _len_torch_dispatch_stack, _len_torch_function_stack
from torch._C._functorch import peek_interpreter_stack
from torch.autograd import forward_ad
from torch.utils._device import DeviceContext


def is_watched() -> bool:
    """Whether a dispatch or function mode, a transform of torch.func, torch.jit.trace or a level of duals is active.

    What they would not see is lost: an operation missing in a log or a traced graph, an example of a batch, a tangent.
    This runs in every step: a few calls of 40 ns.
    """
    return bool(
        _len_torch_dispatch_stack()
        or peek_interpreter_stack() is not None
        or forward_ad._current_level >= 0
        or _get_tracing_state() is not None
        or (_len_torch_function_stack() and _is_watched_by_a_function())
    )


def _is_watched_by_a_function() -> bool:
    """Whether a function mode is more than the default device, which only makers of tensors ask for."""
    stack = map(torch._C._get_function_stack_at, range(_len_torch_function_stack()))
    return not all(isinstance(mode, DeviceContext) for mode in stack)
