"""torch's foreach operations on every rule's graph: the reference's bits, given a root that is correctly rounded."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
import torch

import ravine
from family import ELEMENTWISE
from ptx.hold import TYPES, gradient, hyper_of, roots, same
from ravine.engines import foreach, reference
from ravine.engines.fused.lower import array_slots, scalar_slots
from ravine.rule import declare

WRAPPED = ["clip_value(maximize(weight_decay(adam)))", "decoupled_weight_decay(lion)", "stored_at_look_ahead(nesterov)"]
SIZES = (1, 37, 0, 130)


@pytest.fixture(autouse=True)
def _a_correct_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "_foreach_sqrt", roots)


@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("name", [*ELEMENTWISE, *WRAPPED])
def test_bits_of_the_reference(name: str, kind: str) -> None:
    hold(ravine.rule(name), kind)


def hold(rule: ravine.Rule, kind: str) -> None:
    hyper, dtype = hyper_of(rule), TYPES[kind]
    compute = torch.float64 if kind == "float64" else torch.float32
    rng = np.random.default_rng(0)
    xs = [torch.from_numpy(rng.standard_normal(n)).to(dtype) for n in SIZES]
    slots = {
        n: [torch.full((size,), float(rule.slots[n].start), dtype=dtype) for size in SIZES]
        for n in array_slots(rule.graph)
    }
    scalars: dict[str, Any] = {n: float(rule.slots[n].start) for n in scalar_slots(rule.graph)}
    for t in range(1, 9):
        gs = [gradient(t, n, rng).to(dtype) for n in SIZES]
        wanted = []
        for i, (x, g) in enumerate(zip(xs, gs, strict=True)):
            own = {n: scalars[n] if n in scalars else slots[n][i].to(compute).numpy().copy() for n in rule.slots}
            wanted.append(reference.step(rule, x.to(compute).numpy().copy(), g.to(compute).numpy(), own, t, hyper))
        new = foreach.step(rule, xs, gs, slots, float(t), scalars, hyper)
        for i, (x, state) in enumerate(wanted):
            assert same(xs[i], torch.from_numpy(np.array(x)).to(dtype)), (t, i, xs[i][:5], x[:5])
            for n, tensors in slots.items():
                assert same(tensors[i], torch.from_numpy(np.array(state[n])).to(dtype)), (t, i, n)
            assert new == {n: state[n] for n in scalars}
        scalars = new


def test_conditions_and_numbers_before_arrays() -> None:
    def odd(g, a, *, lr=0.1):
        from ravine.math import abs, maximum, minimum, sign, where

        size = where(abs(g) > a, minimum(abs(g), 1.5), maximum(2.0, a))
        return sign(g) * (0.25 - g) * (lr / (1 + size)), where(g >= 0.5, 1 - a, a)

    for kind in ("float32", "float64"):
        hold(declare(odd), kind)


def test_a_new_slot_may_be_any_old_value() -> None:
    """Of another slot, or of the parameter, which are overwritten in the same step."""

    def turning(x, g, a, b, *, t, lr=0.1):
        from ravine.math import where

        return -lr * g, where(t > 1, b, x), a

    for kind in ("float32", "float64", "bfloat16"):
        hold(declare(turning), kind)


def test_what_was_used_for_the_last_time_is_let_go() -> None:
    """At no time more arrays than the widest place of the graph needs: for RMSprop three, of twelve operations."""
    rule = ravine.rule("rmsprop")
    alive: list[int] = []
    made: list[Any] = []
    operation = foreach._operation

    def watched(n: Any, args: Any) -> Any:
        result = operation(n, args)
        made.extend(map(weakref.ref, result))
        alive.append(sum(r() is not None for r in made))
        return result

    foreach._operation = watched
    try:
        slots = {"s": [torch.zeros(3)]}
        foreach.step(rule, [torch.ones(3)], [torch.ones(3)], slots, 1.0, {}, hyper_of(rule))
    finally:
        foreach._operation = operation
    assert max(alive) <= 4 < len(alive)
