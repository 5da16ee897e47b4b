"""The `report` function of a run: it checks what it is told, then keeps it."""

from __future__ import annotations

import contextlib
import io
import math
import operator
import time
from collections.abc import Callable
from typing import Any

from ravine.errors import with_article

OUTPUT_CHARACTERS = 8000


class StopRun(BaseException):
    """Raised out of `report` to end a run; not an Exception, so that a task's `except Exception` lets it through."""


class Reporter:
    """Collects the curve, and ends the run when the loss is not finite or when `is_to_stop(step, loss)`: then it was
    pruned. `rate` tells the learning rate at the moment of a report, if there is one."""

    def __init__(
        self,
        is_to_stop: Callable[[int, float], bool],
        rate: Callable[[], float | None] = lambda: None,
        wants_test: bool = False,
    ) -> None:
        self.columns: dict[str, list[float]] = {"step": [], "loss": []}
        self.timing: list[float] = []
        self.rates: list[float] = []
        self.is_to_stop, self.rate = is_to_stop, rate
        self.is_pruned = False
        self.wants_test = wants_test
        self.tested: dict[str, float] = {}
        self._began = time.perf_counter()

    def __call__(
        self,
        step: int,
        loss: float,
        *,
        accuracy: float | None = None,
        train_loss: float | None = None,
        seconds: float | None = None,
    ) -> None:
        """One measurement after `step` steps. `seconds`, if not given, is the time since the run began.

        Raises ValueError or TypeError for what can't be kept, and keeps nothing of it: a value that is not one number,
        a step that is not after the last one, an accuracy outside [0, 1], other metrics than before.
        """
        given: dict[str, Any] = {"loss": loss, "train_loss": train_loss, "accuracy": accuracy}
        values = {n: number(n, v) for n, v in given.items() if v is not None or n == "loss"}
        at = self._checked_step(step)
        now = time.perf_counter() - self._began if seconds is None else number("seconds", seconds)
        if self.timing and values.keys() | {"step"} != self.columns.keys():
            before, after = sorted(self.columns.keys() - {"step"}), sorted(values)
            raise ValueError(
                f"report() was given {before} before and {after} at step {at}: give the same at every call"
            )
        if "accuracy" in values and math.isfinite(values["loss"]) and not 0 <= values["accuracy"] <= 1:
            raise ValueError(f"report(): accuracy must be a share in [0, 1], got {values['accuracy']:g}")
        if not now >= (self.timing[-1] if self.timing else 0):
            raise ValueError(f"report(): seconds must not be less than before, got {now:g} after {self.timing[-1:]}")
        self.columns["step"].append(at)
        for name, value in values.items():
            self.columns.setdefault(name, []).append(value)
        self.timing.append(now)
        if (rate := self.rate()) is not None:
            self.rates.append(rate)
        if not math.isfinite(values["loss"]):
            raise StopRun
        if self.is_to_stop(at, values["loss"]):
            self.is_pruned = True
            raise StopRun

    def test(self, loss: float, *, accuracy: float | None = None) -> None:
        """The result on data that neither training nor tuning has seen: it is what a scored run is compared by, and of
        no use in others. Raises TypeError for what is not one number."""
        given = {"loss": number("test loss", loss)}
        if accuracy is not None:
            given["accuracy"] = number("test accuracy", accuracy)
        if self.wants_test:
            self.tested = given

    def _checked_step(self, step: Any) -> int:
        try:
            at = int(step) if isinstance(step, float) and step.is_integer() else operator.index(step)
        except (TypeError, ValueError):
            at = -1
        if at < 0 or isinstance(step, bool):
            raise ValueError(f"report(): step must be a whole number of at least 0, got {_shown(step)}")
        if self.timing and at <= self.columns["step"][-1]:
            raise ValueError(f"report() was called for step {at} after step {self.columns['step'][-1]}")
        return at


def number(name: str, value: Any) -> float:
    """The value as a float: a number, or an array or tensor of one. Raises TypeError for anything else."""
    if hasattr(value, "detach"):
        value = value.detach()  # torch warns of a number that is taken out of a graph
    if not isinstance(value, (bool, str, bytes)):
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            return float(value)
    raise TypeError(f"report(): {name} must be one number, got {_shown(value)}")


def _shown(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{with_article(type(value).__name__)} of shape {tuple(shape)}"
    return f"{str(value)[:80]!r}" if isinstance(value, str) else f"{value!r}"[:80]


class Tail(io.TextIOBase):
    """A text stream that keeps its end."""

    def __init__(self, characters: int = OUTPUT_CHARACTERS) -> None:
        self.characters, self.text = characters, ""

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Add text; what comes first is forgotten first."""
        self.text = (self.text + text)[-self.characters :]
        return len(text)
