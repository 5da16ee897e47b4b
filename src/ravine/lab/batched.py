"""Many runs of one task as one program: the models' parameters are stacked, and forward and backward passes are those
of all models at once (`stacked.py`). Each run has its own optimizer and schedule, made as always, over its part of the
stack.

The unbatched loop, `Task.train`, is the judge: a batch has its seeds, its order of data and its measurements, and a
run's losses do not depend on what else is in the batch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from ravine.lab.reporter import Reporter, StopRun
from ravine.lab.scheduler import OptimizerMaker, Scheduler
from ravine.lab.task import Task, Trainable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ravine.lab.stacked import Stacked

ENGINE = "batched"
"""What such a run's record says; that of the judge says nothing."""
MOST = 24
"""Runs in a batch: more gain little, and two workers share the work less evenly."""
MOST_OPERATIONS = 4e6
"""Floating-point operations of a training step above which a batch is not faster: below it, what a step takes is
mostly the overhead of its many small calls (measured by bench/lab_batched.py)."""


def most(task: Trainable) -> int:
    """How many runs of a task to train as a batch; 1 where the judge alone can train it, or is as fast."""
    plain = isinstance(task, Task) and (task.device, task.precision) == ("cpu", "float32")
    return MOST if plain and type(task) is Task and _is_batchable(task) else 1


@cache
def _is_batchable(task: Task) -> bool:
    """Tried on two models: they must have no buffers, and model and loss be such that `torch.func.vmap` takes them,
    without random numbers in a pass."""
    import torch

    from ravine.lab.stacked import Stacked

    with torch.random.fork_rng(devices=[]):
        model = task.model()
        if any(True for _ in model.buffers()) or not all(p.requires_grad for p in model.parameters()):
            return False
        inputs, targets = next(task.batches(0))
        if _operations(model, inputs) > MOST_OPERATIONS:
            return False
        try:
            stacked = Stacked(task, model)
            outputs = stacked.outputs(_stack([model, task.model()]), torch.stack([inputs] * 2))
            torch.autograd.backward(stacked.losses(outputs, torch.stack([targets] * 2)).sum())
        except (RuntimeError, TypeError, ValueError, NotImplementedError):
            return False
    return True


def _operations(model: nn.Module, inputs: Tensor) -> float:
    """Floating-point operations of a training step in the layers that have weights, about. torch's counter knows them
    all, but to start it takes seconds, in every worker."""
    from torch import Tensor, nn

    counted = 0

    def count(layer: nn.Module, _: Any, output: Any) -> None:
        nonlocal counted
        weight = getattr(layer, "weight", None)
        if isinstance(layer, nn.Embedding) or not isinstance(weight, Tensor) or not isinstance(output, Tensor):
            return
        if weight.dim() > 1:  # a multiplication and an addition, and in the backward pass twice as many
            counted += 6 * output.numel() * weight[0].numel()

    handles = [layer.register_forward_hook(count) for layer in model.modules()]
    model(inputs)
    for handle in handles:
        handle.remove()
    return counted


def train(
    task: Task, steps: int, seeds: Sequence[int], makers: Sequence[OptimizerMaker], reporters: Sequence[Reporter]
) -> list[str]:
    """Train a model for each seed, maker and reporter, and report what each measures. A run that its reporter ends is
    trained no more. Returns how each that went to its end departed from the comparison's schedule, in words."""
    import torch

    from ravine.lab.stacked import Stacked

    batches, models = {seed: task.batches(seed) for seed in seeds}, []
    for seed in seeds:
        torch.manual_seed(seed)
        models.append(task.model())
    stack = _stack(models)
    runs = []
    for model, make_optimizer, report in zip(models, makers, reporters, strict=True):
        optimizer = make_optimizer(model)
        runs.append(Run(model, make_optimizer, optimizer, make_optimizer.scheduler(optimizer, steps), report))
    stacked = Stacked(task, models[0])
    every = max(1, steps // task.evaluations)
    seconds = 0.0
    _measure(task, stacked, stack, runs, 0, seconds)
    for first in range(0, steps, every):
        going_on = [r for r in runs if not r.has_ended]
        if not going_on:
            break
        last = min(first + every, steps)
        began = time.perf_counter()
        for _ in range(first, last):
            drawn = {seed: next(b) for seed, b in batches.items()}
            inputs, targets = (torch.stack([drawn[seed][i] for seed in seeds]) for i in range(2))
            for p in stack.values():
                p.grad.zero_()  # type: ignore[union-attr]
            torch.autograd.backward(stacked.losses(stacked.outputs(stack, inputs), targets).sum())
            for run in going_on:
                run.optimizer.step()
                run.scheduler.step()
        seconds += (time.perf_counter() - began) / len(runs)
        _measure(task, stacked, stack, runs, last, seconds)
    for run in runs:
        if not run.has_ended:
            task.score(run.model, run.make_optimizer, run.report)
    return ["" if r.has_ended else r.make_optimizer.departure for r in runs]


@dataclass
class Run:
    """One of a batch: what steps it, and whether it is over before its time."""

    model: nn.Module
    make_optimizer: OptimizerMaker
    optimizer: Any
    scheduler: Scheduler
    report: Reporter
    has_ended: bool = False

    def __post_init__(self) -> None:
        self._places = [(p, p.data_ptr()) for p in self.model.parameters()]

    def is_in_place(self) -> bool:
        """Whether its parameters are still part of the stack: an optimizer might have replaced their memory."""
        return all(p.data_ptr() == place for p, place in self._places)


def _stack(models: Sequence[nn.Module]) -> dict[str, Tensor]:
    """The models' parameters by name, stacked; the models' own become views of them, and so do the gradients."""
    import torch

    stack = {}
    for name, _ in models[0].named_parameters():
        own = [m.get_parameter(name) for m in models]
        stacked = torch.stack([p.detach() for p in own]).requires_grad_()
        stacked.grad = torch.zeros_like(stacked)
        for k, p in enumerate(own):
            p.data, p.grad = stacked.detach()[k], stacked.grad[k]
        stack[name] = stacked
    return stack


def _measure(
    task: Task, models: Stacked, stack: dict[str, Tensor], runs: Sequence[Run], step: int, seconds: float
) -> None:
    """Report what the runs that go on have measured, as the judge does."""
    import torch

    with ExitStack() as modes, torch.no_grad():
        for run in runs:
            modes.enter_context(run.make_optimizer.evaluation())
        runs[0].model.eval()
        measured = []
        for inputs, targets in task.loaded.validation, task.measured_part:
            outputs = models.outputs(stack, inputs.expand(len(runs), *inputs.shape))
            measured.append((outputs, models.losses(outputs, targets.expand(len(runs), *targets.shape)).tolist()))
        (outputs, losses), (_, train_losses) = measured
        runs[0].model.train()
        for k, run in enumerate(runs):
            if run.has_ended:
                continue
            if not run.is_in_place():
                raise RuntimeError("the optimizer has moved the parameters: it can't be batched")
            accuracy = None if task.accuracy is None else task.accuracy(outputs[k], task.loaded.validation[1])
            try:
                run.report(step, losses[k], accuracy=accuracy, train_loss=train_losses[k], seconds=seconds)
            except StopRun:
                run.has_ended = True
