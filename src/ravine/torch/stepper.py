"""`step()` for every optimizer of `ravine.torch`: the fused engine where it can, the eager one elsewhere."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo
from torch.compiler import is_dynamo_compiling

from ravine.registry import rules
from ravine.torch import accelerator, checkpoint, delegate, gpu_plan, guards, hooks, rounding
from ravine.torch.gpu_plan import GpuPlan, Scaler
from ravine.torch.method import Method
from ravine.torch.ordered import in_order
from ravine.torch.plan import Plan
from ravine.torch.states import counts_type
from ravine.watched import is_watched

# What making an optimizer and its first step need: an import in there garbles the stacks of a torch.profiler.
rules()
for _name in ("llvmlite.binding", "platformdirs"):
    importlib.import_module(_name)


class Stepper(torch.optim.Optimizer):
    """An optimizer that steps by rules. A subclass says which: `_method(group)`.

    Every constructor takes, beyond torch's options, `on_nonfinite`: what to do when a gradient holds NaN or infinity:
    "propagate" it (the default, as torch), "skip" the step, or raise FloatingPointError ("error"); `rounding`: how
    bfloat16 parameters are rounded: to the "nearest" (the default, as torch), "stochastic", or with the next eight bits
    kept in the state ("remainder"); `state`: in how many bits the state is, "float32", "bfloat16" or "int8" (by default
    in the parameter's type, as torch); `state_rounding`: how narrow state is rounded, "stochastic" (the default) or to
    the "nearest", which freezes slow averages; `rounding_seed`, for all that is left to chance; `products`: in what
    matrices are multiplied, by a rule that does: "float32" (the default; the parameter's own type if that is float64)
    or "bfloat16", as torch.optim.Muon does it; and `clip_global_norm`: the norm to which all gradients together are
    clipped in place before the step.
    """

    _plans: Mapping[int, Plan | GpuPlan] = {}  # by the group's number; made anew in every copy and process
    _is_settled = False  # whether the step that made the plans has come to its end
    _loaded: dict[str, Any] | None = None  # the state dict that is being loaded
    _unfinished: Mapping[int, Tensor] = {}  # state that was made in a step which has not come to its end

    def __init__(
        self,
        params: Any,
        *args: Any,
        on_nonfinite: str = "propagate",
        rounding: str = "nearest",
        rounding_seed: int = 0,
        state: str | None = None,
        state_rounding: str = "stochastic",
        products: str = "float32",
        clip_global_norm: float | None = None,
        **kwargs: Any,
    ) -> None:
        asked = guards.options(on_nonfinite, rounding, rounding_seed, state, state_rounding, products, clip_global_norm)
        guards.complete(dict(asked))
        super().__init__(in_order(params), *args, **kwargs)
        self.defaults.update(asked)
        for group in self.param_groups:
            for key, value in asked.items():
                group.setdefault(key, value)
            guards.complete(group)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if signature := guards.signature(cls):
            cls.__signature__ = signature  # type: ignore[attr-defined]

    @staticmethod
    def profile_hook_step(func: Callable[..., Any]) -> Callable[..., Any]:
        """What torch puts around the step of every class."""
        return hooks.hooked(func)

    def _method(self, group: Mapping[str, Any]) -> Method:
        raise NotImplementedError

    def _stored(self, group: Mapping[str, Any]) -> Method:
        """The method, with its state and its products in as many bits as the group asks for."""
        method = self._method(group)
        if "products" in group:
            method = method.multiplied_in(group["products"])
        return method.stored_as(group["state"]) if "state" in group else method

    @property
    def skipped_steps(self) -> int:
        """How many steps `on_nonfinite="skip"` has left out."""
        return max((group.get("skipped_steps", 0) for group in self.param_groups), default=0)

    def step(self, closure: Any = None) -> Any:
        """One step of every parameter that has a gradient. `closure`, if given, computes the loss that is returned."""
        if is_dynamo_compiling():  # torch.compile has nothing to add to a kernel, and can't trace one
            return _step_uncompiled(self, closure)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        scale: float | Tensor | None = None
        found: Tensor | None = None
        own = self.__dict__  # torch.amp.GradScaler sets both around a step
        is_held_up = "grad_scale" in own or "found_inf" in own
        for group in self.param_groups:
            if "on_nonfinite" in group or "clip_global_norm" in group:
                is_held_up = True
        if is_held_up:
            is_allowed, scale, found = guards.look(self)
            if not is_allowed:
                return loss
        is_scaled = scale is not None
        state = self.state
        is_seen = is_watched()
        is_settled = not is_seen and self._is_settled
        for number, group in enumerate(self.param_groups):
            params: list[Tensor] = group["params"]
            method = self._stored(group)
            how = rounding.asked(group, method)
            plan = self._plans.get(number) if is_settled else None
            if plan is not None and not plan.is_for(method, is_scaled, how):
                plan = None
            if type(plan) is Plan and plan.advance(params, state, method.values(group)):
                continue
            grads: list[Any] = [g for p in params if (g := p.grad) is not None]
            if not grads:
                continue
            all_params = params
            if len(grads) != len(params):
                params = [p for p in params if p.grad is not None]
            if plan is None or not plan.is_current(params, grads, state):
                self._is_settled = False
                is_traced = is_seen and delegate.is_traced(self, method)
                is_plain = how == rounding.NEAREST and method.state is None
                is_elsewhere = method.is_torchs or delegate.is_needed(group, params)
                if is_elsewhere or is_traced or (is_plain and delegate.falls_back(self, params)):
                    self._step_elsewhere(group, is_divided=guards.are_asked_for(self.param_groups))
                    continue
                plan = self._plan(number, method, params, is_scaled, how, is_seen)
            elif type(plan) is Plan:
                plan.learn(all_params, state)
            if how.is_seeded:
                plan.draw_seeds(group, params)
            if isinstance(plan, GpuPlan):
                plan.step(group, params, Scaler(scale, found))
                continue
            if scale is not None:
                plan.unscale(float(scale), grads)
            hyper, threads = method.values(group), torch.get_num_threads()
            for _, bucket in plan.buckets:
                bucket.step(hyper, threads)
            plan.finish(params, hyper)
        if not self._is_settled:
            self._unfinished = {}
            self._is_settled = not is_seen
        return loss

    def _step_elsewhere(self, group: dict[str, Any], *, is_divided: bool) -> None:
        """Step a group that the engines have no part in (`delegate.is_needed`)."""
        if self._stored(group).is_narrow or group.get("rounding") == rounding.REMAINDER:
            raise RuntimeError(
                "sparse gradients, differentiable=True, captured graphs and options that no rule follows are stepped "
                "by torch, which knows no narrow state and no remainder: leave state= and rounding= out"
            )
        delegate.step(self, group, is_divided=is_divided)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group. Raises as torch does, and ValueError or TypeError for an illegal guard."""
        if isinstance(param_group, dict):
            guards.complete({**self.defaults, **param_group})
        super().add_param_group(param_group)
        guards.complete(self.param_groups[-1])

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._complete_groups()
        self._plans, self._is_settled, self._unfinished = {}, False, {}
        if self._loaded is not None:
            checkpoint.restore(self, self._loaded)

    def _complete_groups(self) -> None:
        """Give groups what they lack: a checkpoint or a pickle can be older than an option."""

    def state_dict(self) -> dict[str, Any]:
        """What torch's class would give; where a group has no parameters, another one carries its values too."""
        return checkpoint.with_empty_groups(checkpoint.with_whole_state(super().state_dict()))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict()` of this class or of torch's gave. The tensors are copied and keep their types."""
        checkpoint.load(self, super().load_state_dict, state_dict)

    def _plan(
        self, number: int, method: Method, params: list[Tensor], is_scaled: bool, how: rounding.How, is_seen: bool
    ) -> Plan | GpuPlan:
        """One for these parameters of a group, which have gradients, and for those that its last plan was for."""
        group = self.param_groups[number]
        before = self._plans.get(number)
        is_on_gpu = any(map(accelerator.is_on, params))
        idle: dict[int, Tensor] = {}
        if type(before) is Plan and before.is_for(method, before.is_scaled, how) and not is_seen and not is_on_gpu:
            idle = before.idle(group["params"], self.state)
            if idle:
                params = [p for p in group["params"] if p.grad is not None or id(p) in idle]
        keeps_state = method.keeps_state or how.parameter == rounding.REMAINDER
        states = [self.state[p] if keeps_state else {} for p in params]
        self._unfinished = unfinished = dict(self._unfinished)
        counts = counts_type(is_fused=bool(group.get("fused")))
        asked = {"is_scaled": is_scaled, "is_seen": is_seen}
        plan: Plan | GpuPlan
        if is_on_gpu:
            plan = gpu_plan.plan(group, method, params, states, counts, unfinished, how=how, **asked)
        else:
            plan = Plan(method, params, states, counts, unfinished, how=how, **asked, idle=idle)
        self._plans = {**self._plans, number: plan}
        return plan


@_disable_dynamo
def _step_uncompiled(optimizer: Stepper, closure: Any) -> Any:
    return Stepper.step(optimizer, closure)
