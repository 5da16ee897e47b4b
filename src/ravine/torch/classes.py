"""torch.optim's classes, stepped by rules.

Each inherits its constructor, options, checks and checkpoint handling from torch's class of the same name. What the
options mean, and what torch calls things, is read from the dialect, `ravine.dialects.torch`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property, lru_cache
from operator import itemgetter
from typing import Any, ClassVar

import torch

from ravine.dialects import torch as dialect
from ravine.dialects.table import Form, Table, place
from ravine.errors import MissingPackageError, install
from ravine.registry import rule
from ravine.torch.gpu_plan import GpuPlan
from ravine.torch.method import Key, Method, method
from ravine.torch.plan import Plan
from ravine.torch.stepper import Stepper

if not hasattr(torch.optim, "Muon"):
    raise MissingPackageError(
        f"ravine.torch needs torch 2.9 or newer, and this is {torch.__version__}: {install('torch')}", name="torch"
    )


class TorchStepper(Stepper):
    """A class of torch.optim whose options choose a rule, and whose names are others than the rule's."""

    table: ClassVar[Table]

    def _method(self, group: Mapping[str, Any]) -> Method:
        return self._chosen(self._values(group))

    @property
    def _options(self) -> tuple[str, ...]:
        """The options that choose the rule. Another key of a group, though of such a name, is the user's own."""
        return tuple(n for n in self.table.options if n in self.defaults)

    @cached_property
    def _values(self) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
        if len(self._options) > 1:
            return itemgetter(*self._options)
        (name,) = self._options
        return lambda group: (group[name],)

    @cached_property
    def _chosen(self) -> Callable[[tuple[Any, ...]], Method]:
        return chooser(self.table, self._options)

    def _complete_groups(self) -> None:
        for group in self.param_groups:
            for name in self._options:
                group.setdefault(name, self.defaults[name])


@cache
def chooser(table: Table, options: tuple[str, ...]) -> Callable[[tuple[Any, ...]], Method]:
    """A function from the options' values to the method that they choose."""

    @lru_cache(maxsize=1024)  # asked at every step; a schedule may give an option ever new values
    def chosen(values: tuple[Any, ...]) -> Method:
        arguments = dict(zip(options, values, strict=True))
        form = table.form(arguments)
        name, names = table.choose(arguments)
        start = {slot: arguments[v] if isinstance(v, str) else v for slot, v in form.start.items()}
        return _made(form, name, tuple(names.items()), tuple(start.items()))

    return chosen


@cache  # so that a rule is one method, whatever the values that chose it
def _made(form: Form, name: str, names: tuple[tuple[str, str], ...], start: tuple[tuple[str, float], ...]) -> Method:
    return method(
        rule(name),
        hyper={n: _key(argument) for n, argument in names},
        state=form.state,
        start=dict(start),
        step=form.state.get("t"),
        counts_like_torch=True,
    )


def _key(argument: str) -> Key:
    name, index = place(argument)
    return name if index is None else (name, index)


class SGD(TorchStepper, torch.optim.SGD):
    """`torch.optim.SGD`: gradient descent, with momentum, dampening or Nesterov momentum."""

    table = Table((dialect.SGD_DAMPENED, *dialect.SGD.forms), dialect.SGD.wraps)


class RMSprop(TorchStepper, torch.optim.RMSprop):
    """`torch.optim.RMSprop`: ε outside the root; plain, centred, with momentum."""

    table = dialect.RMSprop


class Adagrad(TorchStepper, torch.optim.Adagrad):
    """`torch.optim.Adagrad`."""

    table = dialect.Adagrad


class Adadelta(TorchStepper, torch.optim.Adadelta):
    """`torch.optim.Adadelta`."""

    table = dialect.Adadelta


class Adam(TorchStepper, torch.optim.Adam):
    """`torch.optim.Adam`, also with AMSGrad and with decoupled decay."""

    table = dialect.Adam


class AdamW(Adam, torch.optim.AdamW):
    """`torch.optim.AdamW`: Adam with decoupled weight decay."""

    table = dialect.AdamW


class NAdam(TorchStepper, torch.optim.NAdam):
    """`torch.optim.NAdam`."""

    table = dialect.NAdam


class RAdam(TorchStepper, torch.optim.RAdam):
    """`torch.optim.RAdam`."""

    table = dialect.RAdam


class Adamax(TorchStepper, torch.optim.Adamax):
    """`torch.optim.Adamax`."""

    table = dialect.Adamax


class Rprop(TorchStepper, torch.optim.Rprop):
    """`torch.optim.Rprop`."""

    table = dialect.Rprop


class ASGD(TorchStepper, torch.optim.ASGD):
    """`torch.optim.ASGD`; the average is `state[p]["ax"]`."""

    table = dialect.ASGD


class Muon(TorchStepper, torch.optim.Muon):
    """`torch.optim.Muon`: for matrices alone. Products are in the parameter's compute type; torch's in bfloat16. An
    `adjust_lr_fn` that no rule follows ("spectral_unclamped") is left to torch's own class.
    """

    table = dialect.Muon

    def _method(self, group: Mapping[str, Any]) -> Method:
        found = super()._method(group)
        return found if group["adjust_lr_fn"] in dialect.MUON_LENGTHS else found.left_to_torch

    def _plan(self, number: int, method: Method, params: list[torch.Tensor], *args: Any) -> Plan | GpuPlan:
        if any(p.is_complex() for p in params):
            self._step_elsewhere(self.param_groups[number], is_divided=False)  # torch's class raises its own error
        return super()._plan(number, method, params, *args)


class Lion(TorchStepper):
    """Lion (Chen et al. 2023, arXiv:2302.06675), which torch does not have: the names are its paper's and Adam's.

    Every coordinate moves by ±lr; weight decay is decoupled. Raises ValueError for a negative lr or weight_decay, or
    betas outside [0, 1).
    """

    table = Table(
        (Form("lion", {n: dialect.ADAM[n] for n in ("lr", "beta1", "beta2")}, state={"t": "step", "m": "exp_avg"}),),
        dialect.WRAPS,
    )

    def __init__(
        self,
        params: Iterable[Any],
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
