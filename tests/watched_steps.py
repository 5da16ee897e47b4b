"""A dispatch mode for tests: what it watches is stepped by the eager engine."""

from __future__ import annotations

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class Watched(TorchDispatchMode):
    """Under which torch's operations step everything, one by one."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))
