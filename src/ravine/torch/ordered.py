"""A set of parameters has another order in each run: torch warns of it since 2.15, and so does Ravine, at the line of
the caller. torch's own warning names a line inside torch."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import torch

WARNING = (
    "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets will change "
    "between runs. Please use a list instead. This will be an error in a future release."
)
"""torch's words."""

IS_TOLD = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 15)
"""Whether this torch warns."""

HERE = str(Path(__file__).parent)


def in_order(params: Any) -> Any:
    """Parameters as a constructor was given them; a set as a list, after the warning, where torch warns of one."""
    if not (IS_TOLD and isinstance(params, set)):
        return params
    level, frame = 2, sys._getframe(1)
    while frame.f_code.co_filename.startswith(HERE) and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    warnings.warn(WARNING, FutureWarning, stacklevel=level)
    return list(params)
