"""Which parameters the GPU engine steps, and what stands in the way of others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._C import _dispatch_keys as dispatch_keys

from ravine.engines.fused.storage import SIZES, Storage
from ravine.engines.gpu import device as devices
from ravine.engines.gpu.device import Device
from ravine.torch import local
from ravine.torch.bucket import COUNTS, PLAIN, REAL
from ravine.torch.layout import is_dense
from ravine.torch.method import Method

ELSEWHERE = ("cpu", "meta")
"""Kinds of devices that are no accelerators."""


def is_on(p: Any) -> bool:
    """Whether a tensor lies on an accelerator."""
    return p.device.type not in ELSEWHERE


def engine(place: torch.device) -> Device | str:
    """The engine for an accelerator, or why there is none."""
    if devices.is_off():
        return f"{devices.SWITCH} is off"
    if place.type != "cuda":
        return f"the engine knows NVIDIA's cards, not torch's device {place.type!r}"
    if torch.version.hip is not None:
        return "the engine knows NVIDIA's cards, and this torch is for AMD's (ROCm)"
    return devices.device(torch.cuda.current_device() if place.index is None else place.index)


def can_take(params: Iterable[Tensor]) -> bool:
    """Whether all parameters lie where the engine works."""
    places = {p.device for p in params if is_on(p)} if all(map(is_on, params)) else set()
    return bool(places) and not any(isinstance(engine(place), str) for place in places)


def falls_back(params: Iterable[Tensor]) -> bool:
    """Whether a parameter lies on an accelerator where the engine does not work."""
    return any(isinstance(engine(place), str) for place in {p.device for p in params if is_on(p)})


def keeps_counts(group: Mapping[str, Any]) -> bool:
    """Whether a group's step counts belong beside its parameters, as torch has them with these options."""
    return bool(group.get("fused") or group.get("capturable"))


def keeps_numbers(group: Mapping[str, Any], params: list[Tensor]) -> bool:
    """Whether a group's counts lie beside its parameters and the engine steps them, so that no number is read."""
    return keeps_counts(group) and can_take(params)


def make_counts(method: Method, p: Tensor, state: dict[str, Any], counts: torch.dtype) -> None:
    """The numbers of a new parameter, beside it."""
    start = {method.step: 0.0} if method.step is not None else {}
    start |= {key: float(method.start[name]) for name, key in method.scalars.items()}
    for key, value in start.items():
        if key not in state:
            kind = counts if key == method.step or method.counts_like_torch else torch.float64
            state[key] = torch.full((), value, dtype=kind, device=p.device)


def storage(p: Tensor, g: Tensor, state: Mapping[str, Any], method: Method) -> tuple[Storage, bool] | str:
    """How a parameter on an accelerator is stored, and whether its counts lie beside it; or why the engine can't.

    Raises RuntimeError where its gradient or state lies on a device of another kind.
    """
    named = {"the parameter": p, "the gradient": g, **{key: state[key] for key in method.arrays.values()}}
    for name, a in named.items():
        if not isinstance(a, Tensor) or a.device != p.device:
            where = a.device if isinstance(a, Tensor) else f"a {type(a).__name__}"
            raise RuntimeError(
                f"{name} of a parameter of shape {tuple(p.shape)} on {p.device} is on {where}: "
                f"all tensors of a parameter must be on its device"
            )
        if not is_plain(a) or a.dtype not in REAL:
            return f"{name} is of {a.dtype}, {a.layout}, class {type(a).__name__}"
        if a.shape != p.shape or a.is_complex() != p.is_complex():
            return f"{name} has shape {tuple(a.shape)} and {a.dtype}, the parameter {tuple(p.shape)} and {p.dtype}"
        if a.stride() != p.stride() and not (a.is_contiguous() and p.is_contiguous()):
            return f"{name} is laid out with strides {a.stride()}, the parameter with {p.stride()}"
    if not is_dense(p):
        return f"the parameter's memory has gaps or overlaps: strides {p.stride()} for shape {tuple(p.shape)}"
    counts = [state[key] for key in method.counters]
    for key, c in zip(method.counters, counts, strict=True):
        if not isinstance(c, Tensor) or c.numel() != 1 or c.dtype not in COUNTS or not is_plain(c):
            return f"{key} is no tensor of one float"
    beside = {is_on(c) for c in counts}
    if len(beside) > 1:
        return "some of its counts are on the host and some beside it"
    types = [REAL[a.dtype] for a in named.values()]
    found = Storage(types[0], types[1], tuple(types[2:]), tuple(COUNTS[c.dtype] for c in counts))
    if found.compute == "float64" and any(SIZES[kind] < 4 for kind in types):
        return "narrow numbers stand beside a float64 parameter"
    return found, beside == {True}


def is_plain(a: Any) -> bool:
    """Whether a tensor's memory holds its numbers, so that torch's dispatcher would have nothing to add."""
    return type(a) in PLAIN and dispatch_keys(a).raw_repr() in _plain_keys(a.device)


@cache
def _plain_keys(place: torch.device) -> set[int]:
    found = set()
    for is_inference in (False, True):
        with torch.inference_mode(is_inference):
            found.add(dispatch_keys(torch.empty(0, device=place)).raw_repr())
    return found


def parts(p: Any, g: Any, state: Mapping[str, Any], method: Method) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """This rank's part of a distributed parameter, its gradient and its state; others as they are."""
    if not local.is_distributed(p):
        return p, g, dict(state)
    return local.parts(p, g, dict(state), list(method.arrays.values()))


def ways() -> list[str]:
    """How parameters on each of this machine's GPUs are stepped, and why, a line each."""
    otherwise = "torch's own class steps there, fused where it can be, else foreach; rules that torch lacks by foreach"
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        found = engine(torch.device("cuda", 0))
        return [f"no GPU is stepped by the GPU engine: {found if isinstance(found, str) else 'torch finds none'}"]
    lines = []
    for index in range(count):
        found = engine(torch.device("cuda", index))
        way = (
            f"{otherwise}, because {found}"
            if isinstance(found, str)
            else f"the GPU engine, as {found.target.processor}"
        )
        lines.append(f"cuda:{index} ({torch.cuda.get_device_name(index)}): {way}")
    return lines
