"""What becomes of the learning rate during a run, as a function of the step."""

from __future__ import annotations

from dataclasses import dataclass

from ravine.errors import unknown

CONSTANT, LINEAR = "constant", "linear"
SHAPES = (CONSTANT, LINEAR)


@dataclass(frozen=True)
class Schedule:
    """`shape` is constant or linear (to zero at the end). Raises ValueError for another one."""

    shape: str = LINEAR

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise unknown("schedule", self.shape, SHAPES)

    def factor(self, step: int, steps: int) -> float:
        """What the learning rate is multiplied by in step `step` of `steps`, counted from 0; 0 or more."""
        return 1.0 if self.shape == CONSTANT else max(0.0, 1 - step / steps)
