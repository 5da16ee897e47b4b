"""`step()` for every optimizer of `ravine.torch`: the fused engine where it can, the eager one elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import is_
from typing import Any

import torch
from torch import Tensor

from ravine.engines import eager
from ravine.engines.fused.storage import Storage
from ravine.torch import checkpoint
from ravine.torch.bucket import Bucket, storage
from ravine.torch.method import Method


class Plan:
    """How the parameters of one group that have a gradient are stepped: in buckets, the rest one by one."""

    def __init__(self, method: Method, params: Sequence[Tensor], states: Sequence[dict[str, Any]]) -> None:
        self.method, self.params = method, list(params)
        grads: list[Any] = [p.grad for p in params]
        self.rest: list[tuple[Tensor, dict[str, Any]]] = []
        self.buckets: list[tuple[list[int], Bucket]] = []
        groups: dict[Storage | None, list[int]] = {}
        fresh = [_complete(method, p, s) for p, s in zip(params, states, strict=True)]
        for i, (p, g, state) in enumerate(zip(params, grads, states, strict=True)):
            groups.setdefault(storage(p, g, state, method), []).append(i)
        for kind, members in groups.items():
            if kind is not None:
                chosen = [[column[i] for i in members] for column in (params, grads, states, fresh)]
                bucket = Bucket(method, kind, *chosen)  # type: ignore[arg-type]
                if not bucket.overlaps():
                    self.buckets.append((members, bucket))
                    continue
            self.rest += [(params[i], states[i]) for i in members]
        self.fresh = {id(params[i]) for i, is_new in enumerate(fresh) if is_new}

    def is_current(self, method: Method, params: Sequence[Tensor], grads: Sequence[Tensor]) -> bool:
        """Whether it still fits; new addresses of gradients are taken in."""
        if method is not self.method or len(params) != len(self.params) or not all(map(is_, params, self.params)):
            return False
        if len(self.buckets) == 1 and not self.rest:
            return self.buckets[0][1].is_current(grads)
        return not self.rest and all(b.is_current([grads[i] for i in members]) for members, b in self.buckets)

    def step(self, hyper: tuple[float, ...]) -> None:
        """One step of every parameter."""
        threads = torch.get_num_threads()
        for _, bucket in self.buckets:
            bucket.step(hyper, threads)
        for p, state in self.rest:
            eager_step(self.method, p, state, hyper, is_first=id(p) in self.fresh)


def _complete(method: Method, p: Tensor, state: dict[str, Any]) -> bool:
    """Make what is missing of a parameter's state. Returns whether an array was missing."""
    if method.step is not None and method.step not in state:
        state[method.step] = torch.zeros((), dtype=_count_type())
    for name, key in method.scalars.items():
        if key not in state:
            kind = _count_type() if method.counts_like_torch else torch.float64
            state[key] = torch.full((), method.start[name], dtype=kind)
    missing = [(name, key) for name, key in method.arrays.items() if state.get(key) is None]
    for name, key in missing:
        state[key] = torch.full_like(
            p,
            method.start[name],
            dtype=None if p.is_complex() else method.dtype,
            requires_grad=False,
            memory_format=torch.preserve_format,
        )
    return bool(missing)


def _count_type() -> torch.dtype:
    """The type of step counts: float32, or float64 where that is torch's default type. As torch keeps them."""
    return torch.float64 if torch.get_default_dtype() is torch.float64 else torch.float32


def eager_step(
    method: Method, p: Tensor, state: dict[str, Any], hyper: tuple[float, ...], *, is_first: bool = False
) -> None:
    """One step of one parameter by the eager engine."""
    t: float = 1.0 if is_first else 2.0
    if method.step is not None:
        state[method.step] += 1
        t = float(state[method.step])
    slots: dict[str, Any] = {n: state[key] for n, key in method.arrays.items()}
    slots.update({n: float(state[key]) for n, key in method.scalars.items()})
    slots = {n: slots[n] for n in method.rule.slots}
    with torch.no_grad():
        new = eager.step(method.rule, p, p.grad, slots, t, dict(zip(method.rule.hyperparameters, hyper, strict=True)))
        for name, value in new.items():
            state[method.scalars[name]].fill_(value)


class Stepper(torch.optim.Optimizer):
    """An optimizer that steps by rules. A subclass says which: `_method(group)`."""

    _plans: Mapping[int, Plan] = {}  # by the group's number; made anew in every copy and process
    _states: Sequence[dict[str, Any]] = ()

    def _method(self, group: Mapping[str, Any]) -> Method:
        raise NotImplementedError

    def step(self, closure: Any = None) -> Any:
        """One step of every parameter that has a gradient. `closure`, if given, computes the loss that is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        known = len(self.state) == len(self._states) and all(map(is_, self.state.values(), self._states))
        for number, group in enumerate(self.param_groups):
            params: list[Tensor] = group["params"]
            grads: list[Any] = [g for p in params if (g := p.grad) is not None]
            if not grads:
                continue
            if len(grads) != len(params):
                params = [p for p in params if p.grad is not None]
            method = self._method(group)
            plan = self._plans.get(number)
            if plan is None or not known or not plan.is_current(method, params, grads):
                plan = self._plan(number, method, params)
                known = False
            plan.step(method.values(group))
        if not known:
            self._states = list(self.state.values())
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict()` of this class or of torch's gave. The tensors are copied and keep their types."""
        own = checkpoint.copied(state_dict)
        super().load_state_dict(own)
        checkpoint.restore_types(self, own)

    def _plan(self, number: int, method: Method, params: list[Tensor]) -> Plan:
        states = [self.state[p] if method.keeps_state else {} for p in params]
        plan = Plan(method, params, states)
        self._plans = {**self._plans, number: plan}
        return plan
