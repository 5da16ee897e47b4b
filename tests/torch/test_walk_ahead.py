"""What is fetched ahead of a walk: the memory that it will read, and nothing that it depends on."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import ravine.torch
from ravine.torch import walk_source
from ravine.torch.plan import Plan
from ravine.torch.walk import Walk
from ravine.torch.walk_ahead import LINE, hints


def stepped(steps: int) -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
    """More parameters than are fetched at a time, and one that never has a gradient."""
    params = [nn.Parameter(torch.linspace(-1, 1, 3 + k)) for k in range(19)]
    optimizer = ravine.torch.Adam(params, lr=0.01)
    for _ in range(steps):
        step(params, optimizer)
    return params, optimizer


def step(params: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    for p in params[:-1]:
        p.grad = p.detach().cos()
    optimizer.step()


def walk_of(optimizer: torch.optim.Optimizer) -> Walk:
    (plan,) = optimizer._plans.values()  # type: ignore[attr-defined]
    assert isinstance(plan, Plan)
    assert plan._walk is not None
    return plan._walk


def test_hints_are_of_all_that_a_walk_reads_each_line_once() -> None:
    params, optimizer = stepped(1)
    states = [optimizer.state.get(p, {}) for p in params]
    lines, counts = hints(params, states)
    assert len(set(lines.tolist())) == len(lines) == counts.sum()
    assert not np.any(lines % LINE)
    for p, own in zip(params, states, strict=True):
        read = [id(own)] * bool(own)
        for t in (p, *own.values()):
            read += [id(t), t._cdata, t.untyped_storage()._cdata, t.data_ptr()]
        assert {address // LINE * LINE for address in read} <= set(lines.tolist())


def test_the_rows_of_a_walk_say_where_their_hints_are() -> None:
    _, optimizer = stepped(3)
    walk = walk_of(optimizer)
    starts, counts = (walk._rows[:, column] for column in (walk_source.HINT, walk_source.HINTS))
    kept = walk._ahead
    assert starts[0] == kept.ctypes.data
    assert (starts + 8 * counts).tolist() == [*starts[1:].tolist(), kept.ctypes.data + kept.nbytes]
    assert np.all(counts > 0)


def test_hints_of_memory_that_is_not_there_change_nothing() -> None:
    params, optimizer = stepped(3)
    others, other = stepped(3)
    walk = walk_of(optimizer)
    walk._ahead[:] = np.resize(np.array([0, 1, 1 << 46, (1 << 64) - 64], np.uint64), len(walk._ahead))
    for _ in range(3):
        step(params, optimizer)
        step(others, other)
    assert walk_of(optimizer) is walk
    assert all(torch.equal(p, q) for p, q in zip(params, others, strict=True))
