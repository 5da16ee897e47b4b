"""The installed torch, live: the dialect's recipe as a torch optimizer against torch.optim itself; and one table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ravine import dialects, rule
from recorded import Trace, traces

torch = pytest.importorskip("torch", reason="torch is not installed")

import ravine.torch

DRIFT = {"float32": 1e-5, "float64": 1e-12}


@pytest.mark.parametrize("trace", traces("torch")[::3], ids=str)  # an odd stride: types alternate
def test_torch_itself_moves_alike(trace: Trace) -> None:
    constructor, given = dialects.parse(trace.call)
    theirs, ours = (torch.nn.Parameter(torch.tensor(trace.x[0])) for _ in range(2))
    pairs = [
        (theirs, getattr(torch.optim, constructor.name)([theirs], **given)),
        (ours, trace.recipe.torch([ours])),
    ]
    drift = 1e-9 if "NAdam" in trace.call else DRIFT[trace.dtype]  # torch keeps NAdam's product in float32
    for g, lr in zip(trace.gradients, trace.lrs, strict=True):
        for p, optimizer in pairs:
            optimizer.param_groups[0]["lr"] = lr
            p.grad = torch.tensor(g)
            optimizer.step()
        np.testing.assert_allclose(ours.detach(), theirs.detach(), rtol=max(drift, DRIFT[trace.dtype]))


ELSEWHERE = [t for f in ("tensorflow", "keras", "optax") for t in traces(f) if not t.python_numbers]


@pytest.mark.parametrize("trace", ELSEWHERE[::3], ids=str)
def test_torch_trains_as_the_other_framework_did(trace: Trace) -> None:
    p = torch.nn.Parameter(torch.tensor(trace.x[0]))
    optimizer = trace.recipe.torch([p])
    limit = 1e-9 if "Nadam" in trace.call else DRIFT[trace.dtype]  # see test_replay
    for g, lr, x in zip(trace.gradients, trace.lrs, trace.x[1:], strict=True):
        optimizer.param_groups[0]["lr"] = lr
        p.grad = torch.tensor(g)
        optimizer.step()
        np.testing.assert_allclose(p.detach(), x, rtol=max(limit, DRIFT[trace.dtype]))


CALLS = list(dict.fromkeys(t.call for t in traces("torch")))


@pytest.mark.parametrize("call", CALLS)
def test_ravine_torch_and_the_dialect_say_the_same(call: str) -> None:
    """The drop-in classes and the dialect agree on the rule, on torch's names for it, and on the starts."""
    constructor, given = dialects.parse(call)
    optimizer = getattr(ravine.torch, constructor.name)([torch.nn.Parameter(torch.ones(1))], **given)
    group = optimizer.param_groups[0]
    method = optimizer._method(group)
    arguments = constructor.arguments(**given)
    form, chosen = constructor.form(arguments), constructor.recipe(arguments)
    assert method.rule.graph.outputs == chosen.rule.graph.outputs
    assert dict(zip(method.rule.hyperparameters, method.values(group), strict=True)) == dict(chosen.hyper)
    names: dict[str, Any] = {**method.arrays, **method.scalars}
    assert names == {n: form.state[n] for n in chosen.rule.slots}
    assert method.start == {n: chosen.start.get(n, s.start) for n, s in chosen.rule.slots.items()}
    assert (method.step or "none") == form.state.get("t", "none") or form.rule == "gd"


def test_every_class_of_torch_is_in_both() -> None:
    both = {n for n in dialects.constructors("torch") if hasattr(ravine.torch, n)}
    assert both == set(dialects.constructors("torch"))
    assert all(rule(f.rule) for c in dialects.constructors("torch").values() for f in c.forms)
