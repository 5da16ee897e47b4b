"""Whether tensors are still what a table of addresses took them for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch._C import _dispatch_keys as dispatch_keys


class Likeness:
    """The kinds, types, shapes, strides and flags of some tensors; it keeps none of them alive.

    Flags are those that say to read the memory otherwise: conjugated, negated.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._known = list(map(look, tensors))
        self._check = by_torch(tensors)

    def holds(self, tensors: Sequence[Any]) -> bool:
        """Whether as many tensors are what these were. Raises what a look at something else raises."""
        if self._check is not None:
            return self._check(*tensors)
        return list(map(look, tensors)) == self._known

    def holds_of(self, numbers: Sequence[int], tensors: Sequence[Any]) -> bool:
        """The same for some of them: half a microsecond a tensor."""
        return list(map(look, tensors)) == [self._known[k] for k in numbers]


def by_torch(tensors: Sequence[Tensor]) -> Callable[..., bool] | None:
    """torch's own check of all in one call, 40 ns a tensor; None where a version of torch has none."""
    try:
        from torch._C._dynamo.guards import TensorGuards

        check: Callable[..., bool] = TensorGuards(*tensors, dynamic_dims_sizes=None, dynamic_dims_strides=None).check
    except (ImportError, TypeError, ValueError):  # it is not promised to stay
        return None
    return check


def look(t: Any) -> tuple[Any, ...]:
    """What must be the same of a tensor. Raises AttributeError or RuntimeError for what is none, or has no strides."""
    return type(t), t.device, t.dtype, t.layout, t.shape, t.stride(), dispatch_keys(t).raw_repr()
