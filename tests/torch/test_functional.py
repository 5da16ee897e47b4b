"""The functions with the state in the caller's lists, against torch's of the same names."""

from __future__ import annotations

import copy
import importlib
import inspect
from typing import Any

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ravine.torch import functional

MOMENTS = ("exp_avgs", "exp_avg_sqs")
CASES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "sgd": ({"lr": 0.1, "momentum": 0.9, "dampening": 0.0, "nesterov": True}, ("momentum_buffer_list",)),
    "rmsprop": (
        {"lr": 0.01, "alpha": 0.9, "eps": 1e-8, "momentum": 0.9, "centered": True},
        ("square_avgs", "grad_avgs", "momentum_buffer_list"),
    ),
    "adagrad": ({"lr": 0.1, "lr_decay": 0.01, "eps": 1e-10, "maximize": True}, ("state_sums",)),
    "adadelta": ({"lr": 1.0, "rho": 0.9, "eps": 1e-6, "maximize": False}, ("square_avgs", "acc_deltas")),
    "adam": ({"lr": 0.01, "eps": 1e-8, "amsgrad": True, "maximize": False}, (*MOMENTS, "max_exp_avg_sqs")),
    "adamw": ({"lr": 0.01, "eps": 1e-8, "amsgrad": False, "maximize": True}, MOMENTS),
    "nadam": ({"lr": 0.01, "eps": 1e-8, "momentum_decay": 0.004}, (*MOMENTS, "mu_products")),
    "radam": ({"lr": 0.01, "eps": 1e-8, "decoupled_weight_decay": True}, MOMENTS),
    "adamax": ({"lr": 0.01, "eps": 1e-8}, ("exp_avgs", "exp_infs")),
}


def theirs(name: str) -> Any:
    return getattr(importlib.import_module(f"torch.optim.{name}"), name)


def arguments(name: str) -> dict[str, Any]:
    """What a call takes; the lists of state that the options do not use are empty, as torch's classes pass them."""
    random = torch.Generator().manual_seed(1)
    shapes = [(3, 4), (5,)]
    options, used = CASES[name]
    known = inspect.signature(theirs(name)).parameters
    given = {"params": [torch.randn(s, generator=random, dtype=torch.float64) for s in shapes], "weight_decay": 0.1}
    given[list(known)[1]] = [torch.randn(s, generator=random, dtype=torch.float64) for s in shapes]
    for key in functional.LISTS.keys() & known.keys():
        given[key] = [torch.zeros(s, dtype=torch.float64) for s in shapes] if key in used else []
    if "state_steps" in known:
        given["state_steps"] = [torch.zeros(()) for _ in shapes]
    if name == "sgd":
        given["momentum_buffer_list"] = [None for _ in shapes]
        given["maximize"] = False
    if name == "nadam":
        given["mu_products"] = [torch.ones((), dtype=torch.float64) for _ in shapes]
    if "beta1" in known:
        given |= {"beta1": 0.9, "beta2": 0.99}
    return given | options


@pytest.mark.parametrize("name", functional.__all__)
def test_it_steps_as_torch_does_and_writes_into_the_callers_lists(name: str) -> None:
    a, b = arguments(name), arguments(name)
    place = a["params"][0].data_ptr()
    for _ in range(3):
        getattr(functional, name)(**a)
        theirs(name)(**b)
    assert a["params"][0].data_ptr() == place
    assert a["params"][0].grad is None
    for key in b:
        if isinstance(b[key], list):
            torch.testing.assert_close(a[key], b[key], rtol=1e-11 if name == "radam" else 1e-13, atol=1e-15)


@pytest.mark.parametrize("name", functional.__all__)
def test_the_signature_is_torchs(name: str) -> None:
    function = getattr(functional, name)
    assert inspect.signature(function) == inspect.signature(theirs(name))
    assert f"`torch.optim.functional.{name}`" in function.__doc__


def test_it_is_all_of_torchs_functions_that_have_a_class_here() -> None:
    module = pytest.importorskip("torch.optim.functional", reason="torch has it since 2.14")
    assert set(functional.__all__) == {n for n in module.__all__ if hasattr(functional, n)}
    assert set(module.__all__) - set(functional.__all__) == {"adafactor", "asgd", "muon", "rprop", "sparse_adam"}


def test_moments_narrower_than_the_parameters_stay_so() -> None:
    """What torch's fused Adam takes on CUDA since 2.14."""
    given = arguments("adamw") | {"params": [torch.ones(8)], "grads": [torch.full((8,), 0.5)]}
    given |= {"exp_avgs": [torch.zeros(8, dtype=torch.bfloat16)], "state_steps": [torch.zeros(())]}
    given["exp_avg_sqs"] = [torch.zeros(8, dtype=torch.bfloat16)]
    functional.adamw(**given)
    assert given["exp_avgs"][0].dtype is given["exp_avg_sqs"][0].dtype is torch.bfloat16
    assert torch.equal(given["exp_avgs"][0], torch.full((8,), -0.05, dtype=torch.bfloat16))  # maximize
    assert given["params"][0].isfinite().all()
    assert given["state_steps"][0] == 1


def test_a_step_is_left_out_where_found_inf_says_so() -> None:
    given = arguments("adam") | {"found_inf": torch.ones(()), "grad_scale": torch.tensor(2.0), "fused": True}
    before = copy.deepcopy(given["params"])
    functional.adam(**given)
    torch.testing.assert_close(given["params"], before, rtol=0, atol=0)


def test_hooks_are_for_optimizers() -> None:
    called = []
    handle = register_optimizer_step_pre_hook(lambda *arguments: called.append(arguments))
    try:
        functional.adam(**arguments("adam"))
    finally:
        handle.remove()
    assert called == []
