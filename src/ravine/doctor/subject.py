"""The class under examination: how it is constructed and stepped, and what has to hold before a check can judge it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ravine.doctor.trials import (
    brief,
    gradients,
    identical,
    parameters,
    random_numbers_kept,
    random_state,
    seed,
    set_gradients,
)
from ravine.errors import with_article


class Stopped(Exception):  # noqa: N818 - it is the optimizer that erred
    """The optimizer's own code raised an exception; the message says while doing what."""


@contextmanager
def blame(doing: str) -> Iterator[None]:
    """What is raised inside is the optimizer's: it becomes `Stopped`."""
    try:
        yield
    except Stopped:
        raise
    except (Exception, SystemExit) as error:
        raise Stopped(f"{doing}: {brief(error)}") from error


@dataclass(eq=False)
class Subject:
    """An optimizer class, or a function that makes an optimizer from parameters; its options; keys of every group."""

    construct: Callable[..., Optimizer]
    options: Mapping[str, Any] = field(default_factory=dict)
    group: Mapping[str, Any] = field(default_factory=dict)

    def make(self, params: Any, **more: Any) -> Optimizer:
        """An optimizer over `params`, ready to train; `more` overrides the options."""
        if self.group:
            groups = params if isinstance(params[0], dict) else [{"params": params}]
            params = [{**self.group, **group} for group in groups]
        seed(0)
        with blame("constructing it"):
            made = self.construct(params, **{**self.options, **more})
            if not isinstance(made, Optimizer):
                raise TypeError(f"it made {with_article(type(made).__name__)}, which is no torch.optim.Optimizer")
            if callable(train := getattr(made, "train", None)):  # schedule-free ones have modes, as modules have
                train()
        return made

    def make_with_rate(self, params: Any, lr: float, **more: Any) -> Optimizer:
        """An optimizer with this rate, an option of the constructor or else put into the groups as a scheduler does."""
        if self.has("lr"):
            return self.make(params, **{**more, "lr": lr})
        made = self.make(params, **more)
        for group in made.param_groups:
            group["lr"] = lr
        return made

    @cached_property
    def _signature(self) -> Mapping[str, inspect.Parameter]:
        try:
            return inspect.signature(self.construct).parameters
        except ValueError:  # a class written in C may have none
            return {}

    def has(self, option: str) -> bool:
        """Whether the constructor has this option by name."""
        return option in self._signature

    def accepts(self, option: str) -> bool:
        """Whether the constructor has this option by name, and the user has not fixed it."""
        return self.has(option) and option not in self.options

    def implementations(self) -> Iterator[dict[str, Any]]:
        """The options that choose each implementation the class offers: its default, foreach, fused, the loop."""
        yield {}
        for option, value in (("foreach", False), ("foreach", True), ("fused", True)):
            if self.accepts(option):
                yield {option: value}

    def stepping(self, optimizer: Optimizer) -> Callable[[], Any]:
        """A function that takes one step with the gradients that are there, with a closure where it is demanded."""
        if not self.needs_closure:
            return optimizer.step
        step: Callable[..., Any] = optimizer.step
        return lambda: step(_closure(optimizer))

    def step(self, optimizer: Optimizer) -> None:
        """One step with the gradients that are there."""
        with blame("step()"):
            self.stepping(optimizer)()

    def advance(self, optimizer: Optimizer, params: Sequence[Tensor], numbers: range) -> None:
        """Steps with the gradients of these numbers; one that draws random numbers draws the same ones each time."""
        for number in numbers:
            set_gradients(params, number)
            seed(number)
            self.step(optimizer)

    def run(self, params: list[Any], steps: int, **more: Any) -> Optimizer:
        """A new optimizer over these parameters, after that many steps."""
        optimizer = self.make(params, **more)
        self.advance(optimizer, params, range(steps))
        return optimizer

    @cached_property
    def needs_closure(self) -> bool:
        """Whether a step takes a closure that computes the loss: by its signature, or since it fails without."""

        def takes(*arguments: Callable[[Optimizer], Any]) -> bool:
            params = parameters()
            with random_numbers_kept():  # the step for whose sake this is asked has been seeded
                optimizer = self.make(params)
                set_gradients(params, 0)
                seed(0)
                try:
                    optimizer.step(*(make(optimizer) for make in arguments))
                except (Exception, SystemExit):
                    return False
                return True

        return not takes() and takes(_closure)

    @cached_property
    def repeatable(self) -> bool:
        """Whether two runs from the same seeds are the same."""
        first, second = parameters(), parameters()
        self.run(first, 3)
        self.run(second, 3)
        return identical(first, second)

    @cached_property
    def draws(self) -> bool:
        """Whether its steps draw random numbers from torch, NumPy or Python."""
        params = parameters()
        optimizer = self.make(params)
        set_gradients(params, 0)
        seed(0)
        before = random_state()
        self.step(optimizer)
        return random_state() != before

    @cached_property
    def couples(self) -> bool:
        """Whether the course of a parameter depends on the gradients of the others, all having one at each step.

        Gradients point one way, so that what is estimated from a distance, as in Prodigy, grows; but in the second
        course the others' are larger and swing.
        """
        courses = []
        for swing in (1, -10):
            params = parameters()
            optimizer = self.make(params)
            for number in range(8):
                set_gradients(params, 0)
                params[1].grad = (swing if number % 2 else abs(swing)) * gradients(params, 0)[1]
                seed(number)
                self.step(optimizer)
            courses.append(params[:1])
        return not identical(*courses)

    @cache  # noqa: B019 - as long-lived as the examination
    def refuses(self, dtype: torch.dtype) -> str:
        """Why it takes no step with parameters of this type; empty if it does."""
        try:
            self.run(parameters(dtype), 1)
        except Stopped as stop:
            return str(stop)
        return ""


def _closure(optimizer: Optimizer) -> Callable[[], Tensor]:
    """A closure of the loss whose gradients are those that are there: linear, so the same ones at every point."""
    params = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    kept = [p.grad.clone() for p in params]

    def closure() -> Tensor:
        for p, g in zip(params, kept, strict=True):
            p.grad = g.clone()
        return sum(((p.detach() * g).sum() for p, g in zip(params, kept, strict=True)), torch.zeros(()))

    return closure
