"""torch.optim's classes, stepped by rules: only what an option means and what torch calls things is said here.

Each inherits its constructor, options, checks and checkpoint handling from torch's class of the same name.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

import torch

from ravine.rule import rule
from ravine.torch.method import Key, Method, method
from ravine.torch.stepper import Stepper

Group = Mapping[str, Any]

BETAS: dict[str, Key] = {"beta1": ("betas", 0), "beta2": ("betas", 1)}
MOMENTS = {"m": "exp_avg", "v": "exp_avg_sq"}


class TorchStepper(Stepper):
    """A class of torch.optim whose options choose a rule, and whose names are others than the rule's."""

    hyper: ClassVar[Mapping[str, Key]] = {}
    state_keys: ClassVar[Mapping[str, str]] = {}
    step_key: ClassVar[str | None] = "step"

    @staticmethod
    def base(group: Group) -> str:
        """The rule that a group's options choose, without decay and direction."""
        raise NotImplementedError

    def _method(self, group: Group) -> Method:
        kind: Any = type(self)
        return _method(
            kind,
            self.base(group),
            bool(group["weight_decay"]) and ("decoupled" if group.get("decoupled_weight_decay") else "coupled"),
            group["maximize"],
            group.get("initial_accumulator_value", 0.0),
        )


@cache
def _method(kind: Any, base: str, decay: str | bool, maximize: bool, start: float) -> Method:
    name = f"weight_decay({base})" if decay == "coupled" else base
    name = f"maximize({name})" if maximize else name
    name = f"decoupled_weight_decay({name})" if decay == "decoupled" else name
    found = rule(name)
    starts = {"s": start} if start else {}
    return method(
        found, hyper=kind.hyper, state=kind.state_keys, start=starts, step=kind.step_key, counts_like_torch=True
    )


class SGD(TorchStepper, torch.optim.SGD):
    """`torch.optim.SGD`: gradient descent, with momentum, dampening or Nesterov momentum."""

    hyper: ClassVar[Mapping[str, Key]] = {"mu": "momentum"}
    state_keys: ClassVar[Mapping[str, str]] = {"b": "momentum_buffer"}
    step_key = None

    @staticmethod
    def base(group: Group) -> str:
        if not group["momentum"]:
            return "gd"
        return "nesterov_torch" if group["nesterov"] else "momentum_torch"


class RMSprop(TorchStepper, torch.optim.RMSprop):
    """`torch.optim.RMSprop`: ε outside the root; plain, centred, with momentum."""

    hyper: ClassVar[Mapping[str, Key]] = {"rho": "alpha", "mu": "momentum"}
    state_keys: ClassVar[Mapping[str, str]] = {"s": "square_avg", "a": "grad_avg", "b": "momentum_buffer"}

    @staticmethod
    def base(group: Group) -> str:
        momentum = "_momentum" if group["momentum"] > 0 else ""
        return f"rmsprop_torch{momentum}{'_centered' if group['centered'] else ''}"


class Adagrad(TorchStepper, torch.optim.Adagrad):
    """`torch.optim.Adagrad`."""

    state_keys: ClassVar[Mapping[str, str]] = {"s": "sum"}

    @staticmethod
    def base(group: Group) -> str:
        return "lr_decay(adagrad)" if group["lr_decay"] else "adagrad"


class Adadelta(TorchStepper, torch.optim.Adadelta):
    """`torch.optim.Adadelta`."""

    state_keys: ClassVar[Mapping[str, str]] = {"s": "square_avg", "u": "acc_delta"}

    @staticmethod
    def base(group: Group) -> str:
        return "adadelta"


class Adam(TorchStepper, torch.optim.Adam):
    """`torch.optim.Adam`, also with AMSGrad and with decoupled decay."""

    hyper: ClassVar[Mapping[str, Key]] = BETAS
    state_keys: ClassVar[Mapping[str, str]] = {**MOMENTS, "w": "max_exp_avg_sq"}

    @staticmethod
    def base(group: Group) -> str:
        return "amsgrad" if group["amsgrad"] else "adam"


class AdamW(Adam, torch.optim.AdamW):
    """`torch.optim.AdamW`: Adam with decoupled weight decay."""


class NAdam(TorchStepper, torch.optim.NAdam):
    """`torch.optim.NAdam`."""

    hyper: ClassVar[Mapping[str, Key]] = BETAS
    state_keys: ClassVar[Mapping[str, str]] = {**MOMENTS, "product": "mu_product"}

    @staticmethod
    def base(group: Group) -> str:
        return "nadam"


class RAdam(TorchStepper, torch.optim.RAdam):
    """`torch.optim.RAdam`."""

    hyper: ClassVar[Mapping[str, Key]] = BETAS
    state_keys: ClassVar[Mapping[str, str]] = MOMENTS

    @staticmethod
    def base(group: Group) -> str:
        return "radam"


class Adamax(TorchStepper, torch.optim.Adamax):
    """`torch.optim.Adamax`."""

    hyper: ClassVar[Mapping[str, Key]] = BETAS
    state_keys: ClassVar[Mapping[str, str]] = {"m": "exp_avg", "u": "exp_inf"}

    @staticmethod
    def base(group: Group) -> str:
        return "adamax"


class Lion(TorchStepper):
    """Lion (Chen et al. 2023, arXiv:2302.06675), which torch does not have: the names are its paper's and Adam's.

    Every coordinate moves by ±lr; weight decay is decoupled. Raises ValueError for a negative lr or weight_decay, or
    betas outside [0, 1).
    """

    hyper: ClassVar[Mapping[str, Key]] = BETAS
    state_keys: ClassVar[Mapping[str, str]] = {"m": "exp_avg"}

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **guards: Any,
    ) -> None:
        rule("lion").check({"lr": float(lr), "beta1": betas[0], "beta2": betas[1]})
        if not weight_decay >= 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, {**defaults, "decoupled_weight_decay": True}, **guards)

    @staticmethod
    def base(group: Group) -> str:
        return "lion"
