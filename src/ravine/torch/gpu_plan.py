"""How one group on accelerators is stepped: one launch for each device and storage, the rest by foreach operations."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ravine.engines import foreach
from ravine.engines.fused.kernel import LATER
from ravine.engines.fused.storage import LENGTH, Storage
from ravine.engines.gpu.device import Device
from ravine.engines.gpu.table import GpuTable, Hyper
from ravine.torch import accelerator, gpu, local, rounding
from ravine.torch.bucket import overlap
from ravine.torch.likeness import Likeness
from ravine.torch.method import Method
from ravine.torch.narrow import is_coded
from ravine.torch.plan import SEEN
from ravine.torch.rounding import NEAREST, REMAINDER, How
from ravine.torch.states import complete, eager_step

Row = tuple[Tensor, Tensor, dict[str, Any]]
"""A parameter, its gradient and its state."""

WHOLE = "its rule reads more than one element at a time"
CODED = "its state has codes, which the GPU engine does not know"


class GpuBucket:
    """Parameters of equal storage on one device; it knows where they are and keeps none of them alive."""

    def __init__(
        self,
        method: Method,
        storage: Storage,
        device: Device,
        has_counts: bool,
        rows: Sequence[Row],
        is_fresh: list[bool],
    ) -> None:
        self.method, self.storage, self.device = method, storage, device
        self.is_fresh: list[bool] | None = is_fresh if any(is_fresh) and not storage.scalars else None
        self._keys = [*method.arrays.values(), *[REMAINDER] * storage.has_remainder, *method.counters]
        standing, grads = self._columns(rows)
        self._likeness = Likeness([*standing, *grads])
        self._fixed, self._grads = _addresses(standing), _addresses(grads)
        lengths = [p.numel() * (2 if p.is_complex() else 1) for p, _, _ in rows]
        columns = np.array(self._fixed, np.int64).reshape(-1, len(rows))
        addresses = np.vstack([columns[:1], [self._grads], columns[1:]]).T
        self.table = GpuTable(method.rule, storage, lengths, addresses, device, has_counts=has_counts)

    def _columns(self, rows: Sequence[Row]) -> tuple[list[Any], list[Any]]:
        """What stands in its place, and the gradients."""
        states = [state for _, _, state in rows]
        standing: list[Any] = [p for p, _, _ in rows]
        for key in self._keys:
            standing += map(itemgetter(key), states)
        return standing, [g for _, g, _ in rows]

    def is_current(self, rows: Sequence[Row]) -> bool:
        """Whether the table still tells the truth, after it was told where new gradients lie."""
        try:
            standing, grads = self._columns(rows)
            if not self._likeness.holds([*standing, *grads]) or _addresses(standing) != self._fixed:
                return False
            found = _addresses(grads)
        except (RuntimeError, KeyError, AttributeError, TypeError):  # a sparse gradient, or state that was taken away
            return False
        if found != self._grads:
            self.table.set_gradients(found)
            self._grads = found
        return True

    def overlaps(self) -> bool:
        """Whether two of its arrays share memory, so that the order of updates would matter."""
        return overlap(self.table.rows, self.table.rows[:, LENGTH, None], self.storage.arrays)

    def step(self, group: Mapping[str, Any], scaler: Scaler) -> None:
        """One step of every parameter."""
        if self.storage.is_seeded and self.device.is_capturing():
            raise RuntimeError(
                "rounding at random draws new numbers in every step, which a captured graph would repeat"
            )
        is_on_device = bool(self.storage.scalars) and self.table.has_counts
        given = [_given(value, self.device) for value in self.method.raw(group)]
        if not self.storage.scalars and self.is_fresh is None:
            is_on_device = scaler.found is not None or any(isinstance(h, tuple) for h in given)
        if is_on_device:
            self.table.set_scaler(*scaler.addresses(self.device))
            self.table.step_on_device(given, LATER)
            return
        if scaler.is_refused():
            return
        if scaler.scale is not None:
            self.table.set_scale(float(scaler.scale))
        hyper = self.method.values(group)
        if self.storage.scalars:
            self.table.step(hyper)
        elif self.is_fresh is None:
            self.table.step_at(LATER, (), hyper)
        else:  # the first step of some: their state was made for it
            self.table.step_rows([(1.0, ()), (LATER, ())], [int(not fresh) for fresh in self.is_fresh], hyper)
            self.is_fresh = None


class Scaler:
    """What torch.amp.GradScaler has set around a step: a scale, and, if not looked at, if a gradient was infinite."""

    def __init__(self, scale: float | Tensor | None, found: Tensor | None) -> None:
        self.scale, self.found = scale, found
        self._there: dict[int, tuple[Tensor, Tensor | None]] = {}

    def addresses(self, device: Device) -> tuple[int, int]:
        """Those of scale and found on a device; 0 for what there is not."""
        if self.scale is None and self.found is None:
            return 0, 0
        if device.index not in self._there:  # kept until the step is launched
            place = device.place()
            scale = torch.as_tensor(1.0 if self.scale is None else self.scale, dtype=torch.float32).to(place)
            found = None if self.found is None else self.found.to(place, torch.float32)
            self._there[device.index] = (scale, found)
        scale, found = self._there[device.index]
        return scale.data_ptr(), 0 if found is None else found.data_ptr()

    def is_refused(self) -> bool:
        """Whether a gradient was infinite; reads the number."""
        return self.found is not None and bool(self.found.item())


class GpuPlan:
    """How the parameters of one group that have a gradient are stepped, where one lies on an accelerator.

    Its interface is `ravine.torch.plan.Plan`'s. `rest` has, by number, why the engine can't take a parameter.
    """

    def __init__(
        self,
        method: Method,
        params: Sequence[Tensor],
        states: Sequence[dict[str, Any]],
        is_fresh: Sequence[bool],
        *,
        is_scaled: bool,
        how: How = NEAREST,
        is_seen: bool = False,
    ) -> None:
        self.method, self.is_scaled, self.how = method, is_scaled, how
        self.size = len(params)
        self.seeds = [0] * self.size
        self._fresh = list(is_fresh)
        self.rest: dict[int, str] = {}
        self.members: list[tuple[list[int], GpuBucket]] = []
        self._rows = [gpu.parts(p, p.grad, s, method) for p, s in zip(params, states, strict=True)]
        groups: dict[tuple[Device, Storage, bool], list[int]] = {}
        for i, row in enumerate(self._rows):
            key = SEEN if is_seen else self._key(row)
            if isinstance(key, str):
                self.rest[i] = key
            else:
                groups.setdefault(key, []).append(i)
        for (device, storage, has_counts), numbers in groups.items():
            rows, fresh = [self._rows[i] for i in numbers], [is_fresh[i] for i in numbers]
            bucket = GpuBucket(method, storage, device, has_counts, rows, fresh)
            if bucket.overlaps():
                self.rest |= dict.fromkeys(numbers, "its memory is another parameter's too")
            else:
                self.members.append((numbers, bucket))

    def _key(self, row: Row) -> tuple[Device, Storage, bool] | str:
        p, g, state = row
        if not accelerator.is_on(p):
            return "it lies on the host, in a group on an accelerator"
        if not self.method.rule.graph.is_elementwise:
            return WHOLE
        device = accelerator.engine(p.device)
        if isinstance(device, str):
            return device
        if self._is_coded(state):
            return CODED
        found = gpu.storage(p, g, state, self.method, has_remainder=self.how.of(p) == REMAINDER)
        if isinstance(found, str):
            return found
        chosen = replace(
            found[0],
            is_stochastic=self.how.of(p) == "stochastic",
            is_scaled=self.is_scaled,
            is_state_stochastic=self.how.is_state_random and "bfloat16" in found[0].slots,
        )
        return device, chosen, found[1]

    def _is_coded(self, state: Mapping[str, Any]) -> bool:
        """Whether its state has codes."""
        return any(is_coded(state, key) for key in self.method.arrays.values())

    def is_for(self, method: Method, is_scaled: bool, how: How) -> bool:
        """Whether it was made for what the group asks for now."""
        return method is self.method and is_scaled is self.is_scaled and how == self.how

    def is_current(
        self, params: Sequence[Tensor], grads: Sequence[Any], state: Mapping[Tensor, dict[str, Any]]
    ) -> bool:
        """Whether it still fits; new addresses of gradients are taken in."""
        if len(params) != self.size:
            return False
        states = [state.get(p, {}) for p in params] if self.method.keeps_state else [{}] * self.size
        keys = {*self.method.arrays.values(), *self.method.counters}
        if any(not keys <= states[i].keys() for i in self.rest):
            return False
        rows = [(p, g, s) for p, g, s in zip(params, grads, states, strict=True)]
        if any(map(local.is_distributed, params)):
            rows = [gpu.parts(*row, self.method) for row in rows]
        self._rows = rows
        return all(
            bucket.is_current(rows if len(numbers) == self.size else [rows[i] for i in numbers])
            for numbers, bucket in self.members
        )

    def draw_seeds(self, group: MutableMapping[str, Any], params: Sequence[Tensor]) -> None:
        """Those of the next step's rounding."""
        self.seeds = rounding.next_seeds(group, params)
        for numbers, bucket in self.members:
            if bucket.storage.is_seeded:
                bucket.table.set_seeds([self.seeds[i] for i in numbers])

    def step(self, group: Mapping[str, Any], params: Sequence[Tensor], scaler: Scaler) -> None:
        """One step of every parameter; autograd is told of it."""
        try:
            for _, bucket in self.members:
                bucket.step(group, scaler)
            if self.rest:
                self._step_rest(group, scaler)
        finally:
            rows, self._rows = self._rows, []
        changed = [*params, *(row[0] for row in rows)]
        if scaler.scale is not None:
            changed += [row[1] for row in rows]
        torch.autograd.graph.increment_version(changed)

    def _step_rest(self, group: Mapping[str, Any], scaler: Scaler) -> None:
        """Those that the engine can't take, in lists of those at one place, of one kind, at one count."""
        if scaler.is_refused():
            return
        if (
            not self.method.rule.graph.is_elementwise
            or self.how.is_seeded
            or any(self._is_coded(self._rows[i][2]) for i in self.rest)
        ):
            self._step_one_by_one(group, scaler)
            return
        lists: dict[tuple[Any, ...], list[int]] = {}
        for i in self.rest:
            p, _, state = self._rows[i]
            t = (1.0 if self._fresh[i] else LATER) if self.method.step is None else float(state[self.method.step]) + 1.0
            scalars = tuple(float(state[key]) for key in self.method.scalars.values())
            kind = p.device, p.dtype is torch.float64, p.is_complex(), t, scalars
            lists.setdefault(kind, []).append(i)
        hyper = dict(zip(self.method.rule.hyperparameters, self.method.values(group), strict=True))
        with torch.no_grad():
            for (*_, t, scalars), numbers in lists.items():
                self._step_list(numbers, t, dict(zip(self.method.scalars, scalars, strict=True)), hyper, scaler)
        self._fresh = [False] * self.size

    def _step_one_by_one(self, group: Mapping[str, Any], scaler: Scaler) -> None:
        """What torch has no foreach operations for: products, codes, rounding at random."""
        hyper = self.method.values(group)
        for i in self.rest:
            p, g, state = self._rows[i]
            if scaler.scale is not None:
                with torch.no_grad():
                    g.div_(float(scaler.scale))
            eager_step(self.method, p, g, state, hyper, is_first=self._fresh[i], how=self.how, seed=self.seeds[i])
        self._fresh = [False] * self.size

    def _step_list(
        self, numbers: list[int], t: float, scalars: dict[str, float], hyper: Mapping[str, float], scaler: Scaler
    ) -> None:
        rows = [self._rows[i] for i in numbers]
        xs, gs = [_real(p.detach()) for p, _, _ in rows], [_real(g) for _, g, _ in rows]
        if scaler.scale is not None:
            torch._foreach_div_(gs, float(scaler.scale))
        slots = {n: [_real(s[key]) for _, _, s in rows] for n, key in self.method.arrays.items()}
        new = foreach.step(self.method.rule, xs, gs, slots, t, scalars, hyper)
        for _, _, state in rows:
            if self.method.step is not None:
                state[self.method.step].fill_(t)
            for name, value in new.items():
                state[self.method.scalars[name]].fill_(value)


def _real(a: Tensor) -> Tensor:
    return torch.view_as_real(a.resolve_conj()) if a.is_complex() else a


def _given(value: Any, device: Device) -> Hyper:
    """A hyperparameter as the kernel takes it: a number, or where on the device it lies."""
    if isinstance(value, Tensor) and value.device == device.place() and value.dtype in (torch.float32, torch.float64):
        return value.data_ptr(), value.dtype is torch.float64
    return float(value)


def _addresses(tensors: Sequence[Any]) -> list[int]:
    return list(map(Tensor.data_ptr, tensors))


def plan(
    group: Mapping[str, Any],
    method: Method,
    params: Sequence[Tensor],
    states: Sequence[dict[str, Any]],
    counts: torch.dtype,
    unfinished: dict[int, Tensor],
    how: How = NEAREST,
    **asked: bool,
) -> GpuPlan:
    """A plan for parameters whose state may be missing; counts are made where the group's options have them."""
    if accelerator.keeps_counts(group):
        for p, state in zip(params, states, strict=True):
            gpu.make_counts(method, p, state, counts)
    fresh = [complete(method, p, s, counts, unfinished, how) for p, s in zip(params, states, strict=True)]
    return GpuPlan(method, params, states, fresh, how=how, **asked)
