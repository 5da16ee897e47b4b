"""How a tensor lies in memory."""

from __future__ import annotations

from torch import Tensor


def is_dense(p: Tensor) -> bool:
    """Whether the elements fill their memory without gap or overlap, in whatever order (channels_last does)."""
    expected = 1
    for stride, size in sorted((stride, size) for stride, size in zip(p.stride(), p.shape, strict=True) if size != 1):
        if stride != expected:
            return False
        expected *= size
    return True
