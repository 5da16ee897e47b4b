"""A step traced on swapped-in parameters and state, as torch's non-strict tracing of a training step does it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils import stateless
from torch.utils import _pytree as pytree

import ravine.torch

swap_in: Any = getattr(torch.optim, "swap_in_optimizer_params_and_state", None)
pytestmark = pytest.mark.skipif(swap_in is None, reason="this torch can't swap in")


def traced(kind: Any, is_fake: bool, **options: Any) -> tuple[str, torch.Tensor]:
    """The graph of a step in text, and what it computes from other parameters and state."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = kind(model.parameters(), lr=0.1, **options)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    live = {n: p.detach().clone() for n, p in model.named_parameters()}
    params = {n: torch.randn_like(p) for n, p in model.named_parameters()}
    inputs = params, deepcopy(optimizer.state_dict())
    if is_fake:
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            given = pytree.tree_map_only(torch.Tensor, mode.from_tensor, inputs)
    else:
        given = deepcopy(inputs)

    def step(params: Any, state: Any) -> Any:
        with stateless._reparametrize_module(model, params), swap_in(optimizer, params, state):
            for p in model.parameters():
                p.grad = torch.ones_like(p)
            optimizer.step()
        return params, state

    graph = make_fx(step)(*given)
    for name, p in model.named_parameters():
        assert torch.equal(p.detach(), live[name])  # the live model is left alone
    params, state = graph(*inputs)
    flat = [*params.values(), *(t for s in state["state"].values() for t in s.values() if t is not None)]
    return graph.code, torch.cat([t.detach().reshape(-1) for t in flat])


@pytest.mark.parametrize("is_fake", [False, True])
@pytest.mark.parametrize(
    "options",
    [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True}],
    ids=str,
)
def test_the_graph_of_sgd_is_torchs(options: dict[str, Any], is_fake: bool) -> None:
    code, result = traced(ravine.torch.SGD, is_fake, **options)
    wanted, same = traced(torch.optim.SGD, is_fake, **options)
    assert code == wanted
    assert torch.equal(result, same)


@pytest.mark.parametrize("is_fake", [False, True])
@pytest.mark.parametrize("name", ["RMSprop", "Adadelta"])
def test_the_graph_of_others_computes_what_torchs_does(name: str, is_fake: bool) -> None:
    _, result = traced(getattr(ravine.torch, name), is_fake)
    _, wanted = traced(getattr(torch.optim, name), is_fake)
    torch.testing.assert_close(result, wanted, rtol=1e-6, atol=1e-6)
