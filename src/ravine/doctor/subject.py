"""The class under examination, and the small training runs that the checks are made of."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

SHAPES = ((6, 4), (3, 5))
"""Parameters are matrices: there are optimizers that take nothing else."""


@dataclass(frozen=True)
class Subject:
    """An optimizer class and the options to construct it with."""

    kind: type[Optimizer]
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self, params: Any, **more: Any) -> Optimizer:
        """An optimizer over `params`, ready to train; `more` overrides the options."""
        made = self.kind(params, **{**self.options, **more})
        if callable(train := getattr(made, "train", None)):  # schedule-free ones have modes, as modules have
            train()
        return made

    def accepts(self, option: str) -> bool:
        """Whether the constructor has this option by name, and the user has not fixed it."""
        return option in inspect.signature(self.kind).parameters and option not in self.options

    def implementations(self) -> Iterator[dict[str, Any]]:
        """The options that choose each implementation the class offers: its default, foreach, fused, the loop."""
        yield {}
        for option, value in (("foreach", False), ("foreach", True), ("fused", True)):
            if self.accepts(option):
                yield {option: value}


def parameters(dtype: torch.dtype = torch.float32, shapes: Sequence[tuple[int, ...]] = SHAPES) -> list[Parameter]:
    """The same parameters at every call."""
    random = torch.Generator().manual_seed(0)
    return [Parameter(torch.randn(s, generator=random, dtype=torch.float64).to(dtype)) for s in shapes]


def gradients(params: Sequence[Tensor], number: int) -> list[Tensor]:
    """Gradients for the `number`-th step, the same at every call."""
    random = torch.Generator().manual_seed(1000 + number)
    return [torch.randn(p.shape, generator=random, dtype=torch.float64).to(p.dtype) for p in params]


def set_gradients(params: Sequence[Tensor], number: int) -> None:
    """Give every parameter its gradient of that step."""
    for p, g in zip(params, gradients(params, number), strict=True):
        p.grad = g


def step(optimizer: Optimizer) -> None:
    """One step with the gradients that are there, with a closure where the class demands one."""
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        optimizer.step(lambda: torch.zeros(()))  # type: ignore[arg-type,return-value]
    else:
        optimizer.step()


def advance(optimizer: Optimizer, params: Sequence[Tensor], numbers: range) -> None:
    """Steps with the gradients of these numbers."""
    for number in numbers:
        set_gradients(params, number)
        step(optimizer)


def state_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Every tensor of the state, named by parameter and key."""
    found = {}
    for number, p in enumerate(p for group in optimizer.param_groups for p in group["params"]):
        for name, value in optimizer.state.get(p, {}).items():
            if isinstance(value, Tensor):
                found[f"{number}.{name}"] = value
    return found


def names(keys: Sequence[str]) -> str:
    """The distinct state names among keys of `state_tensors`."""
    return ", ".join(dict.fromkeys(key.partition(".")[2] for key in keys))


def largest_difference(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """The largest absolute difference; infinite where only one is finite."""
    worst = 0.0
    for x, y in zip(a, b, strict=True):
        gap = (x.detach().double() - y.detach().double()).abs()
        gap[~(x.isfinite() & y.isfinite()) & ~(x == y)] = torch.inf
        worst = max(worst, gap.max().item() if gap.numel() else 0.0)
    return worst


def identical(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    """Whether all tensors agree bit for bit."""
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def brief(error: BaseException) -> str:
    """An exception in one line."""
    first = next(iter(str(error).strip().splitlines()), "")
    text = f"{type(error).__name__}: {first}"
    return text if len(text) <= 160 else text[:159] + "…"
