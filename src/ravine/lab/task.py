"""A task: data, model, loss and metric, and the loop that trains it. It knows no optimizer."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from ravine.errors import unknown

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ravine.lab.scheduler import OptimizerMaker


PRECISIONS = ("float32", "bfloat16")


class Report(Protocol):
    """What a training loop calls when it has measured something."""

    wants_test: bool
    """Whether this run is scored: only then is there a use for a result on test data."""

    def test(self, loss: float, *, accuracy: float | None = None) -> None:
        """What the trained model does on data that neither training nor tuning has seen: the run's score."""

    def __call__(
        self,
        step: int,
        loss: float,
        *,
        accuracy: float | None = None,
        train_loss: float | None = None,
        seconds: float | None = None,
    ) -> None: ...


class Trainable(Protocol):
    """What the runner needs of a task."""

    @property
    def name(self) -> str:
        """The task's name in the comparison."""

    def train(self, make_optimizer: OptimizerMaker, seed: int, report: Report, steps: int) -> None:
        """Train once."""


@dataclass(frozen=True)
class Data:
    """Tensors in memory: (inputs, targets) to train on, to validate on, and to test on if scored runs are to be
    measured on data that tuning has not seen; the first dimension counts examples."""

    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor] | None = None

    def on(self, device: str) -> Data:
        """The same on another device."""
        parts = ((p[0].to(device), p[1].to(device)) for p in (self.train, self.validation, self.test) if p)
        return Data(*parts)

    def split(self, share: float) -> Data:
        """With a share of the training examples, drawn once and for all, to test on instead."""
        import torch

        inputs, targets = self.train
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0)).to(inputs.device)
        count = max(1, round(share * len(inputs)))
        test, train = order[:count], order[count:].sort().values
        return Data((inputs[train], targets[train]), self.validation, (inputs[test], targets[test]))


@dataclass(frozen=True)
class Task:
    """Something to learn.

    `data()` is called once per worker process, `model()` once per run with torch's generator seeded by the run's seed.
    `loss(outputs, targets)` is a scalar tensor, a mean over examples; `accuracy(outputs, targets)`, where it has a
    meaning, a float in [0, 1]. `steps` is how many batches of `batch_size` a run sees unless told otherwise;
    `evaluations` how often it is measured; each of the three is at least 1. `about` says in a line what is learnt from
    what. `device` is torch's name of where it runs; with `precision` "bfloat16" forward pass and loss run under
    autocast, parameters stay float32. `test`, if not 0, is the share of the training examples that scored runs are
    tested on instead, where the data have no test part of their own. Raises ValueError for anything else.
    """

    name: str
    title: str
    data: Callable[[], Data]
    model: Callable[[], torch.nn.Module]
    loss: Callable[[Any, Any], Any]
    accuracy: Callable[[Any, Any], float] | None = None
    batch_size: int = 64
    steps: int = 500
    evaluations: int = 40
    about: str = ""
    device: str = "cpu"
    precision: str = "float32"
    test: float = 0.0

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown("precision", str(self.precision), PRECISIONS)
        if isinstance(self.test, bool) or not isinstance(self.test, (int, float)) or not 0 <= self.test < 1:
            raise ValueError(f"test must be a share of the training examples, from 0 to below 1, got {self.test!r}")
        for name in ("batch_size", "steps", "evaluations"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")

    @cached_property
    def loaded(self) -> Data:
        """The data, in memory from first use on, on the task's device."""
        data = self.data()
        if self.test and data.test is not None:
            raise ValueError(f"{self.name} has test data of its own: give no test={self.test:g}")
        return (data.split(self.test) if self.test else data).on(self.device)

    def train(self, make_optimizer: OptimizerMaker, seed: int, report: Report, steps: int) -> None:
        """Train one model for `steps` steps. The seed alone decides its start and the order of its data.

        Calls `report` before the first step and then about `evaluations` times, at the latest after the last step.
        """
        import torch

        torch.manual_seed(seed)
        model = self.model().to(self.device)
        optimizer = make_optimizer(model)
        scheduler = make_optimizer.scheduler(optimizer, steps)
        batches = self.batches(seed)
        every = max(1, steps // self.evaluations)
        seconds = 0.0
        with make_optimizer.evaluation():
            self._measure(model, report, 0, seconds)
        for first in range(0, steps, every):
            last = min(first + every, steps)
            began = self._clock()
            for _ in range(first, last):
                inputs, targets = next(batches)
                optimizer.zero_grad()
                with self._autocast():
                    loss = self.loss(model(inputs), targets)
                loss.backward()
                optimizer.step()
                scheduler.step()
            seconds += self._clock() - began
            with make_optimizer.evaluation():
                self._measure(model, report, last, seconds)
        self.score(model, make_optimizer, report)

    def score(self, model: torch.nn.Module, make_optimizer: OptimizerMaker, report: Report) -> None:
        """Report what a trained model does on the test data, where the run is scored and the task has some."""
        if self.loaded.test is not None and report.wants_test:
            with make_optimizer.evaluation():
                model.eval()
                loss, accuracy = self._evaluate(model, self.loaded.test, self.accuracy)
                report.test(loss, accuracy=accuracy)

    def batches(self, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches for ever, in an order that the seed decides. A last, smaller batch of an epoch is left out."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        inputs, targets = self.loaded.train
        size = min(self.batch_size, len(inputs))
        while True:
            order = torch.randperm(len(inputs), generator=generator).to(self.device)
            for chosen in order[: len(order) - len(order) % size].view(-1, size):
                yield inputs[chosen], targets[chosen]

    @property
    def measured_part(self) -> tuple[Tensor, Tensor]:
        """About as many training examples as there are to validate on, spread evenly."""
        (inputs, targets), validation = self.loaded.train, self.loaded.validation
        part = slice(None, None, max(1, len(inputs) // len(validation[0])))
        return inputs[part], targets[part]

    def _clock(self) -> float:
        """Seconds, after what the device was given to do is done."""
        import torch

        if torch.device(self.device).type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _autocast(self) -> AbstractContextManager[None]:
        if self.precision == "float32":
            return nullcontext()  # an autocast that is off costs 17 µs a step
        import torch

        return torch.autocast(torch.device(self.device).type, torch.bfloat16)

    def _measure(self, model: torch.nn.Module, report: Report, step: int, seconds: float) -> None:
        was_training = model.training
        model.eval()
        loss, accuracy = self._evaluate(model, self.loaded.validation, self.accuracy)
        train_loss, _ = self._evaluate(model, self.measured_part, None)
        model.train(was_training)
        report(step, loss, accuracy=accuracy, train_loss=train_loss, seconds=seconds)

    def _evaluate(
        self, model: torch.nn.Module, examples: tuple[Tensor, Tensor], accuracy: Callable[[Any, Any], float] | None
    ) -> tuple[float, float | None]:
        import torch

        with torch.no_grad(), self._autocast():
            outputs = model(examples[0])
            loss = float(self.loss(outputs, examples[1]))
            return loss, None if accuracy is None else accuracy(outputs, examples[1])


@dataclass(frozen=True)
class FunctionTask:
    """A task that is a training loop of the user's: `function(make_optimizer, seed, report)`, and `steps` if it takes
    that. It reports as often as it likes, the loss that counts being the last one. `options` are further arguments.
    """

    function: Callable[..., None]
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    batch_size: None = None
    evaluations: None = None

    @property
    def title(self) -> str:
        """For people."""
        return self.name

    @property
    def about(self) -> str:
        """The first line of the function's documentation."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def steps(self) -> int:
        """How many steps a run has: the default of the function's parameter `steps`, or 500."""
        parameter = inspect.signature(self.function).parameters.get("steps")
        return 500 if parameter is None or parameter.default is parameter.empty else int(parameter.default)

    def train(self, make_optimizer: OptimizerMaker, seed: int, report: Report, steps: int) -> None:
        """Call the function; torch's generator is seeded before."""
        import torch

        torch.manual_seed(seed)
        wants_steps = "steps" in inspect.signature(self.function).parameters
        self.function(make_optimizer, seed, report, **({"steps": steps} if wants_steps else {}), **self.options)


def share_correct(outputs: Tensor, targets: Tensor) -> float:
    """The share of examples whose largest output is the target."""
    return float((outputs.argmax(-1) == targets).double().mean())
