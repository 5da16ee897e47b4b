"""What lies at a known address may have become something else: another type, size, layout or sign."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import ravine.torch
from ravine.torch import likeness

NAMES = ("SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "AdamW", "NAdam", "RAdam", "Adamax")


@pytest.fixture(params=["torch", "python"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """By torch's own check, and where a version of torch has none."""
    if request.param == "python":
        monkeypatch.setattr(likeness, "by_torch", lambda tensors: None)
    else:
        assert likeness.by_torch([torch.ones(1)]) is not None, "this torch has another one"


def both(name: str, program: Any) -> None:
    got, wanted = (program(getattr(kind, name)) for kind in (ravine.torch, torch.optim))
    rounded = name == "NAdam"  # torch goes on with a product of momenta that is float32
    torch.testing.assert_close(got, wanted, rtol=1e-7 if rounded else 1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_conjugated_or_negated_by_a_flag(name: str) -> None:
    """Autograd hands out such gradients: that of |Σ w̄·x| is a conjugate whose memory holds the plain number."""

    def program(kind: Any) -> Any:
        ours = kind.__module__.startswith("ravine")
        w = nn.Parameter(torch.tensor([1 + 2j, 3 - 1j], dtype=torch.complex128))
        x = nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
        optimizer = kind([w, x], lr=0.1)
        for step in range(4):
            optimizer.zero_grad()
            ((w.conj() if step % 2 else w) * torch.tensor([1j, 2 - 1j])).sum().abs().backward()
            assert w.grad.is_conj() is bool(step % 2)
            x.grad = torch.tensor([0.5, 3.0], dtype=torch.float64)
            if step > 1:
                x.grad = torch._neg_view(x.grad)
            if not ours:  # torch's loop takes such a gradient in SGD only
                w.grad = w.grad.resolve_conj()
            optimizer.step()
        return w.detach(), x.detach()

    both(name, program)


def cut(tensor: Any, like: Any) -> None:
    tensor.data = tensor.data.flatten().view(like.dtype)[: like.numel()].view(like.shape)


@pytest.mark.parametrize("name", NAMES)
def test_parameter_and_state_shrink_where_they_lie(name: str) -> None:
    """What was cut off is written no more, and what lies behind the new gradient is not read."""

    def program(kind: Any) -> Any:
        p = nn.Parameter(torch.linspace(1, 2, 8, dtype=torch.float64))
        optimizer = kind([p], lr=0.1)
        p.grad = torch.linspace(1, 3, 8, dtype=torch.float64)
        optimizer.step()
        whole = [p.data, *(v.data for v in optimizer.state[p].values() if v.dim())]
        for tensor in (p, *(v for v in optimizer.state[p].values() if v.dim())):
            cut(tensor, torch.ones(3, dtype=torch.float64))
        p.grad = torch.full((3,), 0.5, dtype=torch.float64)
        optimizer.step()
        return whole

    both(name, program)


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_parameter_alone_that_shrinks_is_refused_as_in_torch(name: str) -> None:
    messages = []
    for kind in (getattr(ravine.torch, name), getattr(torch.optim, name)):
        p = nn.Parameter(torch.ones(8))
        optimizer = kind([p])
        p.grad = torch.ones(8)
        optimizer.step()
        cut(p, torch.ones(3))
        p.grad = torch.ones(3)
        with pytest.raises(RuntimeError, match="must match the size") as caught:
            optimizer.step()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_a_narrower_type_where_a_wider_one_lay() -> None:
    """As a parameter gets that is converted twice between two steps, and comes to lie where it lay."""
    memory = torch.ones(8)
    p = nn.Parameter(memory.clone())
    optimizer = ravine.torch.SGD([p], lr=0.5)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        p.grad = None
        p.data = memory.view(dtype)[:8]
        p.data.fill_(1.0)
        behind = memory[4:].clone()
        p.grad = torch.ones(8, dtype=dtype)
        optimizer.step()
        assert p.tolist() == [0.5] * 8
        assert dtype is torch.float32 or torch.equal(memory[4:], behind)


def test_a_transposed_parameter_is_seen_by_the_gradient_that_backward_makes() -> None:
    def program(kind: Any) -> Any:
        p = nn.Parameter(torch.linspace(1, 2, 9, dtype=torch.float64).view(3, 3))
        optimizer = kind([p], lr=0.1)
        for step in range(3):
            if step == 1:
                p.data = p.data.t()
            optimizer.zero_grad()
            (p * torch.arange(9.0).view(3, 3)).square().sum().backward()
            optimizer.step()
        return p.detach()

    both("Adam", program)


def test_no_gradient_is_kept_alive() -> None:
    import weakref

    g = torch.ones(3)
    seen = weakref.ref(g)
    known = likeness.Likeness([g])
    del g
    assert seen() is None
    for now in (torch.ones(3), torch.ones(2)):
        assert known.holds([now]) is known.holds_of([0], [now]) is (len(now) == 3)
