"""Many runs of one rule on one task as one program: the models' parameters are stacked, forward and backward passes
go through `torch.func.vmap`. Each run has its own optimizer and schedule, made as always, over its part of the stack.

The unbatched loop, `Task.train`, is the judge: a batch has its seeds, its order of data and its measurements, and a
run's losses do not depend on what else is in the batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from ravine.lab.reporter import Reporter, StopRun
from ravine.lab.scheduler import OptimizerMaker, Scheduler
from ravine.lab.task import Task, Trainable

if TYPE_CHECKING:
    from torch import Tensor, nn

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
    from torch.utils.flop_counter import FlopCounterMode

    with torch.random.fork_rng(devices=[]):
        model = task.model()
        if any(True for _ in model.buffers()) or not all(p.requires_grad for p in model.parameters()):
            return False
        inputs, targets = next(task.batches(0))
        with FlopCounterMode(display=False) as counter:
            torch.autograd.backward(task.loss(model(inputs), targets))
        if counter.get_total_flops() > MOST_OPERATIONS:
            return False
        try:
            losses = _loss(task, model)(
                _stack([model, task.model()]), torch.stack([inputs] * 2), torch.stack([targets] * 2)
            )
            torch.autograd.backward(losses.sum())
        except (RuntimeError, TypeError, ValueError, NotImplementedError):
            return False
    return True


def train(
    task: Task, steps: int, seeds: Sequence[int], makers: Sequence[OptimizerMaker], reporters: Sequence[Reporter]
) -> list[str]:
    """Train a model for each seed, maker and reporter, and report what each measures. A run that its reporter ends is
    trained no more. Returns how each that went to its end departed from the comparison's schedule, in words."""
    import torch

    batches, models = {seed: task.batches(seed) for seed in seeds}, []
    for seed in seeds:
        torch.manual_seed(seed)
        models.append(task.model())
    stack = _stack(models)
    runs = []
    for model, make_optimizer, report in zip(models, makers, reporters, strict=True):
        optimizer = make_optimizer(model)
        runs.append(Run(model, make_optimizer, optimizer, make_optimizer.scheduler(optimizer, steps), report))
    loss = _loss(task, models[0])
    every = max(1, steps // task.evaluations)
    seconds = 0.0
    _measure(task, models[0], stack, runs, 0, seconds)
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
            torch.autograd.backward(loss(stack, inputs, targets).sum())
            for run in going_on:
                run.optimizer.step()
                run.scheduler.step()
        seconds += (time.perf_counter() - began) / len(runs)
        _measure(task, models[0], stack, runs, last, seconds)
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

    def is_on(self, stack: dict[str, Tensor], k: int) -> bool:
        """Whether its parameters are still part `k` of the stack: an optimizer might have replaced their memory."""
        return all(p.data_ptr() == stack[n][k].data_ptr() for n, p in self.model.named_parameters())


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


def _loss(task: Task, model: nn.Module) -> Callable[[dict[str, Tensor], Tensor, Tensor], Tensor]:
    """The losses of stacked parameters on stacked batches."""
    from torch.func import functional_call, vmap

    def one(params: dict[str, Tensor], inputs: Tensor, targets: Tensor) -> Any:
        return task.loss(functional_call(model, params, (inputs,)), targets)

    losses: Callable[[dict[str, Tensor], Tensor, Tensor], Tensor] = vmap(one)
    return losses


def _measure(
    task: Task, model: nn.Module, stack: dict[str, Tensor], runs: Sequence[Run], step: int, seconds: float
) -> None:
    """Report what the runs that go on have measured, as the judge does."""
    import torch
    from torch.func import functional_call, vmap

    (inputs, targets), (train_inputs, train_targets) = task.loaded.validation, task.measured_part
    with ExitStack() as modes, torch.no_grad():
        for run in runs:
            modes.enter_context(run.make_optimizer.evaluation())
        model.eval()
        forward = vmap(lambda params, x: functional_call(model, params, (x,)), in_dims=(0, None))
        outputs, train_outputs = forward(stack, inputs), forward(stack, train_inputs)
        model.train()
        for k, run in enumerate(runs):
            if run.has_ended:
                continue
            if not run.is_on(stack, k):
                raise RuntimeError("the optimizer has moved the parameters: it can't be batched")
            try:
                run.report(
                    step,
                    task.loss(outputs[k], targets),
                    accuracy=None if task.accuracy is None else task.accuracy(outputs[k], targets),
                    train_loss=task.loss(train_outputs[k], train_targets),
                    seconds=seconds,
                )
            except StopRun:
                run.has_ended = True
