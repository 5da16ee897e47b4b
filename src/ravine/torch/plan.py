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

from ravine.engines.fused.storage import Storage
from ravine.torch import local, rounding
from ravine.torch.bucket import Bucket, is_plain, storage
from ravine.torch.likeness import look
from ravine.torch.method import Method
from ravine.torch.narrow import is_coded
from ravine.torch.rounding import How
from ravine.torch.stand_ins import GRADIENT, Columns, Roles, StandIns, moving_ids, placed, share_memory, stand_ins
from ravine.torch.states import are_inference_tensors, complete, eager_step
from ravine.torch.walk import Walk, walk

Row = tuple[int, Tensor, Tensor, dict[str, Any]]
"""The number of a parameter that torch's operations step, the parameter, its gradient and its state."""

SEEN = "a mode or a transform sees every operation"

WALKS_TO_TRY = 4
"""How often a plan learns anew what it stands on; where that always moves, looking at it twice is no gain."""


class Plan:
    """How the parameters of one group are stepped: in buckets, the rest one by one.

    Its members are the parameters that have a gradient, and some that had one before; each step is of those that have
    one then. `idle` has, by the id of a parameter without one, memory like the gradient that it had. `is_seen` says
    that a mode or a transform is to see every operation: then all are stepped one by one. Between steps the plan keeps
    no parameter, gradient or state alive.
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
        how: How,
        is_seen: bool = False,
        idle: Mapping[int, Tensor] | None = None,
    ) -> None:
        self.method, self.is_scaled, self.how = method, is_scaled, how
        self._seeds: dict[int, int] = {}
        self.size = len(params)
        self.numbers = {id(p): number for number, p in enumerate(params)}
        self.is_distributed = any(map(local.is_distributed, params))
        if self.is_distributed and not method.rule.graph.is_elementwise:
            raise TypeError(
                f"{method.rule.name} reads more than one element at a time, and a distributed parameter has only some "
                "on a rank: give such parameters to an elementwise rule"
            )
        grads: list[Any] = [p.grad if p.grad is not None else (idle or {})[id(p)] for p in params]
        taken = [number for number, p in enumerate(params) if p.grad is not None]
        fresh = [complete(method, p, s, counts, unfinished, how) for p, s in zip(params, states, strict=True)]
        self._is_inference = not is_seen and are_inference_tensors(method, params, states)
        if self.is_distributed:
            keys = list(method.arrays.values())
            all_parts = [local.parts(p, g, s, keys) for p, g, s in zip(params, grads, states, strict=True)]
            params, grads, states = ([part[k] for part in all_parts] for k in range(3))  # type: ignore[assignment]
        self._parts = list(params) if self.is_distributed else []
        columns: Columns = (list(params), grads, list(states))
        self._gradients = list(map(_memory, grads))
        self.buckets: list[tuple[list[int], Bucket]] = []
        kinds, copied = self._storages(columns, is_seen=is_seen)
        self._fill_buckets(kinds, columns, copied, fresh)
        in_buckets = {i for members, _ in self.buckets for i in members}
        self.rest = [i for i in range(self.size) if i not in in_buckets]
        copied = {i: roles for i, roles in copied.items() if i in in_buckets}
        self.stand_ins = StandIns(method, copied, columns) if copied else None
        self._keys = [*method.arrays.values(), *method.counters]
        is_kept = not is_seen and not self.is_distributed
        self._rest_was = self._looks(self._rows(columns, self.rest)) if is_kept else None
        self._first_of_rest = {i for i in self.rest if fresh[i]}
        self._columns = self._take(taken, columns)
        if self.stand_ins is not None:
            self.stand_ins.take(columns, taken)
            self.stand_ins.fill(columns)
        self._walk: Walk | None = None
        self._walks_to_try = WALKS_TO_TRY if self._is_brief() else 0

    def _fill_buckets(
        self,
        kinds: Sequence[Storage | None],
        columns: Columns,
        copied: Mapping[int, Roles],
        fresh: Sequence[bool],
    ) -> None:
        steppable = [placed(*row, copied.get(i, {})) for i, row in enumerate(zip(*columns, strict=True))]
        moving = moving_ids(copied)
        groups: dict[Storage | None, list[int]] = {}
        for i, kind in enumerate(kinds):
            groups.setdefault(kind, []).append(i)
        for kind, members in groups.items():
            if kind is not None:
                xs, gs, own = map(list, zip(*(steppable[i] for i in members), strict=True))
                bucket = Bucket(self.method, kind, xs, gs, own, [fresh[i] for i in members], moving)
                if not bucket.overlaps():
                    self.buckets.append((members, bucket))

    def _storages(self, columns: Columns, *, is_seen: bool) -> tuple[list[Storage | None], dict[int, Roles]]:
        """How each parameter is stored that a launch takes, and what stands in for its arrays and counts there."""
        kinds: list[Storage | None] = []
        copied: dict[int, Roles] = {}
        is_staged = not self.method.rule.graph.is_elementwise
        for i, (p, g, state) in enumerate(zip(*columns, strict=True)):
            found = SEEN if is_seen else storage(p, g, state, self.method, self.how)
            if isinstance(found, str) and not is_seen and not (is_staged and self.how.is_seeded):
                keys = self.method.arrays.values()
                in_order = is_staged or any(is_coded(state, key) for key in keys)
                roles = stand_ins(p, g, state, self.method, in_order=in_order, is_seeded=self.how.is_seeded)
                copy = storage(*placed(p, g, state, roles), self.method, self.how)
                if isinstance(copy, Storage) and not (self.is_scaled and GRADIENT in roles):
                    tell(tuple(p.shape), f"{found}, so that is copied in every step")
                    found, copied[i] = copy, roles
            if isinstance(found, str):
                tell(tuple(p.shape), f"{found}, so torch's operations step it one by one")
                kinds.append(None)
            else:
                kinds.append(replace(found, is_scaled=self.is_scaled and not is_staged))
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
        is_plain = not any(kind.is_seeded or kind.is_scaled for kind in kinds)
        is_whole = not self.rest and self.stand_ins is None and not self.is_distributed and not self._is_inference
        return is_plain and is_whole and all(b.table.is_brief for _, b in self.buckets)

    def idle(self, params: Sequence[Tensor], state: Mapping[Tensor, dict[str, Any]]) -> dict[int, Tensor]:
        """Of those of a group's parameters that have no gradient: members that can be members of the next plan, each
        with memory like the gradient that it had. Nothing is read there or written."""
        found: dict[int, Tensor] = {}
        for p in params:
            memory = self._gradients[self.numbers[id(p)]] if p.grad is None and id(p) in self.numbers else None
            own = state.get(p, {}) if self.keeps_state else {}
            is_whole = all(isinstance(own.get(key), Tensor) for key in self._keys)
            if memory is not None and memory[0] == p.shape and is_whole and is_plain(p):
                found[id(p)] = torch.empty_strided(memory[0], memory[1], dtype=memory[2], device="cpu")
        return found

    def advance(self, params: list[Tensor], state: Any, hyper: tuple[float, ...]) -> bool:
        """One step by machine code that sees for itself whether everything is where it was. Returns whether it was.

        `params` are all of the group, with gradients or not; `state` is the optimizer's. Where this is False nothing
        has been stepped, and `is_current` may still say that the plan holds.
        """
        if self._walk is None or type(params) is not list:
            return False
        for _, bucket in self.buckets:
            bucket.walked(hyper)
        return self._walk.step(params, state)

    def learn(self, params: list[Tensor], state: Any) -> None:
        """Note for `advance` what `is_current` has just found to be so."""
        if self._walks_to_try and all(not bucket.fresh for _, bucket in self.buckets):
            self._walks_to_try -= 1
            self._walk = walk(params, state, self.numbers, self.idle(params, state), self.buckets)

    @property
    def keeps_state(self) -> bool:
        """Whether anything is remembered from step to step."""
        return self.method.keeps_state or self.how.parameter == rounding.REMAINDER

    def is_for(self, method: Method, is_scaled: bool, how: How) -> bool:
        """Whether it was made for what the group asks for now."""
        return method is self.method and is_scaled is self.is_scaled and how == self.how

    def is_current(
        self, params: Sequence[Tensor], grads: Sequence[Tensor], state: Mapping[Tensor, dict[str, Any]]
    ) -> bool:
        """Whether it still fits parameters with gradients, which are taken in for a step."""
        taken: list[Any] = list(map(self.numbers.get, map(id, params)))
        if None in taken or self.is_distributed or (self._is_inference and not torch.is_inference_mode_enabled()):
            return False
        states: Sequence[Any] = _own(state, params) if self.keeps_state else [{}] * len(params)
        columns: Columns = tuple([None] * self.size for _ in range(3))  # type: ignore[assignment]
        for i, *row in zip(taken, params, grads, states, strict=True):
            columns[0][i], columns[1][i], columns[2][i] = row
        rest = self._take(taken, columns)
        if rest and not self._is_as_it_was(rest):
            return False
        if self.stand_ins is not None:
            if not self.stand_ins.is_current(columns, taken):
                return False
            columns = self.stand_ins.fill(columns)
        for members, bucket in self.buckets:
            numbers = members if len(taken) == self.size else [members[row] for row in bucket.rows]
            xs, gs, own = ([column[i] for i in numbers] for column in columns)
            if not bucket.is_current(xs, gs, own):  # type: ignore[arg-type]
                return False
        self._columns = rest
        return True

    def _take(self, taken: Sequence[int], columns: Columns) -> list[Row]:
        """Have the next step be of these members. Returns those of them that are in no bucket."""
        self._taken = taken
        now = set(taken)
        for members, bucket in self.buckets:
            bucket.take([row for row, i in enumerate(members) if i in now] if len(now) < self.size else bucket.all_rows)
        return self._rows(columns, [i for i in self.rest if i in now])

    def _rows(self, columns: Columns, numbers: Sequence[int]) -> list[Row]:
        return [(i, columns[0][i], columns[1][i], columns[2][i]) for i in numbers]

    def _looks(self, rows: Sequence[Row]) -> dict[int, Any] | None:
        """What tensors of the rest are like, by number; None where that can't be told."""
        try:
            return {i: [look(a) for a in (p, g, *(s[k] for k in self._keys))] for i, p, g, s in rows}
        except (RuntimeError, KeyError, AttributeError, TypeError):
            return None  # a number where torch has a tensor, a layout without strides, or state that was taken away

    def _is_as_it_was(self, rest: Sequence[Row]) -> bool:
        now = self._looks(rest)
        return self._rest_was is not None and now is not None and all(self._rest_was[i] == now[i] for i in now)

    def draw_seeds(self, group: MutableMapping[str, Any], params: Sequence[Tensor]) -> None:
        """Those of the next step's rounding."""
        self._seeds = dict(zip(self._taken, rounding.next_seeds(group, params), strict=True))
        for members, bucket in self.buckets:
            if bucket.storage.is_seeded:
                bucket.table.set_seeds([self._seeds[members[row]] for row in bucket.rows], bucket.rows)

    def unscale(self, scale: float, grads: Sequence[Tensor]) -> None:
        """Have gradients divided by `scale`, as torch does it in place: in the next launch if kernels can, else now."""
        now = [g for _, _, g, _ in self._columns] if self.method.rule.graph.is_elementwise else grads
        for _, bucket in self.buckets:
            if bucket.storage.is_scaled:
                bucket.table.set_scale(scale)
        with torch.no_grad():
            for g in now:
                g.div_(scale)
        torch.autograd.graph.increment_version(grads)

    def finish(self, params: Sequence[Tensor], hyper: tuple[float, ...]) -> None:
        """Tell autograd what the buckets' steps have written, and step what is in none of them."""
        if self.buckets:
            torch.autograd.graph.increment_version(self._parts or params)
        if self.stand_ins is not None:
            self.stand_ins.copy_back()
        try:
            self._step_rest(hyper)
        finally:
            self._columns, self._parts = [], []
        if self.is_distributed:
            torch.autograd.graph.increment_version(params)

    def _step_rest(self, hyper: tuple[float, ...]) -> None:
        for i, p, g, state in self._columns:
            is_first, seed = i in self._first_of_rest, self._seeds.get(i, 0)
            eager_step(self.method, p, g, state, hyper, is_first=is_first, how=self.how, seed=seed)
            self._first_of_rest.discard(i)


def _memory(g: Any) -> tuple[Any, ...] | None:
    """A gradient's shape, strides and type, if no more is to be said of it."""
    return (g.shape, g.stride(), g.dtype) if is_plain(g) else None


def _own(state: Mapping[Tensor, dict[str, Any]], params: Sequence[Tensor]) -> list[Any]:
    """The state of each parameter, None where it has none; most optimizers have them in the parameters' order."""
    if len(state) == len(params) and all(map(is_, state, params)):
        return list(state.values())
    return [state.get(p) for p in params]


logger = logging.getLogger("ravine")


@lru_cache(maxsize=1024)  # once for each reason, not in every step
def tell(shape: tuple[int, ...], reason: str) -> None:
    """Say in the debug log why a parameter is not simply stepped by the fused engine."""
    logger.debug("of a parameter of shape %s: %s", shape, reason)
