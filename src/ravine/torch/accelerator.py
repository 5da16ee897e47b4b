"""Which parameters lie on accelerators, whether the GPU engine serves those, and why not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ravine.engines.gpu import device as devices
from ravine.engines.gpu.device import Device

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
