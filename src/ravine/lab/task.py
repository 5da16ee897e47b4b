"""A task: data, model, loss and metric, and the loop that trains it. It knows no optimizer."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ravine.lab.scheduler import OptimizerMaker


class Report(Protocol):
    """What a training loop calls when it has measured something."""

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
    """Tensors in memory: (inputs, targets) to train on and to validate on; the first dimension counts examples."""

    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Task:
    """Something to learn.

    `data()` is called once per worker process, `model()` once per run with torch's generator seeded by the run's seed.
    `loss(outputs, targets)` is a scalar tensor, a mean over examples; `accuracy(outputs, targets)`, where it has a
    meaning, a float in [0, 1]. `steps` is how many batches of `batch_size` a run sees unless told otherwise;
    `evaluations` how often it is measured; each of the three is at least 1, or ValueError is raised. `about` says in a
    line what is learnt from what.
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

    def __post_init__(self) -> None:
        for name in ("batch_size", "steps", "evaluations"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")

    @cached_property
    def loaded(self) -> Data:
        """The data, in memory from first use on."""
        return self.data()

    def train(self, make_optimizer: OptimizerMaker, seed: int, report: Report, steps: int) -> None:
        """Train one model for `steps` steps. The seed alone decides its start and the order of its data.

        Calls `report` before the first step and then about `evaluations` times, at the latest after the last step.
        """
        import torch

        torch.manual_seed(seed)
        model = self.model()
        optimizer = make_optimizer(model)
        scheduler = make_optimizer.scheduler(optimizer, steps)
        batches = self.batches(seed)
        every = max(1, steps // self.evaluations)
        seconds = 0.0
        with make_optimizer.evaluation():
            self._measure(model, report, 0, seconds)
        for first in range(0, steps, every):
            last = min(first + every, steps)
            began = time.perf_counter()
            for _ in range(first, last):
                inputs, targets = next(batches)
                optimizer.zero_grad()
                self.loss(model(inputs), targets).backward()
                optimizer.step()
                scheduler.step()
            seconds += time.perf_counter() - began
            with make_optimizer.evaluation():
                self._measure(model, report, last, seconds)

    def batches(self, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches for ever, in an order that the seed decides. A last, smaller batch of an epoch is left out."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        inputs, targets = self.loaded.train
        size = min(self.batch_size, len(inputs))
        while True:
            order = torch.randperm(len(inputs), generator=generator)
            for chosen in order[: len(order) - len(order) % size].view(-1, size):
                yield inputs[chosen], targets[chosen]

    @property
    def measured_part(self) -> tuple[Tensor, Tensor]:
        """About as many training examples as there are to validate on, spread evenly."""
        (inputs, targets), validation = self.loaded.train, self.loaded.validation
        part = slice(None, None, max(1, len(inputs) // len(validation[0])))
        return inputs[part], targets[part]

    def _measure(self, model: torch.nn.Module, report: Report, step: int, seconds: float) -> None:
        was_training = model.training
        model.eval()
        loss, accuracy = self._evaluate(model, self.loaded.validation)
        train_loss, _ = self._evaluate(model, self.measured_part)
        model.train(was_training)
        report(step, loss, accuracy=accuracy, train_loss=train_loss, seconds=seconds)

    def _evaluate(self, model: torch.nn.Module, examples: tuple[Tensor, Tensor]) -> tuple[float, float | None]:
        import torch

        with torch.no_grad():
            outputs = model(examples[0])
            loss = float(self.loss(outputs, examples[1]))
            return loss, None if self.accuracy is None else self.accuracy(outputs, examples[1])


@dataclass(frozen=True)
class FunctionTask:
    """A task that is a training loop of the user's: `function(make_optimizer, seed, report)`, and `steps` if it takes
    that. It reports as often as it likes, the loss that counts being the last one.
    """

    function: Callable[..., None]
    name: str
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
        self.function(make_optimizer, seed, report, **({"steps": steps} if wants_steps else {}))


def share_correct(outputs: Tensor, targets: Tensor) -> float:
    """The share of examples whose largest output is the target."""
    return float((outputs.argmax(-1) == targets).double().mean())
