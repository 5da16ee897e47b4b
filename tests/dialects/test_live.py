"""The dialect as a torch optimizer against the installed torch.optim, and the classes that read its table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ravine import dialects, rule
from ravine.dialects.table import place
from recorded import Trace, traces

torch = pytest.importorskip("torch", reason="torch is not installed")

import ravine.torch

DRIFT = {"float32": 3e-6, "float64": 1e-12}
FTRL = {"float32": 1e-3, "float64": 3e-11}
"""See test_replay."""


@pytest.mark.parametrize("trace", traces("torch")[::3], ids=str)  # an odd stride: types alternate
def test_torch_itself_moves_alike(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    if trace.narrow_products:
        pytest.skip("products in bfloat16: see test_replay")
    if "Muon" in trace.call:  # torch's own lines, but that it multiplies in bfloat16
        monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    constructor, given = dialects.parse(trace.call)
    theirs, ours = (torch.nn.Parameter(torch.tensor(trace.x[0])) for _ in range(2))
    pairs = [
        (theirs, getattr(torch.optim, constructor.name)([theirs], **given)),
        (ours, trace.recipe.torch([ours])),
    ]
    # torch keeps NAdam's product and ASGD's rate in float32.
    drift = 1e-9 if "NAdam" in trace.call else 1e-7 if "ASGD" in trace.call else DRIFT[trace.dtype]
    for g, lr in zip(trace.gradients, trace.lrs, strict=True):
        for p, optimizer in pairs:
            optimizer.param_groups[0]["lr"] = lr
            p.grad = torch.tensor(g)
            optimizer.step()
        bound = max(drift, DRIFT[trace.dtype])
        hold(ours, theirs.detach().numpy(), bound)


def hold(ours: Any, theirs: np.ndarray, bound: float) -> None:
    """That a parameter is another to a bound: in a matrix, of its largest element, as a sum's error is of its terms."""
    largest = np.abs(theirs).max() if theirs.ndim > 1 else 0.0
    np.testing.assert_allclose(ours.detach(), theirs, rtol=bound, atol=bound * largest)


ELSEWHERE = [t for f in ("tensorflow", "keras", "optax") for t in traces(f) if not t.python_numbers]


@pytest.mark.parametrize("trace", ELSEWHERE[::3], ids=str)
def test_torch_trains_as_the_other_framework_did(trace: Trace) -> None:
    p = torch.nn.Parameter(torch.tensor(trace.x[0]))
    optimizer = trace.recipe.torch([p])
    limit = 1e-9 if "Nadam" in trace.call else DRIFT[trace.dtype]  # see test_replay
    limit = FTRL[trace.dtype] if "Ftrl" in trace.call else limit
    for g, lr, x in zip(trace.gradients, trace.lrs, trace.x[1:], strict=True):
        optimizer.param_groups[0]["lr"] = lr
        p.grad = torch.tensor(g)
        optimizer.step()
        hold(p, x, max(limit, DRIFT[trace.dtype]))


CALLS = list(dict.fromkeys(t.call for t in traces("torch")))


@pytest.mark.parametrize("call", CALLS)
def test_the_classes_read_in_a_group_what_the_dialect_reads_in_a_call(call: str) -> None:
    """The rule, its hyperparameters' values, torch's names for its slots, and what they start at."""
    constructor, given = dialects.parse(call)
    optimizer = getattr(ravine.torch, constructor.name)([torch.nn.Parameter(torch.ones(1, 1))], **given)
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


@pytest.mark.parametrize("name", dialects.constructors("torch"))
def test_torch_keeps_in_its_groups_what_the_dialect_names(name: str) -> None:
    """So that a class finds every option of its table there."""
    table = dialects.torch.__dict__[name]
    group = getattr(torch.optim, name)([torch.nn.Parameter(torch.ones(1, 1))]).param_groups[0]
    named = {place(a)[0] for f in table.forms for a in f.names.values()} | set(table.options)
    assert named - set(group) <= {"lr_decay", "decoupled_weight_decay"}
    assert named & set(table.arguments()) <= set(group)


def one(name: str, **options: Any) -> Any:
    return getattr(ravine.torch, name)([torch.nn.Parameter(torch.ones(1, 1))], **options)


def test_a_value_that_changes_keeps_the_method_and_another_choice_changes_it() -> None:
    """A plan lives as long as the method does, so a schedule of the decay must not make new ones."""
    optimizer = one("Adam", weight_decay=0.1)
    group = optimizer.param_groups[0]
    first = optimizer._method(group)
    assert optimizer._method({**group, "weight_decay": 0.2}) is first
    assert optimizer._method({**group, "weight_decay": 0.0}) is one("Adam")._method(group | {"weight_decay": 0.0})
    assert optimizer._method({**group, "weight_decay": 0.0}).rule.name == "adam"
    assert optimizer._method({**group, "amsgrad": True}).rule.name == "weight_decay(amsgrad)"


def test_a_key_of_the_users_own_is_no_option() -> None:
    """Adam has no lr_decay, though Adagrad does: who keeps a number of that name in a group means something else."""
    assert one("Adam")._method({**one("Adam").param_groups[0], "lr_decay": 0.9}).rule.name == "adam"
    assert one("Adagrad", lr_decay=0.9)._method(one("Adagrad", lr_decay=0.9).param_groups[0]).rule.name != "adagrad"


def test_a_checkpoint_can_be_older_than_an_option() -> None:
    optimizer = one("Adagrad")
    state = optimizer.state_dict()
    del state["param_groups"][0]["initial_accumulator_value"]
    optimizer.load_state_dict(state)
    optimizer.param_groups[0]["params"][0].grad = torch.ones(1, 1)
    optimizer.step()
    assert optimizer.param_groups[0]["params"][0].item() == pytest.approx(0.99)
