"""Where numbers overflow or cancel, or options contradict each other, ours do what torch's do, or better."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import ravine.torch

NAMES = ("SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "AdamW", "NAdam", "RAdam", "Adamax")
CASES: list[tuple[str, dict[str, Any]]] = [(n, {}) for n in NAMES]
CASES += [("Adam", {"amsgrad": True}), ("RMSprop", {"momentum": 0.9}), ("RMSprop", {"alpha": 0.9})]


def train(kind: Any, gradients: torch.Tensor, **options: Any) -> tuple[torch.Tensor, dict[str, Any]]:
    """The points visited and the state at the end."""
    p = torch.nn.Parameter(torch.zeros_like(gradients[0]))
    optimizer, points = kind([p], **options), []
    for g in gradients:
        p.grad = g.clone()
        optimizer.step()
        points.append(p.detach().clone())
    return torch.stack(points), optimizer.state[p]


@pytest.mark.parametrize("peak", [3e19, 1.5e20, 2e21])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_one_gradient_whose_square_overflows(name: str, options: dict[str, Any], peak: float) -> None:
    g = torch.ones(12, 3)
    g[3] = torch.tensor([peak, -peak, 1.0])
    wanted, theirs = train(getattr(torch.optim, name), g, **options)
    got, ours = train(getattr(ravine.torch, name), g, **options)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6, equal_nan=True)
    torch.testing.assert_close(dict(ours), dict(theirs), rtol=1e-5, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize(("alpha", "steps"), [(0.9, 300), (0.99, 3000)])
def test_centred_rmsprop_under_a_steady_gradient(alpha: float, steps: int, momentum: float) -> None:
    g = torch.from_numpy(np.random.default_rng(0).standard_normal(2_000)).float()
    options = {"alpha": alpha, "centered": True, "momentum": momentum}
    wanted, theirs = train(torch.optim.RMSprop, g.expand(steps, -1), **options)
    got, ours = train(ravine.torch.RMSprop, g.expand(steps, -1), **options)
    assert wanted[-1].isnan().sum() > 20  # torch's variance is negative there
    assert got.isfinite().all()
    for key in ("square_avg", "grad_avg"):
        torch.testing.assert_close(ours[key], theirs[key], rtol=3e-5, atol=0)


def test_a_group_with_nesterov_and_a_dampening_of_its_own_is_stepped_as_torch_does() -> None:
    def run(kind: Any) -> torch.Tensor:
        p, q = (torch.nn.Parameter(torch.zeros(4)) for _ in range(2))
        optimizer = kind([{"params": [p], "dampening": 0.3}, {"params": [q]}], lr=0.1, momentum=0.9, nesterov=True)
        for step in range(5):
            for x in (p, q):
                x.grad = torch.sin(torch.arange(4.0) + step)
            if step == 3:
                optimizer.param_groups[1]["dampening"] = 0.5
            optimizer.step()
        return torch.stack([p.detach(), q.detach()])

    torch.testing.assert_close(run(ravine.torch.SGD), run(torch.optim.SGD), rtol=1e-6, atol=1e-6)
