"""Learning rates that change with the number of finished steps, as data: what frameworks' schedules have in common.

A schedule is made of pieces, one after the other. It is called with the number of finished steps, as optax's are, and
comes from a framework's own call: `dialects.schedules.read("optax.cosine_decay_schedule(0.1, 1000)")`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

KINDS = ("constant", "polynomial", "cosine", "cosine waves", "cosine restarts", "exponential", "inverse time")

ROUNDING = 1e-9
"""More than a logarithm's rounding, and less than what a step is of 10⁸."""


@dataclass(frozen=True)
class Piece:
    """From `begin` on, k steps later, with p = k/length, in [0, 1] for the first two below:

    polynomial: end + (start − end)·(1 − p)^power; cosine: end + (start − end)·((1 + cos πp)/2)^power, cosine waves the
    same for ever, cosine restarts again and again from the start, each time `rate` times as long; exponential:
    start·rate^p, not beyond `end`; inverse time: start/(1 + rate·p)^power; constant: start. With `stairs` p is rounded
    down.
    """

    kind: str
    start: float
    end: float | None = None
    length: float = 1.0
    power: float = 1.0
    rate: float = 1.0
    stairs: bool = False
    begin: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if not self.length > 0:
            raise ValueError(f"a schedule's length must be positive, got {self.length!r}")

    def value(self, count: Any, library: Any) -> Any:
        """lr after so many finished steps, of which `begin` are another piece's."""
        p = library.maximum((count - self.begin) / self.length, 0.0)  # before that its value is not used
        if self.kind == "constant":
            return self.start + 0.0 * p
        if self.kind in ("exponential", "inverse time"):
            p = library.floor(p) if self.stairs else p
            if self.kind == "inverse time":
                return self.start / (1.0 + self.rate * p) ** self.power
            value = self.start * self.rate**p
            if self.end is None:
                return value
            return (library.maximum if self.rate < 1 else library.minimum)(value, self.end)
        end = self.end or 0.0
        if self.kind == "polynomial":
            part = (1.0 - library.clip(p, 0.0, 1.0)) ** self.power
        else:
            if self.kind == "cosine restarts":
                p = self._since_restart(p, library)
            elif self.kind == "cosine":
                p = library.clip(p, 0.0, 1.0)
            part = ((1.0 + library.cos(math.pi * p)) / 2.0) ** self.power
        return part * self.start + (1.0 - part) * end  # exact at both ends

    def _since_restart(self, p: Any, library: Any) -> Any:
        """The part of the present cosine that is over."""
        if self.rate == 1.0:
            return p - library.floor(p)
        grown = library.log(p * (self.rate - 1.0) + 1.0) / math.log(self.rate)
        n = library.floor(grown + ROUNDING)  # restarts so far
        return (p - (self.rate**n - 1.0) / (self.rate - 1.0)) / self.rate**n

    def __str__(self) -> str:
        by = {1.0: "a line", 2.0: "a parabola"}.get(self.power, f"the power {self.power:g}")
        over = f" over {self.length:g} steps"
        match self.kind:
            case "constant":
                return f"{self.start:g}"
            case "polynomial":
                return f"{self.start:g} to {self.end or 0.0:g} along {by}{over}"
            case "cosine" | "cosine waves":
                waves = " and back, for ever" if self.kind == "cosine waves" else ""
                power = f" to the power {self.power:g}" * (self.power != 1)
                return f"{self.start:g} to {self.end or 0.0:g} along a cosine{power}{over}{waves}"
            case "cosine restarts":
                longer = f", each time {self.rate:g} times as long" * (self.rate != 1.0)
                return f"{self.start:g} to {self.end or 0.0:g} along a cosine{over}, again and again{longer}"
            case "exponential":
                least = "" if self.end is None else f", not beyond {self.end:g}"
                every = "every" if self.stairs else "in"
                return f"{self.start:g}, times {self.rate:g} {every} {self.length:g} steps{least}"
        power = f"^{self.power:g}" * (self.power != 1.0)
        time = f"⌊t/{self.length:g}⌋" if self.stairs else f"t/{self.length:g}"
        return f"{self.start:g}/(1 + {self.rate:g}·{time}){power}"


@dataclass(frozen=True)
class Schedule:
    """Pieces in order of their beginning, the first from 0 on. Called with the number of finished steps, gives lr.

    `call` is the framework's call that it was read from, if it was. `every` is how many steps there are to one of what
    the pieces count: the steps of an epoch, where the rate changes from epoch to epoch.
    """

    pieces: tuple[Piece, ...]
    call: str = field(default="", compare=False)
    every: int = 1

    def __post_init__(self) -> None:
        if not self.every >= 1:
            raise ValueError(f"an epoch must have at least one step, got {self.every!r}")

    def __repr__(self) -> str:
        return self.call or f"Schedule({self.pieces!r})"

    def by_epoch(self, steps: int) -> Schedule:
        """The same counted in epochs of so many steps: the rate of a step is that of its epoch's number."""
        return replace(self, every=self.every * steps)

    def to_data(self) -> dict[str, Any]:
        """Pieces and steps as plain values, for `Schedule.from_data`."""
        return {"pieces": [asdict(p) for p in self.pieces], "every": self.every}

    @staticmethod
    def from_data(data: Any) -> Schedule:
        """The schedule that `to_data` wrote. Raises ValueError for anything else."""
        try:
            own = data if isinstance(data, dict) else {"pieces": data}  # a list, in older files
            return Schedule(tuple(Piece(**p) for p in own["pieces"]), every=own.get("every", 1))
        except (TypeError, ValueError, KeyError) as error:
            raise ValueError(f"no schedule: {str(data)[:60]}: {error}") from error

    def __call__(self, count: Any) -> Any:
        """lr for the step after `count` finished ones: a float for a number, float64 for JAX's values."""
        if isinstance(count, int | float | np.number | np.ndarray):
            value = self._value(np.asarray(count, np.float64), np)
            return float(value) if value.ndim == 0 else value
        import jax
        import jax.numpy as jnp

        with jax.enable_x64(True):
            return self._value(jnp.asarray(count).astype(jnp.float64), jnp)

    def _value(self, count: Any, library: Any) -> Any:
        count = count if self.every == 1 else library.floor(count / self.every)
        first, *rest = self.pieces
        result = first.value(count, library)
        for piece in rest:
            result = library.where(count >= piece.begin, piece.value(count, library), result)
        return result

    def __str__(self) -> str:
        first, *rest = self.pieces
        words = "; ".join([str(first), *(f"from step {p.begin:g} on {p}" for p in rest)])
        return words if self.every == 1 else f"{words.replace('step', 'epoch')}, in epochs of {self.every} steps"

    def torch(self, optimizer: torch.optim.Optimizer, finished: int = 0) -> torch.optim.lr_scheduler.LRScheduler:
        """A torch scheduler for all groups of an optimizer that has made so many steps: call its step() after each."""
        return scheduler([self] * len(optimizer.param_groups), optimizer, finished)


def scheduler(
    schedules: Sequence[Schedule], optimizer: torch.optim.Optimizer, finished: int = 0
) -> torch.optim.lr_scheduler.LRScheduler:
    """A torch scheduler with a schedule for each group of an optimizer that has made so many steps."""
    import torch

    for group in optimizer.param_groups:
        group["initial_lr"] = 1.0  # what torch multiplies the function's value by
    functions = [_function(own) for own in schedules]
    return torch.optim.lr_scheduler.LambdaLR(optimizer, functions, last_epoch=finished - 1)


def _function(schedule: Schedule) -> Callable[[int], float]:
    """A plain function, which torch leaves out of a scheduler's state dict, so that it stays one of plain values."""
    return lambda count: float(schedule(count))


def one(kind: str, start: float, **how: Any) -> Schedule:
    """A schedule of one piece."""
    return Schedule((Piece(kind, start, **how),))


def after(begin: float, whole: Schedule) -> Schedule:
    """The schedule's first value, and from `begin` on the schedule."""
    return joined([one("constant", whole(0)), whole], [begin]) if begin > 0 else whole


def steps(values: Sequence[float], begins: Sequence[float]) -> Schedule:
    """Constant values, each but the first from its beginning."""
    return joined([one("constant", v) for v in values], begins)


def joined(schedules: Sequence[Schedule], boundaries: Sequence[float]) -> Schedule:
    """Schedules one after the other, each from its boundary on, where it counts from zero."""
    if len(boundaries) != len(schedules) - 1 or sorted(boundaries) != list(boundaries):
        raise ValueError(f"{len(schedules)} schedules need {len(schedules) - 1} growing boundaries, got {boundaries!r}")
    pieces: list[Piece] = []
    for own, start, stop in zip(schedules, [0.0, *boundaries], [*boundaries, math.inf], strict=True):
        moved = [replace(p, begin=p.begin + start) for p in own.pieces]
        pieces += [p for p in moved if p.begin < stop]
    return Schedule(tuple(pieces))
