"""Vectors where a rule multiplies matrices."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ravine.rule import Rule


def refuse_vectors(rule: Rule, groups: list[dict[str, Any]]) -> None:
    """Raise ValueError where the last group of an optimizer has a vector and its rule multiplies matrices; then the
    group goes."""
    if rule.graph.multiplies:
        group = groups[-1]
        names = group.get("param_names") or [f"parameter {k}" for k in range(len(group["params"]))]
        try:
            for name, p in zip(names, group["params"], strict=True):
                refuse_vector(rule, name, p)
        except ValueError:
            del groups[-1]
            raise


def refuse_vector(rule: Rule, name: str, tensor: Tensor) -> None:
    """Raise ValueError where a rule that multiplies matrices is to step a vector, saying what to do instead."""
    if tensor.ndim < 2 and rule.graph.multiplies:
        raise ValueError(
            f"{rule.name} works on matrices, and {name} of shape {tuple(tensor.shape)} is none: give gains and biases "
            f"another rule, as in ravine.recipes(hidden=recipe({rule.name!r}), rest=recipe('adamw')).torch(model)"
        )
