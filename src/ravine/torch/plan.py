"""How one group is stepped: which parameters the fused engine takes, in which launches, and what is left over."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import is_
from typing import Any

import torch
from torch import Tensor

from ravine.engines import eager
from ravine.engines.fused.storage import Storage
from ravine.torch import local, rounding
from ravine.torch.bucket import Bucket, storage
from ravine.torch.likeness import in_python
from ravine.torch.method import Method
from ravine.torch.stand_ins import GRADIENT, Columns, Roles, StandIns, moving_ids, placed, share_memory, stand_ins
from ravine.torch.walk import Walk, walk

Row = tuple[Tensor, Tensor, dict[str, Any], bool]
"""A parameter that torch's operations step, its gradient, its state, and whether its first step is to come."""

SEEN = "a mode or a transform sees every operation"
WHOLE = "its rule reads more than one element at a time"

WALKS_TO_TRY = 4
"""How often a plan learns anew what it stands on; where that always moves, looking at it twice is no gain."""


class Plan:
    """How the parameters of one group that have a gradient are stepped: in buckets, the rest one by one.

    `is_seen` says that a mode or a transform is to see every operation: then all are stepped one by one. Between steps
    it keeps no parameter, gradient or state alive.
    """

    def __init__(
        self,
        method: Method,
        params: Sequence[Tensor],
        states: Sequence[dict[str, Any]],
        counts: torch.dtype,
        unfinished: dict[int, Tensor],
        *,
        is_scaled: bool,
        is_rounded: bool,
        is_seen: bool = False,
    ) -> None:
        self.method, self.is_scaled, self.is_rounded = method, is_scaled, is_rounded
        self.size = len(params)
        self.seeds = [0] * len(params)
        grads: list[Any] = [p.grad for p in params]
        fresh = [_complete(method, p, s, counts, unfinished) for p, s in zip(params, states, strict=True)]
        self.is_distributed = any(map(local.is_distributed, params))
        if self.is_distributed and not method.rule.graph.is_elementwise:
            raise TypeError(
                f"{method.rule.name} reads more than one element at a time, and a distributed parameter has only some "
                "on a rank: give such parameters to an elementwise rule"
            )
        if self.is_distributed:
            keys = list(method.arrays.values())
            all_parts = [local.parts(p, g, s, keys) for p, g, s in zip(params, grads, states, strict=True)]
            params, grads, states = ([part[k] for part in all_parts] for k in range(3))  # type: ignore[assignment]
        self._parts = list(params) if self.is_distributed else []
        self.rest: list[int] = []
        self.buckets: list[tuple[list[int], Bucket]] = []
        columns: Columns = (list(params), grads, list(states))
        kinds, copied = self._storages(columns, is_seen=is_seen)
        steppable = [placed(*row, copied.get(i, {})) for i, row in enumerate(zip(*columns, strict=True))]
        moving = moving_ids(copied)
        groups: dict[Storage | None, list[int]] = {}
        for i, kind in enumerate(kinds):
            groups.setdefault(kind, []).append(i)
        for kind, members in groups.items():
            if kind is not None:
                xs, gs, own = map(list, zip(*(steppable[i] for i in members), strict=True))
                bucket = Bucket(method, kind, xs, gs, own, [fresh[i] for i in members], moving)
                if not bucket.overlaps():
                    self.buckets.append((members, bucket))
                    continue
            self.rest += members
        copied = {i: roles for i, roles in copied.items() if i not in self.rest}
        self.stand_ins = StandIns(method, copied, columns) if copied else None
        if self.stand_ins is not None:
            self.stand_ins.fill(columns)
        self._columns = [(params[i], grads[i], states[i], fresh[i]) for i in self.rest]
        is_kept = not is_seen and not self.is_distributed
        self._rest_is_like = likeness_of_rest(method, self._columns) if is_kept and self.rest else None
        self._walk: Walk | None = None
        self._walks_to_try = WALKS_TO_TRY if self._is_brief() else 0

    def _storages(self, columns: Columns, *, is_seen: bool) -> tuple[list[Storage | None], dict[int, Roles]]:
        """How each parameter is stored that a launch takes, and what stands in for its arrays and counts there."""
        kinds: list[Storage | None] = []
        copied: dict[int, Roles] = {}
        whole = "" if self.method.rule.graph.is_elementwise else WHOLE
        for i, (p, g, state) in enumerate(zip(*columns, strict=True)):
            found = SEEN if is_seen else whole or storage(p, g, state, self.method)
            if isinstance(found, str) and not is_seen and not whole:
                in_order = self.is_rounded and p.dtype is torch.bfloat16
                roles = stand_ins(p, g, state, self.method, in_order=in_order)
                copy = storage(*placed(p, g, state, roles), self.method)
                if isinstance(copy, Storage) and not (self.is_scaled and GRADIENT in roles):
                    tell(tuple(p.shape), f"{found}, so that is copied in every step")
                    found, copied[i] = copy, roles
            if isinstance(found, str):
                tell(tuple(p.shape), f"{found}, so torch's operations step it one by one")
                kinds.append(None)
            else:
                is_stochastic = self.is_rounded and p.dtype is torch.bfloat16
                kinds.append(replace(found, is_stochastic=is_stochastic, is_scaled=self.is_scaled))
        if any(role != GRADIENT for roles in copied.values() for role in roles):
            rows = [row for row, kind in zip(zip(*columns, strict=True), kinds, strict=True) if kind is not None]
            written = [a for p, _, state in rows for a in (p, *(state[key] for key in self.method.arrays.values()))]
            written += [
                columns[2][i][key] for i, roles in copied.items() for key in self.method.counters if key in roles
            ]
            gradients = [g for _, g, _ in rows]
            if share_memory(written + gradients, []) if self.is_scaled else share_memory(written, gradients):
                kinds = [None if i in copied else kind for i, kind in enumerate(kinds)]
                copied = {}
        return kinds, copied

    def _is_brief(self) -> bool:
        """Whether all of it is done by one short call."""
        kinds = [b.storage for _, b in self.buckets]
        is_plain = not any(kind.is_stochastic or kind.is_scaled for kind in kinds)
        is_whole = not self.rest and self.stand_ins is None and not self.is_distributed
        return is_plain and is_whole and all(b.table.is_brief for _, b in self.buckets)

    def advance(self, params: list[Tensor], state: Any, hyper: tuple[float, ...]) -> bool:
        """One step by machine code that sees for itself whether everything is where it was. Returns whether it was.

        `params` are all of the group, with gradients or not; `state` is the optimizer's. Where this is False nothing
        has been stepped, and `is_current` may still say that the plan holds.
        """
        if self._walk is None or type(params) is not list:
            return False
        are_foreseen = all(bucket.foresee(hyper) for _, bucket in self.buckets)
        if not are_foreseen or not self._walk.step(params, state):
            return False
        for _, bucket in self.buckets:
            bucket.table.taken()
        return True

    def learn(self, params: list[Tensor], state: Any) -> None:
        """Note for `advance` what `is_current` has just found to be so."""
        if self._walks_to_try:
            self._walks_to_try -= 1
            self._walk = walk(params, state, self.buckets)

    def is_for(self, method: Method, is_scaled: bool, is_rounded: bool) -> bool:
        """Whether it was made for what the group asks for now."""
        return method is self.method and is_scaled is self.is_scaled and is_rounded is self.is_rounded

    def is_current(
        self, params: Sequence[Tensor], grads: Sequence[Tensor], state: Mapping[Tensor, dict[str, Any]]
    ) -> bool:
        """Whether it still fits; new addresses of gradients are taken in."""
        if len(params) != self.size or self.is_distributed:
            return False
        states = _own(state, params) if self.method.keeps_state else []
        if self.rest and not self._takes_rest(params, grads, states):
            return False
        if self.stand_ins is not None:
            columns: Columns = (list(params), list(grads), states)
            if not self.stand_ins.is_current(columns):
                return False
            params, grads, states = self.stand_ins.fill(columns)
        if len(self.buckets) == 1:
            return self.buckets[0][1].is_current(params, grads, states)
        for members, bucket in self.buckets:
            own = [states[i] for i in members] if states else []
            if not bucket.is_current([params[i] for i in members], [grads[i] for i in members], own):
                return False
        return True

    def _takes_rest(self, params: Sequence[Tensor], grads: Sequence[Tensor], states: Sequence[Any]) -> bool:
        """Whether the rest is what it was; then it is kept until it is stepped."""
        columns = [(params[i], grads[i], states[i] if states else {}, False) for i in self.rest]
        if self._rest_is_like is None or not self._rest_is_like(columns):
            return False
        self._columns = columns
        return True

    def draw_seeds(self, group: MutableMapping[str, Any], params: Sequence[Tensor]) -> None:
        """Those of the next step's rounding."""
        self.seeds = rounding.next_seeds(group, params)
        for members, bucket in self.buckets:
            if bucket.storage.is_stochastic:
                bucket.table.set_seeds([self.seeds[i] for i in members])

    def unscale(self, scale: float, grads: Sequence[Tensor]) -> None:
        """Have gradients divided by `scale`, as torch does it in place: in the next launch, those of the rest now."""
        for _, bucket in self.buckets:
            bucket.table.set_scale(scale)
        with torch.no_grad():
            for _, g, _, _ in self._columns:
                g.div_(scale)
        torch.autograd.graph.increment_version(grads)

    def finish(self, params: Sequence[Tensor], hyper: tuple[float, ...]) -> None:
        """Tell autograd what the buckets' steps have written, and step what is in none of them."""
        if self.buckets:
            torch.autograd.graph.increment_version(self._parts or params)
        if self.stand_ins is not None:
            self.stand_ins.copy_back()
        if self.rest or self.is_distributed:
            try:
                self._step_rest(hyper)
            finally:
                self._columns, self._parts = [], []
        if self.is_distributed:
            torch.autograd.graph.increment_version(params)

    def _step_rest(self, hyper: tuple[float, ...]) -> None:
        for i, (p, g, state, is_first) in zip(self.rest, self._columns, strict=True):
            if self.is_rounded and p.dtype is torch.bfloat16:
                wide = p.detach().float()
                eager_step(self.method, wide, g, state, hyper, is_first=is_first)
                with torch.no_grad():
                    p.copy_(rounding.stochastic(wide, self.seeds[i]))
            else:
                eager_step(self.method, p, g, state, hyper, is_first=is_first)


def likeness_of_rest(method: Method, columns: Sequence[Row]) -> Callable[[Sequence[Row]], bool] | None:
    """A function of such rows: whether their tensors are of the same kinds; None where that can't be told."""
    keys = [*method.arrays.values(), *method.counters]

    def tensors(rows: Sequence[Row]) -> list[Any]:
        return [a for p, g, state, _ in rows for a in (p, g, *(state[key] for key in keys))]

    try:
        check = in_python(tensors(columns))
    except (RuntimeError, AttributeError):  # a number where torch has a tensor, or a layout without strides
        return None

    def is_like(rows: Sequence[Row]) -> bool:
        try:
            return check(*tensors(rows))
        except (RuntimeError, KeyError, AttributeError, TypeError):  # state that was taken away
            return False

    return is_like


def _own(state: Mapping[Tensor, dict[str, Any]], params: Sequence[Tensor]) -> list[Any]:
    """The state of each parameter, None where it has none; most optimizers have them in the parameters' order."""
    if len(state) == len(params) and all(map(is_, state, params)):
        return list(state.values())
    return [state.get(p) for p in params]


def _complete(
    method: Method, p: Tensor, state: dict[str, Any], counts: torch.dtype, unfinished: dict[int, Tensor]
) -> bool:
    """Make what is missing of a parameter's state. Where no count tells, returns whether its first step is to come.

    That is so where an array was missing, or was made in a step that was interrupted before it was written: such
    arrays are in `unfinished`, by their ids, and start as −0.
    """
    if method.step is not None and method.step not in state:
        state[method.step] = torch.tensor(0.0, dtype=counts, device="cpu")
    for name, key in method.scalars.items():
        if key not in state:
            kind = counts if method.counts_like_torch else torch.float64
            state[key] = torch.tensor(method.start[name], dtype=kind, device="cpu")
    missing = [(name, key) for name, key in method.arrays.items() if state.get(key) is None]
    for name, key in missing:
        start = method.start[name] if method.step is not None else -0.0
        made = torch.full_like(
            p if (shape := method.rule.slot_shape(name, tuple(p.shape))) == p.shape else p.detach().new_empty(shape),
            complex(start, start) if p.is_complex() else start,
            dtype=None if p.is_complex() else method.dtype,
            requires_grad=False,
            memory_format=torch.preserve_format,
        )
        if method.step is None:
            unfinished[id(made)] = made  # first, in case of an interrupt between the two
        state[key] = made
    return bool(missing) or any(_is_untouched(a) for key in method.arrays.values() if id(a := state[key]) in unfinished)


def _is_untouched(array: Tensor) -> bool:
    own = local.part(array)
    values = torch.view_as_real(own) if own.is_complex() else own
    return not bool(values.any()) and bool(values.signbit().all())


logger = logging.getLogger("ravine")


@lru_cache(maxsize=1024)  # once for each reason, not in every step
def tell(shape: tuple[int, ...], reason: str) -> None:
    """Say in the debug log why a parameter is not simply stepped by the fused engine."""
    logger.debug("of a parameter of shape %s: %s", shape, reason)


def counts_type(*, is_fused: bool) -> torch.dtype:
    """The type of step counts, as torch keeps them: float64 where that is the default type, but not with fused=True."""
    return torch.float64 if torch.get_default_dtype() is torch.float64 and not is_fused else torch.float32


def eager_step(
    method: Method, x: Tensor, g: Tensor, state: dict[str, Any], hyper: tuple[float, ...], *, is_first: bool
) -> None:
    """One step of one tensor x with gradient g by the eager engine."""
    t: float = 1.0 if is_first else 2.0
    if method.step is not None:
        state[method.step] += 1
        if method.rule.graph.depends_on_t:  # a number that is read can't be a part of a traced graph
            t = float(state[method.step])
    slots: dict[str, Any] = {n: state[key] for n, key in method.arrays.items()}
    slots.update({n: float(state[key]) for n, key in method.scalars.items()})
    slots = {n: slots[n] for n in method.rule.slots}
    with torch.no_grad():
        new = eager.step(method.rule, x, g, slots, t, dict(zip(method.rule.hyperparameters, hyper, strict=True)))
        for name, value in new.items():
            state[method.scalars[name]].fill_(value)
