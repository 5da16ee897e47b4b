"""What a parameter group asks for: a rule, and where torch keeps what the rule names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from ravine.engines.storage.policy import SMALL, kinds
from ravine.rule import Rule
from ravine.torch.codes import DTYPES

Key = str | tuple[str, int]
"""A key of a parameter group, or one item of a pair there, as β₁ is betas[0]."""


@dataclass(frozen=True, eq=False)
class Method:
    """A rule, and the names that a torch optimizer has for its hyperparameters, its slots and its step count.

    `step` is None where torch keeps no count (SGD): then t is 1 when a parameter has no state yet, and 2 ever after.
    `start` overrides what slots hold before the first step. Scalar slots are float64, or (`counts_like_torch`) of the
    step count's type, as torch keeps them. `dtype` is that of new array slots, None for the parameter's own; or `state`
    says in how many bits they are ("float32", "bfloat16", "int8"), by `ravine.engines.storage.policy`. `products` says
    in what matrices are multiplied: "float32", which means the type of all arithmetic, or "bfloat16". `is_torchs` says
    that torch's own class steps it: its options ask for what no rule states, and `rule` is one with the same state.
    """

    rule: Rule
    hyper: tuple[Key, ...]
    arrays: Mapping[str, str]
    scalars: Mapping[str, str]
    start: Mapping[str, float]
    step: str | None = "step"
    counts_like_torch: bool = False
    dtype: torch.dtype | None = None
    state: str | None = None
    products: str = "float32"
    is_torchs: bool = False

    def multiplied_in(self, products: str) -> Method:
        """The same with matrices multiplied in a type; the same object for the same choice."""
        if products == self.products:
            return self
        if products not in self._multiplied:
            self._multiplied[products] = replace(self, products=products)
        return self._multiplied[products]

    @cached_property
    def _multiplied(self) -> dict[str, Method]:
        return {}

    def stored_as(self, state: str) -> Method:
        """The same with its state in so many bits; the same object for the same choice."""
        if state not in self._stored:
            self._stored[state] = replace(self, state=state)
        return self._stored[state]

    @cached_property
    def _stored(self) -> dict[str, Method]:
        return {}

    @cached_property
    def left_to_torch(self) -> Method:
        """The same, stepped by torch's own class."""
        return replace(self, is_torchs=True)

    @property
    def is_narrow(self) -> bool:
        """Whether its state was asked to be in bfloat16 or less."""
        return self.state in ("bfloat16", "int8") or self.dtype is torch.bfloat16

    def slot_dtype(self, name: str, p: torch.Tensor) -> torch.dtype | None:
        """The type of an array slot of a parameter; None for the parameter's own."""
        if p.is_complex():
            return None
        return self.dtype if self.state is None else DTYPES[self._kinds(p.numel())[name]]

    @cached_property
    def _kinds(self) -> Callable[[int], dict[str, str]]:
        sizes = {
            is_small: kinds(self.rule, self.state or "", size, self.start)
            for is_small, size in ((True, 1), (False, SMALL))
        }
        return lambda size: sizes[size < SMALL]

    @property
    def counters(self) -> tuple[str, ...]:
        """The state keys of the numbers kept per parameter: the step count, then the scalar slots."""
        return () if self.step is None else (self.step, *self.scalars.values())

    @property
    def keeps_state(self) -> bool:
        """Whether anything is remembered from step to step."""
        return bool(self.arrays or self.counters)

    @cached_property
    def values(self) -> Callable[[Mapping[str, Any]], tuple[float, ...]]:
        """A function that reads the rule's hyperparameters, in its order, from a parameter group."""
        return self._reader("float({}), ")

    @cached_property
    def raw(self) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
        """The same, but a tensor stays one: to read its number could mean to wait for a device."""
        return self._reader("{}, ")

    def _reader(self, form: str) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
        places = [f"group[{k!r}]" if isinstance(k, str) else f"group[{k[0]!r}][{k[1]!r}]" for k in self.hyper]
        text = "".join(map(form.format, places))
        code = compile(f"lambda group: ({text})", "<hyperparameters>", "eval")
        read: Callable[[Mapping[str, Any]], tuple[Any, ...]] = eval(code)
        read.__dict__["code"] = code  # kept with it: torch.profiler reads the name of what ran when it ends
        return read  # as text, since it runs in every step: half the time of a loop over the names


def method(
    rule: Rule,
    *,
    hyper: Mapping[str, Key] | None = None,
    state: Mapping[str, str] | None = None,
    start: Mapping[str, float] | None = None,
    step: str | None = "step",
    counts_like_torch: bool = False,
    dtype: torch.dtype | None = None,
) -> Method:
    """A Method; names that are not given are the rule's own."""
    hyper, state, start = hyper or {}, state or {}, start or {}
    names = {n: state.get(n, n) for n in rule.slots}
    return Method(
        rule=rule,
        hyper=tuple(hyper.get(n, n) for n in rule.hyperparameters),
        arrays={n: key for n, key in names.items() if not rule.slots[n].is_scalar},
        scalars={n: key for n, key in names.items() if rule.slots[n].is_scalar},
        start={n: start.get(n, s.start) for n, s in rule.slots.items()},
        step=step,
        counts_like_torch=counts_like_torch,
        dtype=dtype,
    )
