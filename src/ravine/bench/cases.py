"""The optimizers that are timed, and torch's ways to do the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

import ravine.torch as ours
from ravine.recipe import recipe
from ravine.rule import Rule, declare

Make = Callable[[list[torch.Tensor]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Case:
    """An optimizer: a class of `ravine.torch` with its options, and torch's implementations of the same."""

    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    state_dtype: torch.dtype | None = None

    def make(self, params: list[torch.Tensor]) -> torch.optim.Optimizer:
        """Ours."""
        if self.state_dtype is not None:
            return ours.from_recipe(params, self.kind, state_dtype=self.state_dtype)
        made: torch.optim.Optimizer = getattr(ours, self.kind)(params, **self.options)
        return made

    def theirs(self, compiled: bool) -> dict[str, Make]:
        """torch's ways: loop, foreach, fused where it exists, and on request compiled. None for what it lacks."""
        kind = getattr(torch.optim, self.kind, None)
        if kind is None or self.state_dtype is not None:
            return {}
        ways: dict[str, dict[str, Any]] = {"loop": {"foreach": False}, "foreach": {"foreach": True}}
        if self.kind in ("SGD", "Adam", "AdamW", "Adagrad"):
            ways["fused"] = {"fused": True}

        def maker(way: dict[str, Any]) -> Make:
            return lambda params: kind(params, **self.options, **way)

        made = {name: maker(way) for name, way in ways.items()}
        if compiled:
            made["compile"] = lambda params: _compiled(maker(ways["foreach"])(params))
        return made


def _compiled(optimizer: torch.optim.Optimizer) -> Any:
    class Compiled:
        step = staticmethod(torch.compile(optimizer.step))

    return Compiled


CASES = {
    "adam": Case("Adam"),
    "adam-bfloat16-state": Case("adam", state_dtype=torch.bfloat16),
    "adamw": Case("AdamW"),
    "rmsprop": Case("RMSprop"),
    "rmsprop-momentum": Case("RMSprop", {"momentum": 0.9}),
    "rmsprop-centred": Case("RMSprop", {"centered": True}),
    "adadelta": Case("Adadelta"),
    "nadam": Case("NAdam"),
    "radam": Case("RAdam"),
    "adamax": Case("Adamax"),
    "sgd-nesterov": Case("SGD", {"momentum": 0.9, "nesterov": True}),
    "lion": Case("Lion"),
}
"""Every case by name."""


def floor(slots: int) -> Rule:
    """A rule that does next to nothing with as many slots: its kernel only moves the bytes."""
    rules: list[Callable[..., Any]] = [
        lambda g: g,
        lambda g, a: (g, a + g),
        lambda g, a, b: (g, a + g, b + g),
        lambda g, a, b, c: (g, a + g, b + g, c + g),
    ]
    return declare(rules[slots])


def make_floor(params: list[torch.Tensor], optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """An optimizer that reads and writes the same bytes as another one has in its state (which was stepped once)."""
    arrays = [v for v in optimizer.state.get(params[0], {}).values() if v.shape == params[0].shape and v.dim()]
    return ours.from_recipe(params, recipe(floor(len(arrays))), state_dtype=arrays[0].dtype if arrays else None)
