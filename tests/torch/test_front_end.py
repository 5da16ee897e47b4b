"""What a training program does to an optimizer."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ravine
import ravine.torch
from family import ELEMENTWISE
from ravine.transforms import stored_at_look_ahead


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 5, scheduler: object = None) -> list[Tensor]:
    torch.manual_seed(1)
    x, y = torch.randn(8, 6), torch.randn(8, 2)
    for _ in range(steps):
        optimizer.zero_grad()
        ((net(x) - y) ** 2).mean().backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()  # type: ignore[attr-defined]
    return [p.detach().clone() for p in net.parameters()]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_recipe_steps_as_the_reference(name: str) -> None:
    """Bit for bit, parameters and state, over many tensors in one launch."""
    recipe = ravine.recipe(name)
    params = [nn.Parameter(torch.randn(n)) for n in (1, 20_000, 63, 7)]
    optimizer = recipe.torch(params)
    stored = ravine.recipe(stored_at_look_ahead(recipe.rule))
    arrays = [p.detach().numpy().copy() for p in params]
    states = [stored.init(x) for x in arrays]
    for _ in range(3):
        for i, p in enumerate(params):
            p.grad = torch.randn_like(p)
            arrays[i], states[i] = stored.update(p.grad.numpy(), states[i], arrays[i])
        optimizer.step()
    for p, x, state in zip(params, arrays, states, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), x)  # NaN where NaN
        assert optimizer.state[p].get("step") == 3
        for slot, value in state.slots.items():
            assert torch.equal(optimizer.state[p][slot], torch.as_tensor(value, dtype=optimizer.state[p][slot].dtype))
    assert len(optimizer._plans[0].buckets) == 1
    assert not optimizer._plans[0].rest


def test_parameters_at_different_steps_keep_their_own_count() -> None:
    """One had no gradient for a while: its bias correction belongs to its own t."""
    params = [nn.Parameter(torch.randn(5)) for _ in range(3)]
    recipe = ravine.recipe("nadam")
    optimizer = recipe.torch(params)
    arrays = [p.detach().numpy().copy() for p in params]
    states = [recipe.init(x) for x in arrays]
    for step in range(6):
        for i, p in enumerate(params):
            p.grad = None if step % (i + 1) else torch.randn(5)
            if p.grad is not None:
                arrays[i], states[i] = recipe.update(p.grad.numpy(), states[i], arrays[i])
        optimizer.step()
    for p, x, state in zip(params, arrays, states, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), x)  # NaN where NaN
        assert optimizer.state[p]["step"] == state.t
        assert float(optimizer.state[p]["product"]) == state.slots["product"]


def test_schedulers_drive_it() -> None:
    ours, theirs = model(), model()
    results = []
    for net, kind in ((ours, ravine.torch.Adam), (theirs, torch.optim.Adam)):
        optimizer = kind(net.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=20)
        results.append(train(net, optimizer, 20, scheduler))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_step_alone(make: object) -> None:
    """A deep copy and a pickle keep their state and hold no address of the original."""
    for kind in (ravine.torch.NAdam, lambda p: ravine.recipe("nadam").torch(p)):
        p = nn.Parameter(torch.ones(4))
        optimizer = kind([p])
        p.grad = torch.ones(4)
        optimizer.step()
        twin = make(optimizer)  # type: ignore[operator]
        q = twin.param_groups[0]["params"][0]
        q.grad = torch.ones(4)
        before = p.detach().clone()
        twin.step()
        assert torch.equal(p.detach(), before)
        optimizer.step()
        assert torch.equal(p.detach(), q.detach())


def test_state_dict_survives_a_safe_load() -> None:
    net = model()
    optimizer = ravine.torch.RMSprop(net.parameters(), momentum=0.9)
    train(net, optimizer)
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    buffer.seek(0)
    other = ravine.torch.RMSprop(net.parameters(), momentum=0.9)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    for p in net.parameters():
        assert all(torch.equal(v, other.state[p][n]) for n, v in optimizer.state[p].items())


def test_loading_copies() -> None:
    p = nn.Parameter(torch.ones(4))
    p.grad = torch.ones(4)
    first = torch.optim.Adam([p])
    first.step()
    second = ravine.torch.Adam([p])
    second.load_state_dict(first.state_dict())
    before = first.state[p]["exp_avg"].clone()
    second.step()
    assert torch.equal(first.state[p]["exp_avg"], before)


def test_memory_that_moves_is_found_again() -> None:
    """New gradients, new parameter data, replaced and reloaded state: no stale address is ever written."""
    p, q = (nn.Parameter(torch.ones(4)) for _ in range(2))
    ours, theirs = ravine.torch.Adam([p]), torch.optim.Adam([q])
    kept = []
    for step in range(8):
        for r in (p, q):
            kept.append(r.grad)  # so that the next gradient lies elsewhere
            r.grad = torch.full((4,), 1.0 + step)
        if step == 3:
            p.data, q.data = p.data.clone() * 2, q.data.clone() * 2
        if step == 4:
            ours.state[p]["exp_avg"] = ours.state[p]["exp_avg"].clone()
        if step == 5:
            ours.state[p]["exp_avg"].data = ours.state[p]["exp_avg"].clone()
        if step == 6:
            ours.state[p] = {n: v.clone() for n, v in ours.state[p].items()}
        ours.step()
        theirs.step()
        torch.testing.assert_close(p.detach(), q.detach(), rtol=1e-6, atol=0)
        assert ours.state[p]["step"] == step + 1
        torch.testing.assert_close(ours.state[p], theirs.state[q], rtol=1e-6, atol=0)


def test_autograd_notices_the_step() -> None:
    p = nn.Parameter(torch.ones(4))
    p.grad = torch.ones(4)
    loss = (p * p).sum()
    ravine.torch.Adam([p]).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_groups_have_options_of_their_own() -> None:
    a, b = (nn.Parameter(torch.ones(3)) for _ in range(2))
    optimizer = ravine.torch.SGD([{"params": [a], "lr": 0.5}, {"params": [b], "momentum": 0.5}], lr=0.25)
    for p in (a, b):
        p.grad = torch.ones(3)
    optimizer.step()
    optimizer.step()
    assert a.tolist() == [0.0] * 3
    assert b.tolist() == [1 - 0.25 - 0.25 * 1.5] * 3
    late = nn.Parameter(torch.ones(3))
    late.grad = torch.ones(3)
    optimizer.add_param_group({"params": [late]})
    optimizer.step()
    assert late.tolist() == [0.75] * 3


def test_complex_numbers_are_pairs_of_reals() -> None:
    p, q = (nn.Parameter(torch.tensor([1 + 2j, 3 - 1j])) for _ in range(2))
    ours, theirs = ravine.torch.Adam([p], lr=0.1), torch.optim.Adam([q], lr=0.1)
    for _ in range(5):
        p.grad, q.grad = p.detach() * (1 - 1j), q.detach() * (1 - 1j)
        ours.step()
        theirs.step()
    torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("order", [1, -1])
def test_complex_and_real_parameters_in_one_list(order: int) -> None:
    """Of one storage type, so they share a launch, but a complex number is two of its reals."""
    memory, twin = (torch.linspace(1, 2, 8, dtype=torch.float64) for _ in range(2))
    kinds = (ravine.torch.RMSprop, torch.optim.RMSprop)
    for kind, m in zip(kinds, (memory, twin), strict=True):
        params = [nn.Parameter(torch.view_as_complex(m[:4].view(2, 2))), nn.Parameter(m[4:6])][::order]
        optimizer = kind(params, lr=0.1)
        for _ in range(3):
            for p in params:
                p.grad = p.detach() * 0.5
            optimizer.step()
    torch.testing.assert_close(memory, twin, rtol=1e-14, atol=0)
    assert torch.equal(memory[6:], torch.linspace(1, 2, 8, dtype=torch.float64)[6:])


def test_layouts_the_kernel_does_not_take_are_stepped_all_the_same() -> None:
    """channels_last is taken as it is, an expanded gradient and a strided view are copied."""
    net = nn.Parameter(torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last))
    view = torch.randn(6, 8)[:, ::2].requires_grad_()
    plain = nn.Parameter(torch.randn(3, 4))
    params = [net, view, plain]
    twins = [nn.Parameter(p.detach().clone()) for p in params]
    ours, theirs = ravine.torch.RMSprop(params), torch.optim.RMSprop(twins)
    for _ in range(3):
        for p, q in zip(params, twins, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        plain.grad = torch.ones(1, 1).expand(3, 4)
        twins[2].grad = torch.ones(3, 4)
        ours.step()
        theirs.step()
    for p, q in zip(params, twins, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)
    assert ours._plans[0].rest == []
    assert ours._plans[0].stand_ins.members == [1, 2]
    assert [bucket.table.size for _, bucket in ours._plans[0].buckets] == [3]


def test_memory_with_gaps_is_no_array_though_parameter_and_gradient_have_the_same() -> None:
    memory = torch.ones(4, 6)
    p = memory[:, ::2].requires_grad_()
    p.grad = torch.ones(4, 6)[:, ::2]
    optimizer = ravine.torch.SGD([p], lr=0.5)
    optimizer.step()
    assert memory.tolist() == [[0.5, 1.0] * 3] * 4
    assert optimizer._plans[0].stand_ins.members == [0]


def test_gradients_that_are_set_to_none_are_freed() -> None:
    """Whoever stepped them; one gradient kept for each parameter would be the memory of a second model."""
    params = [nn.Parameter(torch.ones(3)), torch.ones(4, 6)[:, ::2].requires_grad_()]
    optimizer = ravine.torch.Adam(params)
    for _ in range(2):
        kept = []
        for p in params:
            p.grad = torch.ones(p.shape)
            kept.append(weakref.ref(p.grad))
        optimizer.step()
        optimizer.zero_grad()
        assert [k() for k in kept] == [None, None]


def test_overlapping_parameters_are_stepped_one_after_the_other() -> None:
    memory = torch.ones(10)
    a, b = memory[:6].requires_grad_(), memory[4:].requires_grad_()
    optimizer = ravine.torch.SGD([a, b], lr=0.5)
    a.grad, b.grad = torch.ones(6), torch.ones(6)
    optimizer.step()
    assert memory.tolist() == [0.5] * 4 + [0.0] * 2 + [0.5] * 4
    assert not optimizer._plans[0].buckets


def gd(params: Any, lr: float) -> torch.optim.Optimizer:
    return ravine.torch.from_recipe(params, "gd", lr=lr)


@pytest.mark.parametrize("make", [ravine.torch.Adam, ravine.torch.Lion, gd])
@pytest.mark.parametrize("as_keyword", [False, True])
def test_a_set_of_parameters_is_told_at_the_callers_line(make: Any, as_keyword: bool, monkeypatch: Any) -> None:
    """As torch does from 2.15 on, which names a line of its own."""
    monkeypatch.setattr("ravine.torch.ordered.IS_TOLD", True)
    parameters = {torch.nn.Parameter(torch.ones(2)) for _ in range(3)}
    with pytest.warns(FutureWarning, match="use a list instead") as told:
        optimizer = make(**{"params": parameters}, lr=0.1) if as_keyword else make(parameters, lr=0.1)
    assert len(told) == 1
    assert told[0].filename == __file__
    assert set(optimizer.param_groups[0]["params"]) == parameters


def test_a_set_is_told_where_torch_tells_it() -> None:
    def warnings_of(kind: Any) -> list[str]:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            kind({torch.nn.Parameter(torch.ones(2))}, lr=0.1)
        return [str(warning.message) for warning in told]

    assert warnings_of(ravine.torch.Adam) == warnings_of(torch.optim.Adam)
