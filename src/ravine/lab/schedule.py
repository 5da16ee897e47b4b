"""What becomes of the learning rate during a run, as a function of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ravine.errors import unknown

CONSTANT, LINEAR, COSINE, WSD = "constant", "linear", "cosine", "wsd"
SHAPES = {
    CONSTANT: "stays constant",
    LINEAR: "falls linearly to zero",
    COSINE: "falls to zero along half a cosine",
    WSD: "stays constant, then falls linearly to zero",
}
"""Each shape, and what the rate does after the warm-up."""


@dataclass(frozen=True)
class Schedule:
    """A shape, after a linear warm-up. `warmup` and `cooldown` (of WSD, warm-up – stable – decay: the part at the end
    in which the rate falls) are shares of the steps below 1, and numbers of steps from 1 on.

    Raises ValueError for an unknown shape, or a negative number.
    """

    shape: str = LINEAR
    warmup: float = 0.0
    cooldown: float = 0.2

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise unknown("schedule", self.shape, SHAPES)
        for name in ("warmup", "cooldown"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be a share or a number of steps, at least 0, got {getattr(self, name)}")

    def factor(self, step: int, steps: int) -> float:
        """What the learning rate is multiplied by in step `step` of `steps`, counted from 0; 0 or more.

        With w steps of warm-up the first steps have 1/w, 2/w, … of the rate; no step but one after the last has none.
        """
        warm = min(_in_steps(self.warmup, steps), steps - 1)
        if step < warm:
            return (step + 1) / warm
        share = min(1.0, (step - warm) / (steps - warm))
        if self.shape == LINEAR:
            return 1 - share
        if self.shape == COSINE:
            return 0.5 * (1 + math.cos(math.pi * share))
        if self.shape == WSD:
            falling = max(1, min(_in_steps(self.cooldown, steps), steps - warm))
            return min(1.0, max(0, steps - step) / falling)
        return 1.0

    def __str__(self) -> str:
        parts = [f"warm-up {_told(self.warmup)}"] if self.warmup else []
        parts += [f"decay over the last {_told(self.cooldown)}"] if self.shape == WSD else []
        return f"{self.shape} ({', '.join(parts)})" if parts else self.shape


def _in_steps(value: float, steps: int) -> int:
    return round(value * steps) if value < 1 else round(value)


def _told(value: float) -> str:
    return f"{value:.3g} of the steps" if value < 1 else f"{value:.0f} steps"
