"""The list of checks, and running them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from ravine.doctor import checkpoints, cost, distributed, numbers, programs, stall
from ravine.doctor.report import Finding, Outcome, Report, Verdict
from ravine.doctor.subject import Stopped, Subject
from ravine.doctor.trials import brief, parameters, random_numbers_kept

CHECKS: Mapping[str, Callable[[Subject], Outcome]] = {
    "aliasing on load": checkpoints.aliasing_on_load,
    "dtype on load": checkpoints.dtype_on_load,
    "empty group": checkpoints.empty_group,
    "plain and DTensor": distributed.mixed_tensors,
    "GradScaler": programs.grad_scaler,
    "NaN": numbers.one_nan,
    "bfloat16 stall": stall.bfloat16_stall,
    "extra memory": cost.extra_memory,
    "recompiles": cost.recompiles,
    "no gradient": programs.missing_gradients,
    "determinism": programs.determinism,
    "foreach ≡ loop ≡ fused": programs.implementations_agree,
}
"""Every check by its name in the report."""


def examine(construct: Callable[..., torch.optim.Optimizer], **options: Any) -> Report:
    """Run every check on a class, or a function that makes an optimizer, called with parameters and `options`.

    Takes some seconds. A check in which the optimizer raises has failed; its exception is the evidence. Raises
    TypeError where it can't even be constructed with these options, or can't take one step on two float32 matrices.
    """
    subject = Subject(construct, options)
    with begun(subject):
        findings = tuple(run(name, subject) for name in CHECKS)
    name = getattr(construct, "__qualname__", type(construct).__qualname__)
    return Report(f"{construct.__module__}:{name}", options, torch.__version__, findings)


@contextmanager
def begun(subject: Subject) -> Iterator[None]:
    """Inside, the subject has taken a first step, in a process group of one if it asks for a group.

    Sources of random numbers and torch's threads are as before afterwards. Raises TypeError where it takes no step.
    """
    with ExitStack() as stack:
        stack.enter_context(_process_as_it_was())
        try:
            _first_step(subject)
        except Stopped as stop:
            if "process group" not in str(stop):
                raise TypeError(f"it took no step, so there is nothing to examine: {stop}") from stop
            stack.enter_context(distributed.group_of_one())
            try:
                _first_step(subject)
            except Stopped as second:
                raise TypeError(f"it took no step, so there is nothing to examine: {second}") from second
        yield


def _first_step(subject: Subject) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        subject.run(parameters(), 1)


@contextmanager
def _process_as_it_was() -> Iterator[None]:
    """Random numbers and the number of threads; inside there is one thread, the fastest for small tensors."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with random_numbers_kept():
            yield
    finally:
        torch.set_num_threads(threads)


def run(name: str, subject: Subject) -> Finding:
    """One check's finding."""
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)  # its advice on recompiling is the evidence here
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            verdict, evidence = CHECKS[name](subject)
        except Stopped as stop:
            verdict, evidence = Verdict.FAIL, str(stop)
        except Exception as error:
            verdict, evidence = Verdict.UNDECIDED, f"the check itself went wrong: {brief(error)}"
    return Finding(name, verdict, evidence)
