"""Adafactor: matrices by a rule that factors, vectors by one that does not, and stacks of matrices by torch's class."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor

from ravine.dialects import torch as dialect
from ravine.dialects.table import Form, Table
from ravine.torch.bucket import Bucket
from ravine.torch.classes import TorchStepper, chooser
from ravine.torch.gpu_plan import GpuPlan, Scaler
from ravine.torch.method import Method
from ravine.torch.plan import Plan
from ravine.torch.rounding import How

VECTOR, MATRIX, STACK = 1, 2, 3
"""Kinds of parameters: of at most one dimension, of two, of more."""


def kind(p: Tensor) -> int:
    """What a parameter is stepped as."""
    return min(max(p.ndim, VECTOR), STACK)


def own_eps(group: Mapping[str, Any]) -> float:
    """What an ε of None is in torch: that of the type of the group's first parameter that has a gradient."""
    params = group["params"]
    return torch.finfo(next((p for p in params if p.grad is not None), params[0]).dtype).eps


class OfType(Method):
    """Adafactor's method: torch's decay is the rule's negative, and its ε may be None, for the parameters' type's."""

    @cached_property
    def values(self) -> Callable[[Mapping[str, Any]], tuple[float, ...]]:
        read, at = self.raw, list(self.rule.hyperparameters).index("decay")

        def values(group: Mapping[str, Any]) -> tuple[float, ...]:
            found = [own_eps(group) if v is None else float(v) for v in read(group)]
            found[at] = -found[at]
            return tuple(found)

        return values


@cache
def _of_type(found: Method) -> Method:
    fields = {name: getattr(found, name) for name in Method.__dataclass_fields__}
    return OfType(**fields)


class Adafactor(TorchStepper, torch.optim.Adafactor):
    """`torch.optim.Adafactor`. Of an array of more than two dimensions torch factors each matrix of the last two, but
    takes the norms over all of it, which no rule does: such parameters torch's own class steps.
    """

    table = dialect.Adafactor
    vectors = Table(
        (Form("adafactor_torch_whole", dialect.Adafactor.forms[0].names, state={"t": "step", "v": "variance"}),),
        dialect.Adafactor.wraps,
    )

    def _method(self, group: Mapping[str, Any]) -> Method:
        return _of_type(super()._method(group))

    def _plan(self, number: int, method: Method, params: list[Tensor], is_scaled: bool, how: How, is_seen: bool) -> Any:
        group = self.param_groups[number]
        if any(p.is_complex() for p in params):
            self._step_elsewhere(group, is_divided=False)  # torch's class raises its own error
        of_vectors = _of_type(chooser(self.vectors, self._options)(self._values(group)))
        if "state" in group:
            of_vectors = of_vectors.stored_as(group["state"])
        plans: dict[int, Plan | GpuPlan] = {}
        for which, own in ((VECTOR, of_vectors), (MATRIX, method)):
            if members := [p for p in params if kind(p) == which]:
                plans[which] = super()._plan(number, own, members, is_scaled, how, is_seen)
        stacks = {id(p) for p in params if kind(p) == STACK}
        plan = PlanByKind(self, number, method, is_scaled, how, plans, stacks)
        self._plans = {**self._plans, number: plan}  # type: ignore[dict-item]
        return plan


class PlanByKind:
    """How a group is stepped whose kinds of parameters have plans of their own; its interface is `Plan`'s."""

    def __init__(
        self,
        owner: Adafactor,
        number: int,
        method: Method,
        is_scaled: bool,
        how: How,
        plans: Mapping[int, Plan | GpuPlan],
        stacks: set[int],
    ) -> None:
        self._owner, self._number = weakref.ref(owner), number
        self.method, self.is_scaled, self.how = method, is_scaled, how
        self._plans, self._stacks = plans, stacks
        self._taken: list[tuple[Plan | GpuPlan, list[Tensor]]] = []
        self._take([p for p in owner.param_groups[number]["params"] if p.grad is not None])

    def is_for(self, method: Method, is_scaled: bool, how: How) -> bool:
        """Whether it was made for what the group asks for now."""
        return method is self.method and is_scaled is self.is_scaled and how == self.how

    def is_current(
        self, params: Sequence[Tensor], grads: Sequence[Tensor], state: Mapping[Tensor, dict[str, Any]]
    ) -> bool:
        """Whether it still fits parameters with gradients, which are taken in for a step."""
        kinds = list(map(kind, params))
        if any(k not in self._plans and id(p) not in self._stacks for p, k in zip(params, kinds, strict=True)):
            return False
        for which, plan in self._plans.items():
            xs = [p for p, k in zip(params, kinds, strict=True) if k == which]
            gs = [g for g, k in zip(grads, kinds, strict=True) if k == which]
            if xs and not plan.is_current(xs, gs, state):
                return False
        self._take(params)
        return True

    def _take(self, params: Sequence[Tensor]) -> None:
        by_kind = {which: [p for p in params if kind(p) == which] for which in self._plans}
        self._taken = [(self._plans[which], own) for which, own in by_kind.items() if own]
        self._taken_stacks = [p for p in params if kind(p) == STACK]

    def draw_seeds(self, group: MutableMapping[str, Any], params: Sequence[Tensor]) -> None:
        """Those of the next step's rounding."""
        for plan, own in self._taken:
            plan.draw_seeds(group, own)

    def unscale(self, scale: float, grads: Sequence[Tensor]) -> None:
        """Have gradients divided by `scale`, as torch does it in place."""
        with torch.no_grad():
            for g in grads:
                g.div_(scale)

    @property
    def buckets(self) -> list[tuple[list[int], Bucket]]:
        """The launches of the step."""
        return [bucket for plan, _ in self._taken if type(plan) is Plan for bucket in plan.buckets]

    def finish(self, params: Sequence[Tensor], hyper: tuple[float, ...]) -> None:
        """What is left of the step after the launches."""
        owner, stacks = self._owner(), self._taken_stacks
        taken, self._taken, self._taken_stacks = self._taken, [], []
        assert owner is not None
        group = owner.param_groups[self._number]
        for plan, own in taken:
            if isinstance(plan, GpuPlan):
                plan.step(group, own, Scaler(None, None))
            else:
                plan.finish(own, hyper)
        if stacks:
            owner._step_elsewhere({**group, "params": stacks}, is_divided=True)
