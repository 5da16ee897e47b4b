"""State in live objects: torch optimizers and their state dicts, optax state trees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ravine.convert.names import Tensors, join
from ravine.errors import unknown

OPTIONS = frozenset(
    (
        *("lr", "betas", "eps", "weight_decay", "amsgrad", "momentum", "dampening", "nesterov", "alpha", "centered"),
        *("rho", "lr_decay", "momentum_decay", "decoupled_weight_decay", "initial_accumulator_value", "maximize"),
    )
)
"""The keys of a parameter group that say what is computed."""


def load_torch(path: Path) -> tuple[Tensors, str]:
    """The tensors of a state dict that torch saved, and the optimizer's call. Only tensors are unpickled."""
    import pickle

    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # its text tells the reader to load the file unsafely
        raise ValueError(f"{path} is damaged, or holds more than tensors and plain values") from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {str(error).partition('.')[0] or type(error).__name__}") from error
    return from_torch(found)


def from_torch(state_dict: Any) -> tuple[Tensors, str]:
    """The tensors of a torch optimizer's state dict by name, and its call, read off its options."""
    if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= state_dict.keys():
        raise ValueError("not an optimizer's state dict: it needs 'state' and 'param_groups'")
    groups, state = state_dict["param_groups"], state_dict["state"]
    options = [{n: v for n, v in g.items() if n in OPTIONS} for g in groups]
    if any(o != options[0] for o in options[1:]):
        raise ValueError("the parameter groups have different options: convert them one by one")
    tensors: Tensors = {}
    for group in groups:
        names = group.get("param_names", group["params"])
        for index, name in zip(group["params"], names, strict=True):
            for key, value in state.get(index, {}).items():
                if value is not None:
                    tensors[join("torch", str(name), key)] = _array(value, f"{name}.{key}")
    return tensors, _call(options[0], {name.rpartition(".")[2] for name in tensors})


def into_torch(tensors: Tensors, state_dict: dict[str, Any]) -> dict[str, Any]:
    """A state dict like the given one (of the optimizer that is to go on) with these tensors for its state.

    Raises ValueError for a parameter that is unknown or missing.
    """
    import torch

    state: dict[int, dict[str, Any]] = {}
    places = {
        str(name): index
        for group in state_dict["param_groups"]
        for index, name in zip(group["params"], group.get("param_names", group["params"]), strict=True)
    }
    for name, value in tensors.items():
        param, _, key = name.rpartition(".")
        if param not in places:
            raise unknown("parameter", param, places)
        state.setdefault(places[param], {})[key] = torch.from_numpy(np.array(value))
    if missing := [name for name, index in places.items() if index not in state]:
        raise ValueError(f"there is no state for parameter {missing[0]!r}")
    return {**state_dict, "state": state}


def from_optax(state: Any) -> Tensors:
    """The arrays of an optax state by their paths, such as "0.mu.weight"."""
    import jax

    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="."): np.array(leaf) for path, leaf in leaves}


def into_optax(tensors: Tensors, like: Any) -> Any:
    """An optax state like the given one (of `tx.init(params)`) with these arrays; other steps' counts are kept.

    Raises ValueError for an array that is missing, left over, or of another shape.
    """
    import jax
    import jax.numpy as jnp

    left = dict(tensors)

    def fill(path: Any, leaf: Any) -> Any:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if name not in left:
            if name.endswith("count"):
                return leaf
            raise ValueError(f"{name!r} is missing")
        value = left.pop(name)
        if value.shape != leaf.shape:
            raise ValueError(f"{name!r} has shape {value.shape}, but the state has {leaf.shape}")
        return jnp.asarray(value, leaf.dtype)

    result = jax.tree_util.tree_map_with_path(fill, like)
    if left:
        raise ValueError(f"the state has no place for {next(iter(left))!r}")
    return result


def _array(value: Any, name: str) -> np.ndarray:
    import torch

    if not isinstance(value, torch.Tensor):
        return np.asarray(value, np.float32)
    if value.dtype == torch.bfloat16:
        raise ValueError(
            f"{name} is bfloat16, which the other frameworks' files can't hold: convert it to float32 first"
        )
    return value.detach().cpu().numpy().copy()  # a copy: the optimizer goes on writing to its own


def _call(options: dict[str, Any], keys: set[str]) -> str:
    """The torch optimizer that has these options and state."""
    if {"alpha", "centered"} <= options.keys():
        name = "RMSprop"
    elif "dampening" in options:
        name = "SGD"
    elif "lr_decay" in options:
        name = "Adagrad"
    elif "rho" in options:
        name = "Adadelta"
    elif "momentum_decay" in options:
        name = "NAdam"
    elif "amsgrad" in options:
        name = "AdamW" if options.get("decoupled_weight_decay") else "Adam"
    elif {"betas", "weight_decay"} <= options.keys():
        name = "Adamax" if "exp_inf" in keys else "RAdam"
    else:
        raise ValueError(f"no optimizer of this dialect has these options: {', '.join(options) or 'none'}")
    options = {n: v for n, v in options.items() if (name, n) != ("AdamW", "decoupled_weight_decay")}
    numbers = {n: v.item() if hasattr(v, "item") else v for n, v in options.items()}
    return f"torch.{name}({', '.join(f'{n}={v!r}' for n, v in numbers.items())})"
