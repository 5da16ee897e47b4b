"""What a run leaves behind: the settings that decide its numbers, its curve, and how it ended. Plain JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ravine.lab.schedule import LINEAR

FINISHED, DIVERGED, FAILED, PRUNED = "finished", "diverged", "failed", "pruned"
TUNING, FINAL, DEFAULTS = "tuning", "final", "defaults"


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run's numbers.

    `contender` is the name in the comparison; `rule` what `ravine.rule` finds; `hyper` the hyperparameters that are
    not the rule's defaults; `schedule` what becomes of the learning rate: linear (to zero at the end) or constant.
    `stage` is tuning (then `trial` counts from 0), final (with the best of the tuning of its `repetition`) or defaults
    (with the rule's own defaults). A trial with `rivals` is stopped early if it does worse than the repetition's first
    so many trials, which ran whole.
    """

    task: str
    contender: str
    rule: str
    hyper: Mapping[str, float]
    seed: int
    steps: int
    stage: str
    repetition: int
    trial: int = -1
    schedule: str = LINEAR
    rivals: int = 0

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What tells a run from the others of one comparison."""
        return self.contender, self.stage, self.repetition, self.trial


@dataclass(frozen=True)
class Record:
    """One run. `curve` maps step, loss, train_loss and accuracy to columns of equal length, not padded: a run that
    stopped early has a shorter curve, whose last loss may be NaN. All but `timing` and `output` is the same on every
    repetition.

    `status`: finished; diverged (the loss was not finite, or at the end worse than before the first step); failed (the
    task raised an exception: `message` is its traceback); pruned (a trial that was stopped early). `timing` holds the
    seconds of training at each point, `rates` the learning rate as it was (of the first group of the first optimizer;
    empty where there is none). `schedule` says in words how the run departed from the schedule of its settings, empty
    if it followed it. `output` is the end of what the task printed. `engine` is "batched" for a run that was trained
    together with others, whose `timing` is its share of their time and whose `output` is theirs together.
    `test` holds loss and accuracy on data that neither training nor tuning has seen, for scored runs of tasks that have
    such data.
    """

    settings: Settings
    status: str
    curve: Mapping[str, Sequence[float]]
    message: str = ""
    timing: Sequence[float] = field(default=(), compare=False)
    schedule: str = ""
    rates: Sequence[float] = field(default_factory=list)
    output: str = field(default="", compare=False)
    engine: str = ""
    test: Mapping[str, float] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """What the run is compared by: the loss on test data where there is one, else the last validation loss;
        infinite for a run that did not finish."""
        return float(self.test.get("loss", self.validation_loss)) if self.status == FINISHED else math.inf

    @property
    def validation_loss(self) -> float:
        """The last validation loss; infinite for a run that did not finish."""
        return float(self.curve["loss"][-1]) if self.status == FINISHED else math.inf

    @property
    def accuracy(self) -> float:
        """As the loss, the test accuracy or the last validation accuracy; NaN where the task has none or the run did
        not finish."""
        if self.status != FINISHED:
            return math.nan
        column = self.curve.get("accuracy")
        return float(self.test.get("accuracy", column[-1] if column else math.nan))

    @property
    def seconds_per_step(self) -> float:
        """Seconds of training a step, evaluation not counted; NaN for a run without steps."""
        steps = self.curve["step"][-1] if self.curve["step"] else 0
        return self.timing[-1] / steps if steps and self.timing else math.nan

    def first_at(self, target: float) -> tuple[float, float]:
        """(step, seconds) of the first measurement with a validation loss of at most `target`; infinite if never."""
        for step, loss, seconds in zip(self.curve["step"], self.curve["loss"], self.timing, strict=True):
            if loss <= target:
                return float(step), float(seconds)
        return math.inf, math.inf

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which has no NaN or infinity: they become null."""
        data = asdict(self)
        data["curve"] = {n: [_finite_or_none(v) for v in column] for n, column in self.curve.items()}
        data["test"] = {n: _finite_or_none(v) for n, v in self.test.items()}
        data["timing"], data["rates"] = list(self.timing), list(self.rates)
        return data

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Record:
        """The record that `to_dict` wrote; what a later version wrote besides is passed over.

        A run that failed in the middle of a report may have left columns of unequal length: they are cut to what all
        have.
        """
        kept = {f.name for f in fields(Record)}
        known = {n: v for n, v in data.items() if n in kept}
        settings = {n: v for n, v in data["settings"].items() if n in {f.name for f in fields(Settings)}}
        length = min(map(len, (*data["curve"].values(), data["timing"])), default=0)
        curve = {n: [math.nan if v is None else v for v in column[:length]] for n, column in data["curve"].items()}
        known["test"] = {n: math.nan if v is None else v for n, v in data.get("test", {}).items()}
        known |= {"settings": Settings(**settings), "curve": curve, "timing": data["timing"][:length]}
        return Record(**known)


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
