"""Products of matrices between the stages of the fused engine, by torch on its CPU threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ravine.engines import products
from ravine.engines.fused.staged import Multiply
from ravine.engines.stages import Cut
from ravine.trace.graph import Node


class _Torch:
    """torch's products, in the type of the arrays or in bfloat16; of one matrix `mm`, faster than a stack of one."""

    def __init__(self, dtype: torch.dtype | None = None) -> None:
        self.dtype = dtype
        self.is_exact = dtype is None
        self._squares: dict[int, Tensor] = {}

    def operand(self, a: Tensor) -> Tensor:
        return a if self.dtype is None else a.to(self.dtype)

    def copy(self, a: Tensor) -> Tensor:
        return a.to(self.dtype or a.dtype, copy=True)

    def product(self, a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
        if a.shape[0] > 1:
            return torch.bmm(a, b, out=out)
        return torch.mm(a[0], b[0], out=None if out is None else out[0]).unsqueeze(0)

    def update(self, c: Tensor, a: Tensor, b: Tensor, beta: float, alpha: float, out: Tensor | None = None) -> Tensor:
        if a.shape[0] > 1:
            return torch.baddbmm(c, a, b, beta=beta, alpha=alpha, out=out)
        into = None if out is None else out[0]
        return torch.addmm(c[0], a[0], b[0], beta=beta, alpha=alpha, out=into).unsqueeze(0)

    def square(self, like: Tensor, place: int) -> Tensor:
        count, rows = like.shape[:2]
        found = self._squares.get(place)
        if found is None or found.numel() < count * rows * rows or found.dtype != like.dtype:
            found = self._squares[place] = torch.empty(count * rows * rows, dtype=like.dtype)
        return found[: count * rows * rows].view(count, rows, rows)

    def add_to_diagonal(self, a: Tensor, value: float) -> None:
        a.diagonal(dim1=-2, dim2=-1).add_(value)


def multiplier(kind: str) -> Multiply:
    """What computes products in "float32", which means the type of the arrays, or in "bfloat16".

    It keeps memory for what lies between, so whoever steps at the same time has one of their own.
    """
    library = _Torch(torch.bfloat16 if kind == "bfloat16" else None)

    def multiply(made: Cut, nodes: Sequence[Node], arrays: Mapping[Node, Any], values: Mapping[Node, float]) -> None:
        with torch.no_grad():
            products.multiply(library, made, nodes, {n: torch.from_numpy(a) for n, a in arrays.items()}, values)

    return multiply
