"""How one group is stepped: which parameters the fused engine takes, in which launches, and what is left over."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import is_
from typing import Any

import torch
from torch import Tensor

from ravine.engines import eager
from ravine.engines.fused.storage import Storage
from ravine.torch import local, rounding
from ravine.torch.bucket import Bucket, can_be_straightened, storage, straightened
from ravine.torch.likeness import likeness
from ravine.torch.method import Method
from ravine.torch.walk import Walk, walk

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
        given = list(grads)
        self.rest: list[int] = []
        self.copied: list[int] = []  # whose gradient is laid out otherwise, and copied in every step
        self.buckets: list[tuple[list[int], Bucket]] = []
        groups: dict[Storage | None, list[int]] = {}
        fresh = [_complete(method, p, s, counts, unfinished) for p, s in zip(params, states, strict=True)]
        self.is_distributed = any(map(local.is_distributed, params))
        if self.is_distributed:
            keys = list(method.arrays.values())
            all_parts = [local.parts(p, g, s, keys) for p, g, s in zip(params, grads, states, strict=True)]
            params, grads, states = ([part[k] for part in all_parts] for k in range(3))  # type: ignore[assignment]
        self._parts = list(params) if self.is_distributed else []
        for i, (p, g, state) in enumerate(zip(params, grads, states, strict=True)):
            kind: Storage | str | None = "a mode or a transform sees every operation" if is_seen else None
            kind = kind or storage(p, g, state, method)
            if isinstance(kind, str) and not is_seen and not is_scaled and can_be_straightened(p, g):
                (copy,) = straightened([p], [g])
                found = storage(p, copy, state, method)
                if isinstance(found, Storage):
                    tell(tuple(p.shape), f"{kind}, so that is copied in every step")
                    kind, grads[i] = found, copy
                    self.copied.append(i)
            if isinstance(kind, str):
                tell(tuple(p.shape), f"{kind}, so torch's operations step it one by one")
                kind = None
            else:
                is_stochastic = self.is_rounded and p.dtype is torch.bfloat16
                kind = replace(kind, is_stochastic=is_stochastic, is_scaled=is_scaled)
            groups.setdefault(kind, []).append(i)
        for kind, members in groups.items():
            if kind is not None:
                chosen = [[column[i] for i in members] for column in (params, grads, states, fresh)]
                bucket = Bucket(method, kind, *chosen)  # type: ignore[arg-type]
                if not bucket.overlaps():
                    self.buckets.append((members, bucket))
                    continue
            self.rest += members
        self._columns = [(params[i], grads[i], states[i], fresh[i]) for i in self.rest]
        self._copies = [grads[i] for i in self.copied]  # alive until they are stepped by
        self._raw_are_like = likeness(raw) if (raw := [given[i] for i in self.copied]) else None
        self._walk: Walk | None = None
        self._walks_to_try = WALKS_TO_TRY if self._is_brief() else 0

    def _is_brief(self) -> bool:
        """Whether all of it is done by one short call."""
        kinds = [b.storage for _, b in self.buckets]
        is_plain = not any(kind.is_stochastic or kind.is_scaled for kind in kinds)
        is_whole = not self.rest and not self.copied and not self.is_distributed
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
        if len(params) != self.size or self.rest or self.is_distributed:
            return False
        if self._raw_are_like is not None:
            raw = [grads[i] for i in self.copied]
            if not self._raw_are_like(*raw):
                return False
            self._copies = straightened([params[i] for i in self.copied], raw)
            copies = dict(zip(self.copied, self._copies, strict=True))
            grads = [copies.get(i, g) for i, g in enumerate(grads)]
        states = _own(state, params) if self.method.keeps_state else []
        if len(self.buckets) == 1:
            return self.buckets[0][1].is_current(params, grads, states)
        for members, bucket in self.buckets:
            own = [states[i] for i in members] if states else []
            if not bucket.is_current([params[i] for i in members], [grads[i] for i in members], own):
                return False
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
        self._copies = []
        if self.buckets:
            torch.autograd.graph.increment_version(self._parts or params)
        if self.rest or self.is_distributed:
            try:
                self._step_rest(hyper)
            finally:
                self._columns, self._parts = [], []  # the next step makes a plan
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
            p,
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
