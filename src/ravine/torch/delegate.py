"""Groups that torch's own class steps: sparse gradients, differentiable=True, graph capture on an accelerator.

And fused=True where torch has no fused kernel, which is torch's to refuse, and SGD in a graph that make_fx traces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch._C import _get_dispatch_mode, _TorchDispatchModeKey
from torch.optim.optimizer import _default_to_fused_or_foreach
from torch.utils._foreach_utils import _get_fused_kernels_supported_devices as fused_devices

from ravine.torch import accelerator
from ravine.torch.method import Method


def is_captured(group: Mapping[str, Any], params: list[Tensor]) -> bool:
    """Whether a group's step may be part of a graph that torch's class captures, so that no number can be read."""
    return (
        bool(group.get("capturable"))
        and any(p.device.type != "cpu" for p in params)
        and not accelerator.can_take(params)
    )


def falls_back(optimizer: torch.optim.Optimizer, params: list[Tensor]) -> bool:
    """Whether parameters lie on an accelerator that the GPU engine does not serve, and torch has a class of its own."""
    return _kind(optimizer) is not torch.optim.Optimizer and accelerator.falls_back(params)


def is_needed(group: Mapping[str, Any], params: list[Tensor]) -> bool:
    """Whether a group asks for what the engines have no part in."""
    if group.get("differentiable") or is_captured(group, params):
        return True
    if group.get("fused") and any(not p.is_floating_point() or p.device.type not in fused_devices() for p in params):
        return True
    return any(p.grad is not None and p.grad.layout is not torch.strided for p in params)


def is_traced(optimizer: torch.optim.Optimizer, method: Method) -> bool:
    """Whether make_fx traces a step that torch's own class can be traced through, reading no count: then the graph is
    torch's, operation by operation, for whoever knows it."""
    is_ours_alone = _kind(optimizer) is torch.optim.Optimizer
    return method.step is None and not is_ours_alone and _get_dispatch_mode(_TorchDispatchModeKey.PROXY) is not None


def _kind(optimizer: torch.optim.Optimizer) -> Any:
    """The class of torch that an optimizer's class inherits from."""
    return next(k for k in type(optimizer).__mro__ if k.__module__.startswith("torch."))


def step(optimizer: torch.optim.Optimizer, group: dict[str, Any], *, is_divided: bool) -> None:
    """One step of a group by the class of torch that the optimizer's class inherits from, on the optimizer's own state.

    `is_divided` says that the gradients have been divided by a GradScaler's scale already. Raises RuntimeError where
    there is no such class, and whatever torch raises for what it does not support.
    """
    kind = _kind(optimizer)
    if kind is torch.optim.Optimizer:
        if is_captured(group, group["params"]):
            place = next(p.device for p in group["params"] if p.device.type != "cpu")
            raise RuntimeError(
                f"capturable=True of an optimizer that torch lacks needs the GPU engine: {accelerator.engine(place)}"
            )
        raise RuntimeError(f"{type(optimizer).__name__} does not support sparse gradients")
    twin: Any = object.__new__(kind)
    twin.__dict__.update(optimizer.__dict__)
    twin.param_groups = [_fastest(group, optimizer.state)]
    if is_divided:
        twin.grad_scale = None
    function = kind.step
    if getattr(function, "hooked", False):
        function = function.__wrapped__  # the hooks of the step have run already, or will
    function(twin)


def _fastest(group: dict[str, Any], state: Mapping[Tensor, dict[str, Any]]) -> dict[str, Any]:
    """A group that asks for torch's fused form on an accelerator where there is one and nothing else was asked for."""
    params = [p for p in group["params"] if p.grad is not None]
    is_asked = group.get("fused") is not None or group.get("foreach") is not None or group.get("differentiable")
    if "fused" not in group or is_asked or not accelerator.falls_back(params):
        return group  # torch's class takes foreach by itself where it can
    is_fused, _ = _default_to_fused_or_foreach(params, differentiable=False, use_fused=True)
    if is_fused:
        for p in params:
            if "step" in (own := state.get(p, {})):
                own["step"] = own["step"].to(p.device, torch.float32)
    return {**group, "fused": True} if is_fused else group
