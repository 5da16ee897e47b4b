"""torch's wrapper around `step` is passed by only where nobody would notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import ravine.torch
from ravine.torch import hooks


class Louder(ravine.torch.SGD):
    """A user's class with a step of its own."""

    def step(self, closure: Any = None) -> Any:
        self.calls = getattr(self, "calls", 0) + 1
        return super().step(closure)


def made(kind: type[torch.optim.Optimizer]) -> torch.optim.Optimizer:
    p = nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer: torch.optim.Optimizer = kind([p], lr=0.1)  # type: ignore[call-arg]
    optimizer.step()
    return optimizer


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps of which torch's wrapper tells."""
    names: list[str] = []
    real = torch.autograd.profiler.record_function

    def note(name: str, *args: Any) -> Any:
        names.append(name)
        return real(name, *args)

    monkeypatch.setattr(torch.autograd.profiler, "record_function", note)
    return names


@pytest.mark.parametrize("kind", [ravine.torch.SGD, Louder])
def test_nobody_is_told_where_nobody_listens(kind: type[torch.optim.Optimizer], told: list[str]) -> None:
    optimizer = made(kind)
    told.clear()
    optimizer.step()
    assert told == []


@pytest.mark.parametrize("kind", [ravine.torch.SGD, Louder])
def test_a_profiler_sees_every_step(kind: type[torch.optim.Optimizer]) -> None:
    optimizer = made(kind)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        optimizer.step()
    names = [event.name for event in profile.events()]
    assert f"Optimizer.step#{kind.__name__}.step" in names


def test_an_observer_of_executions_sees_every_step(tmp_path: Any) -> None:
    optimizer = made(ravine.torch.SGD)
    observer = torch.profiler.ExecutionTraceObserver().register_callback(str(tmp_path / "trace.json"))
    observer.start()
    optimizer.step()
    observer.stop()
    observer.unregister_callback()
    assert "Optimizer.step#SGD.step" in (tmp_path / "trace.json").read_text()


@pytest.mark.parametrize("where", ["own", "global"])
def test_hooks_run_once_around_the_step(where: str) -> None:
    optimizer = made(ravine.torch.SGD)
    p = optimizer.param_groups[0]["params"][0]
    seen: list[tuple[str, float]] = []

    def note(when: str) -> Callable[..., None]:
        return lambda *_: seen.append((when, p[0].item()))

    before = p[0].item()
    if where == "own":
        handles = [optimizer.register_step_pre_hook(note("pre")), optimizer.register_step_post_hook(note("post"))]
    else:
        handles = [register_optimizer_step_pre_hook(note("pre")), register_optimizer_step_post_hook(note("post"))]
    try:
        optimizer.step()
    finally:
        for handle in handles:
            handle.remove()
    assert seen == [("pre", before), ("post", p[0].item())]
    assert p[0].item() < before


def test_a_torch_that_cannot_be_asked_is_told_always(monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    monkeypatch.setattr(hooks, "HAS_CALLBACKS", "no_such_function")
    hooks._observers.cache_clear()
    try:
        step = hooks.hooked(ravine.torch.SGD.step.__wrapped__)  # type: ignore[attr-defined]
        optimizer = made(ravine.torch.SGD)
        told.clear()
        step(optimizer)
    finally:
        hooks._observers.cache_clear()
    assert "Optimizer.step#SGD.step" in told
