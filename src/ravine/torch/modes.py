"""Optimizers that are evaluated at another point than they train: `eval()` puts the parameters there, `train()` back.

Schedule-Free and averaged weights, as their authors' torch classes have it:

    optimizer.eval()   # and model.eval(): measure, or save the model
    optimizer.train()  # and model.train(): go on
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ravine.engines import reference
from ravine.recipe import Recipe
from ravine.torch import narrow
from ravine.torch.generic import RuleOptimizer
from ravine.torch.method import Method
from ravine.torch.sets import SetOptimizer
from ravine.torch.stepper import Stepper


class _Modes(Stepper):
    _trained: list[tuple[Tensor, Tensor]] | None = None
    """While parameters are where they are evaluated: each, and a copy of what it is trained at."""

    @torch.no_grad()
    def eval(self) -> None:
        """Put the parameters where they are to be evaluated. Nothing happens where they are there, or were not stepped.

        What is trained is kept beside, so that `train()` gives back the same bits: memory for one more copy.
        """
        if self._trained is not None:
            return
        found = [
            (p, read_out(method, p, self.state[p], method.values(group)))
            for group in self.param_groups
            if (method := self._stored(group)).rule.read_out_function is not None
            for p in group["params"]
            if method.step is not None and method.step in self.state.get(p, {})
        ]
        self._trained = [(p, p.detach().clone()) for p, _ in found]
        for p, value in found:
            p.copy_(value)

    @torch.no_grad()
    def train(self, mode: bool = True) -> None:
        """Put the parameters back to where they are trained; with False as `eval()`, like a module's `train`."""
        if not mode:
            self.eval()
        elif self._trained is not None:
            for p, value in self._trained:
                p.copy_(value)
            self._trained = None

    def _stored(self, group: Mapping[str, Any]) -> Method:
        self._must_train()
        return super()._stored(group)

    def state_dict(self) -> dict[str, Any]:
        """As of every optimizer. Raises RuntimeError after `eval()`: what is trained would be lost."""
        self._must_train()
        return super().state_dict()

    def _must_train(self) -> None:
        if self._trained is not None:
            raise RuntimeError(
                "parameters are where they are evaluated: call optimizer.train() before a step, a state_dict or a copy"
            )

    def __getstate__(self) -> dict[str, Any]:
        self._must_train()
        return super().__getstate__()


class ModesOptimizer(_Modes, RuleOptimizer):
    """`RuleOptimizer` for a rule with a read-out, with `eval()` and `train()`."""


class ModesSetOptimizer(_Modes, SetOptimizer):
    """`SetOptimizer` where some rule has a read-out, with `eval()` and `train()`; other groups stay where they are."""


def has_modes(recipes: Iterable[Recipe]) -> bool:
    """Whether any of some recipes is evaluated at another point than it trains."""
    return any(r.rule.read_out_function is not None for r in recipes)


def read_out(method: Method, p: Tensor, state: Mapping[str, Any], hyper: Iterable[float]) -> Tensor:
    """The point to evaluate of one parameter that has been stepped."""
    rule, wide = method.rule, narrow.widened(state)
    values = dict(zip(rule.hyperparameters, hyper, strict=True))
    slots: dict[str, Any] = {n: _real(wide[key]) for n, key in method.arrays.items()}
    slots |= {n: float(wide[key]) for n, key in method.scalars.items()}
    found: Tensor = reference.read_out(rule, _real(p.detach()), slots, values)
    return torch.view_as_complex(found) if p.is_complex() else found


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor
