"""Several optimizers behind one, each with parameters of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch


class Several(torch.optim.Optimizer):
    """Steps each of its `parts`; its groups are theirs, the same objects. Raises ValueError where there is none."""

    def __init__(self, parts: Sequence[Any]) -> None:
        if not parts:
            raise ValueError("there are no parameters to optimize")
        super().__init__([p for part in parts for g in part.param_groups for p in g["params"]], {})
        self.parts = list(parts)
        self._gather()

    def _gather(self) -> None:
        self.param_groups = [g for part in self.parts for g in part.param_groups]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of each; a closure is evaluated once before."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """That of each."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load what `state_dict` gave."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._gather()
