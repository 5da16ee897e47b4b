"""torch.optim.functional's functions on Ravine's kernels: the caller keeps parameters, gradients and state in lists.

`adam`, `adamw`, `sgd` and the others have the signatures of torch's functions of the same names, also where this torch
does not yet have that module: they lie in the modules of its classes.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from torch import Tensor

from ravine.torch import classes

__all__ = ["adadelta", "adagrad", "adam", "adamax", "adamw", "nadam", "radam", "rmsprop", "sgd"]

LISTS = {
    "acc_deltas": "acc_delta",
    "exp_avg_sqs": "exp_avg_sq",
    "exp_avgs": "exp_avg",
    "exp_infs": "exp_inf",
    "grad_avgs": "grad_avg",
    "max_exp_avg_sqs": "max_exp_avg_sq",
    "momentum_buffer_list": "momentum_buffer",
    "mu_products": "mu_product",
    "square_avgs": "square_avg",
    "state_steps": "step",
    "state_sums": "sum",
}
"""The lists of state, and what the classes call one element."""


def _functional(kind: type[classes.TorchStepper]) -> Callable[..., None]:
    """The function that takes one step as a class does."""
    name = kind.__name__.lower()
    theirs = getattr(importlib.import_module(f"torch.optim.{name}"), name)
    signature = inspect.signature(theirs)
    take = inspect.unwrap(kind.step)  # as in torch, hooks around an optimizer's step are not for functions

    @wraps(theirs)
    def function(*args: Any, **kwargs: Any) -> None:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = dict(bound.arguments)
        if given.get("differentiable"):
            theirs(*args, **kwargs)
            return
        params, grads, *_ = given.values()
        lists = {key: given[name] for name, key in LISTS.items() if len(given.get(name, ())) == len(params)}
        # Other tensors on the same memory: the caller's `.grad` is the caller's own.
        aliases = [p.detach() for p in params]
        owner = kind(aliases)
        owner.param_groups[0].update(_options(given))
        for i, (alias, grad) in enumerate(zip(aliases, grads, strict=True)):
            alias.grad = grad
            owner.state[alias] = {key: values[i] for key, values in lists.items() if values[i] is not None}
        for key in ("grad_scale", "found_inf"):
            if given.get(key) is not None:
                setattr(owner, key, given[key])
        take(owner)
        for key, values in lists.items():
            for i, alias in enumerate(aliases):
                _hand_back(values, i, owner.state[alias].get(key))

    function.__module__ = __name__
    function.__doc__ = (
        f"One step of `ravine.torch.{kind.__name__}`, in place, as `torch.optim.functional.{name}` takes it.\n\n"
        "    `foreach` and `fused` make no difference. `differentiable=True` is torch's own code. Each call makes its\n"
        "    plan anew: for speed in a training loop, use the class."
    )
    return function


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """The options of a group from a function's arguments."""
    flags = ("differentiable", "grad_scale", "found_inf", "has_complex", "has_sparse_grad")
    _params, _grads, *named = given
    options = {name: given[name] for name in named if name not in LISTS and name not in flags}
    if "beta1" in options:
        options["betas"] = (options.pop("beta1"), options.pop("beta2"))
    return options


def _hand_back(values: list[Any], i: int, new: Any) -> None:
    """Put a piece of state that was made or replaced in the step back into the caller's list."""
    if values[i] is None:
        values[i] = new
    elif new is not values[i] and isinstance(new, Tensor):
        values[i].copy_(new)


adadelta = _functional(classes.Adadelta)
adagrad = _functional(classes.Adagrad)
adam = _functional(classes.Adam)
adamax = _functional(classes.Adamax)
adamw = _functional(classes.AdamW)
nadam = _functional(classes.NAdam)
radam = _functional(classes.RAdam)
rmsprop = _functional(classes.RMSprop)
sgd = _functional(classes.SGD)
