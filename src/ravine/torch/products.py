"""Products of matrices between the stages of the fused engine, by torch on its CPU threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ravine.engines import products
from ravine.engines.stages import Cut
from ravine.trace.graph import Node


class _Torch:
    """torch's products; of one matrix `mm`, which is faster than a stack of one."""

    def product(self, a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
        if len(a) > 1:
            return torch.bmm(a, b, out=out)
        return torch.mm(a[0], b[0], out=None if out is None else out[0]).unsqueeze(0)

    def update(self, c: Tensor, a: Tensor, b: Tensor, beta: float, alpha: float, out: Tensor | None = None) -> Tensor:
        if len(a) > 1:
            return torch.baddbmm(c, a, b, beta=beta, alpha=alpha, out=out)
        into = None if out is None else out[0]
        return torch.addmm(c[0], a[0], b[0], beta=beta, alpha=alpha, out=into).unsqueeze(0)

    def copy(self, a: Tensor) -> Tensor:
        return a.clone()

    def identity(self, like: Tensor, value: float) -> Tensor:
        return value * torch.eye(like.shape[-1], dtype=like.dtype)


def multiply(made: Cut, nodes: Sequence[Node], arrays: Mapping[Node, Any], values: Mapping[Node, float]) -> None:
    """Products as `ravine.engines.products.multiply`, of NumPy arrays in work space."""
    with torch.no_grad():
        products.multiply(_Torch(), made, nodes, {n: torch.from_numpy(a) for n, a in arrays.items()}, values)
