"""torch's own database of configurations with int8 state, one step at a time from what the codes hold.

Parameters are then torch's to the last places, since the step is computed in float32 from the same numbers; the new
state is torch's to a code: an eighth of a number, and the smallest code of the block.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.testing._internal.common_optimizers import optim_db

import ravine.torch
from ravine.torch import codes, narrow

NAMES = ("SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "AdamW", "NAdam", "RAdam", "Adamax")
CASES = [
    (info.optim_cls.__name__, case.desc, case.kwargs)
    for info in optim_db
    if info.optim_cls.__name__ in NAMES
    for case in info.optim_inputs_func(device="cpu")
    if not case.kwargs.get("differentiable")
]
N = 4096 + 60
A_STEP = 2.0**-3
"""The largest distance of two neighbouring codes, relative to the smaller."""


@pytest.mark.parametrize(("name", "description", "options"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_every_configuration_within_a_code(name: str, description: str, options: dict[str, Any]) -> None:
    random = torch.Generator().manual_seed(1)
    start = torch.randn(N, generator=random)
    p, q = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    ours = getattr(ravine.torch, name)([p], **deepcopy(options), state="int8")
    theirs = getattr(torch.optim, name)([q], **deepcopy(options))
    for _ in range(6):
        g = torch.randn(N, generator=random).abs() * start.sign() * (-1 if options.get("maximize") else 1)
        p.grad, q.grad = g.clone(), g.clone()
        before = p.detach().clone()
        ours.step()
        theirs.step()
        farthest = float((q.detach() - before).abs().max())
        atol = 2e-3 * farthest if name == "RAdam" else 1e-7  # which subtracts two numbers near 2000 to get one near 1
        torch.testing.assert_close(p.detach(), q.detach(), rtol=2e-6, atol=atol)
        held = narrow.widened(ours.state[p])
        for key, wanted in theirs.state[q].items():
            mine = held[key]
            if key in codes_of(ours.state[p]):
                floor = codes.decode(torch.ones_like(ours.state[p][key]), ours.state[p][narrow.scale_key(key)])
                assert bool(((mine - wanted).abs() <= A_STEP * wanted.abs() * 1.001 + floor).all()), key
            else:
                torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=1e-7)
        with torch.no_grad():
            q.copy_(p)
            for key, value in held.items():
                theirs.state[q][key].copy_(value)


def codes_of(state: dict[str, Any]) -> set[str]:
    return {key for key in state if narrow.is_coded(state, key)}


def test_the_database_is_there_and_something_is_in_codes() -> None:
    assert len(CASES) > 40
    p = torch.nn.Parameter(torch.randn(N))
    optimizer = ravine.torch.Adam([p], state="int8")
    p.grad = torch.ones(N)
    optimizer.step()
    assert codes_of(optimizer.state[p]) == {"exp_avg", "exp_avg_sq"}
