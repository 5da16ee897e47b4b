# Written by `make docs` from the classes' signatures. Do not edit.
from collections.abc import Iterable
from typing import Any, Literal

import torch

from ravine.recipe import Recipe
from ravine.rule import Rule
from ravine.torch.modes import ModesOptimizer, ModesSetOptimizer
from ravine.torch.narrow import float32_parameters, float32_state, set_float32_parameters
from ravine.torch.roles import Roles, roles
from ravine.torch.sets import SetOptimizer
from ravine.torch.stepper import Stepper

__all__ = [
    "ASGD",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "ModesOptimizer",
    "ModesSetOptimizer",
    "Muon",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Roles",
    "Rprop",
    "RuleOptimizer",
    "SetOptimizer",
    "SparseAdam",
    "float32_parameters",
    "float32_state",
    "from_recipe",
    "roles",
    "set_float32_parameters",
]

class RuleOptimizer(Stepper):
    def __init__(
        self,
        params: Iterable[Any],
        recipe: Recipe,
        state_dtype: torch.dtype | None = None,
        *,
        capturable: bool = False,
        on_nonfinite: Literal["propagate", "skip", "error"] = "propagate",
        rounding: Literal["nearest", "stochastic", "remainder"] = "nearest",
        rounding_seed: int = 0,
        state: Literal["float32", "bfloat16", "int8"] | None = None,
        state_rounding: Literal["stochastic", "nearest"] = "stochastic",
        products: Literal["float32", "bfloat16"] = "float32",
        clip_global_norm: float | None = None,
    ) -> None: ...
    @property
    def recipe(self) -> Recipe: ...
    @recipe.setter
    def recipe(self, recipe: Recipe) -> None: ...

class Lion(Stepper):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float | torch.Tensor = 0.0001,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        on_nonfinite: Literal["propagate", "skip", "error"] = "propagate",
        rounding: Literal["nearest", "stochastic", "remainder"] = "nearest",
        rounding_seed: int = 0,
        state: Literal["float32", "bfloat16", "int8"] | None = None,
        state_rounding: Literal["stochastic", "nearest"] = "stochastic",
        products: Literal["float32", "bfloat16"] = "float32",
        clip_global_norm: float | None = None,
    ) -> None: ...

class ASGD(Stepper, torch.optim.ASGD):
    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, torch.Tensor]],
        lr: float | torch.Tensor = 0.01,
        lambd: float = 0.0001,
        alpha: float = 0.75,
        t0: float = 1000000.0,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        *,
        on_nonfinite: Literal["propagate", "skip", "error"] = "propagate",
        rounding: Literal["nearest", "stochastic", "remainder"] = "nearest",
        rounding_seed: int = 0,
        state: Literal["float32", "bfloat16", "int8"] | None = None,
        state_rounding: Literal["stochastic", "nearest"] = "stochastic",
        products: Literal["float32", "bfloat16"] = "float32",
        clip_global_norm: float | None = None,
    ) -> None: ...

class Adadelta(Stepper, torch.optim.Adadelta):
    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, torch.Tensor]],
        lr: float | torch.Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-06,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
        on_nonfinite: Literal["propagate", "skip", "error"] = "propagate",
        rounding: Literal["nearest", "stochastic", "remainder"] = "nearest",
        rounding_seed: int = 0,
        state: Literal["float32", "bfloat16", "int8"] | None = None,
        state_rounding: Literal["stochastic", "nearest"] = "stochastic",
        products: Literal["float32", "bfloat16"] = "float32",
        clip_global_norm: float | None = None,
    ) -> None: ...

class Adafactor(Stepper, torch.optim.Adafactor):
    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, torch.Tensor]],
        lr: float | torch.Tensor = 0.01,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 0.001),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        on_nonfinite: Literal["propagate", "skip", "error"] = "propagate",
        rounding: Literal["nearest", "stochastic", "remainder"] = "nearest",
        rounding_seed: int = 0,
        state: Literal["float32", "bfloat16", "int8"] | None = None,
        state_rounding: Literal["stochastic", "nearest"] = "stochastic",
        products: Literal["float32", "bfloat16"] = "float32",
        clip_global_norm: float | None = None,
    ) -> None: ...

class Adagrad(Stepper, torch.optim.Adagrad):
    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, torch.Tensor]],
        lr: float | torch.Tensor = 0.01,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        on_nonfinite: Literal["propagate", "skip", "error"] = "propagate",
        rounding: Literal["nearest", "stochastic", "remainder"] = "nearest",
        rounding_seed: int = 0,
        state: Literal["float32", "bfloat16", "int8"] | None = None,
        state_rounding: Literal["stochastic", "nearest"] = "stochastic",
        products: Literal["float32", "bfloat16"] = "float32",
        clip_global_norm: float | None = None,
    ) -> None: ...

class Adam(Stepper, torch.optim.Adam):
    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, torch.Tensor]],
        lr: float | torch.Tensor = 0.001,
        betas: tuple[float | torch.Tensor, float | torch.Tensor] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        on_nonfinite: Literal["propagate", "skip", "error"] = "propagate",
        rounding: Literal["nearest", "stochastic", "remainder"] = "nearest",
        rounding_seed: int = 0,
        state: Literal["float32", "bfloat16", "int8"] | None = None,
        state_rounding: Literal["stochastic", "nearest"] = "stochastic",
        products: Literal["float32", "bfloat16"] = "float32",
        clip_global_norm: float | None = None,
    ) -> None: ...

class Adamax(Stepper, torch.optim.Adamax):
    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, torch.Tensor]],
        lr: float | torch.Tensor = 0.002,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        on_nonfinite: Literal["propagate", "skip", "error"] = "propagate",
        rounding: Literal["nearest", "stochastic", "remainder"] = "nearest",
        rounding_seed: int = 0,
        state: Literal["float32", "bfloat16", "int8"] | None = None,
        state_rounding: Literal["stochastic", "nearest"] = "stochastic",
        products: Literal["float32", "bfloat16"] = "float32",
        clip_global_norm: float | None = None,
    ) -> None: ...

class Muon(Stepper, torch.optim.Muon):
    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, torch.Tensor]],
        lr: float = 0.001,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-07,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        on_nonfinite: Literal["propagate", "skip", "error"] = "propagate",
        rounding: Literal["nearest", "stochastic", "remainder"] = "nearest",
        rounding_seed: int = 0,
        state: Literal["float32", "bfloat16", "int8"] | None = None,
        state_rounding: Literal["stochastic", "nearest"] = "stochastic",
        products: Literal["float32", "bfloat16"] = "float32",
        clip_global_norm: float | None = None,
    ) -> None: ...

class NAdam(Stepper, torch.optim.NAdam):
    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, torch.Tensor]],
        lr: float | torch.Tensor = 0.002,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0,
        momentum_decay: float = 0.004,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        on_nonfinite: Literal["propagate", "skip", "error"] = "propagate",
        rounding: Literal["nearest", "stochastic", "remainder"] = "nearest",
        rounding_seed: int = 0,
        state: Literal["float32", "bfloat16", "int8"] | None = None,
        state_rounding: Literal["stochastic", "nearest"] = "stochastic",
        products: Literal["float32", "bfloat16"] = "float32",
        clip_global_norm: float | None = None,
    ) -> None: ...

class RAdam(Stepper, torch.optim.RAdam):
    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, torch.Tensor]],
        lr: float | torch.Tensor = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        on_nonfinite: Literal["propagate", "skip", "error"] = "propagate",
        rounding: Literal["nearest", "stochastic", "remainder"] = "nearest",
        rounding_seed: int = 0,
        state: Literal["float32", "bfloat16", "int8"] | None = None,
        state_rounding: Literal["stochastic", "nearest"] = "stochastic",
        products: Literal["float32", "bfloat16"] = "float32",
        clip_global_norm: float | None = None,
    ) -> None: ...

class RMSprop(Stepper, torch.optim.RMSprop):
    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, torch.Tensor]],
        lr: float | torch.Tensor = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-08,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        *,
        on_nonfinite: Literal["propagate", "skip", "error"] = "propagate",
        rounding: Literal["nearest", "stochastic", "remainder"] = "nearest",
        rounding_seed: int = 0,
        state: Literal["float32", "bfloat16", "int8"] | None = None,
        state_rounding: Literal["stochastic", "nearest"] = "stochastic",
        products: Literal["float32", "bfloat16"] = "float32",
        clip_global_norm: float | None = None,
    ) -> None: ...

class Rprop(Stepper, torch.optim.Rprop):
    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, torch.Tensor]],
        lr: float | torch.Tensor = 0.01,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-06, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        on_nonfinite: Literal["propagate", "skip", "error"] = "propagate",
        rounding: Literal["nearest", "stochastic", "remainder"] = "nearest",
        rounding_seed: int = 0,
        state: Literal["float32", "bfloat16", "int8"] | None = None,
        state_rounding: Literal["stochastic", "nearest"] = "stochastic",
        products: Literal["float32", "bfloat16"] = "float32",
        clip_global_norm: float | None = None,
    ) -> None: ...

class SGD(Stepper, torch.optim.SGD):
    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, torch.Tensor]],
        lr: float | torch.Tensor = 0.001,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | torch.Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        on_nonfinite: Literal["propagate", "skip", "error"] = "propagate",
        rounding: Literal["nearest", "stochastic", "remainder"] = "nearest",
        rounding_seed: int = 0,
        state: Literal["float32", "bfloat16", "int8"] | None = None,
        state_rounding: Literal["stochastic", "nearest"] = "stochastic",
        products: Literal["float32", "bfloat16"] = "float32",
        clip_global_norm: float | None = None,
    ) -> None: ...

class SparseAdam(Stepper, torch.optim.SparseAdam):
    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, torch.Tensor]],
        lr: float | torch.Tensor = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        maximize: bool = False,
        *,
        on_nonfinite: Literal["propagate", "skip", "error"] = "propagate",
        rounding: Literal["nearest", "stochastic", "remainder"] = "nearest",
        rounding_seed: int = 0,
        state: Literal["float32", "bfloat16", "int8"] | None = None,
        state_rounding: Literal["stochastic", "nearest"] = "stochastic",
        products: Literal["float32", "bfloat16"] = "float32",
        clip_global_norm: float | None = None,
    ) -> None: ...

class AdamW(Adam, torch.optim.AdamW):
    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, torch.Tensor]],
        lr: float | torch.Tensor = 0.001,
        betas: tuple[float | torch.Tensor, float | torch.Tensor] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        on_nonfinite: Literal["propagate", "skip", "error"] = "propagate",
        rounding: Literal["nearest", "stochastic", "remainder"] = "nearest",
        rounding_seed: int = 0,
        state: Literal["float32", "bfloat16", "int8"] | None = None,
        state_rounding: Literal["stochastic", "nearest"] = "stochastic",
        products: Literal["float32", "bfloat16"] = "float32",
        clip_global_norm: float | None = None,
    ) -> None: ...

def from_recipe(
    params: Iterable[Any],
    recipe_or_rule: Recipe | Rule | str,
    *,
    weight_decay: float | None = None,
    maximize: bool = False,
    state_dtype: torch.dtype | None = None,
    on_nonfinite: Literal["propagate", "skip", "error"] = "propagate",
    rounding: Literal["nearest", "stochastic", "remainder"] = "nearest",
    rounding_seed: int = 0,
    state: Literal["float32", "bfloat16", "int8"] | None = None,
    state_rounding: Literal["stochastic", "nearest"] = "stochastic",
    products: Literal["float32", "bfloat16"] = "float32",
    clip_global_norm: float | None = None,
    capturable: bool = False,
    **hyper: float,
) -> RuleOptimizer: ...
