"""Every class of ravine.torch passes its own doctor."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import ravine.torch
from ravine.doctor import Verdict, cost, examine
from ravine.doctor.subject import Subject

CLASSES = ["SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Lion"]
NOT_APPLICABLE = {
    "SGD": {"aliasing on load", "dtype on load"},  # it keeps no state without momentum
    "Lion": {"foreach ≡ loop ≡ fused"},
}


@pytest.mark.parametrize(("name", "options"), [*((n, {}) for n in CLASSES), ("SGD", {"momentum": 0.9})])
def test_a_class_of_ours_passes_everything(name: str, options: dict[str, Any]) -> None:
    report = examine(getattr(ravine.torch, name), **options)
    assert report.passed, [f for f in report.findings if f.verdict is Verdict.FAIL]
    expected = NOT_APPLICABLE.get(name, set()) if not options else set()
    expected = expected | {"recompiles"}  # torch.compile leaves the step to the kernels
    assert {f.check for f in report.findings if f.verdict is Verdict.NOT_APPLICABLE} == expected


def test_what_the_profiler_takes_is_not_a_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first profile of a process imports modules, and so does the first step in it."""
    monkeypatch.delitem(sys.modules, "torch.profiler._cupti_monitor", raising=False)
    monkeypatch.delattr(torch.profiler, "_cupti_monitor", raising=False)
    kept: list[Any] = []
    for name in ("__enter__", "__exit__"):
        real = getattr(torch.profiler.profile, name)

        def noted(self: Any, *args: Any, real: Any = real) -> Any:
            kept.append(bytes(1 << 20))
            return real(self, *args)

        monkeypatch.setattr(torch.profiler.profile, name, noted)
    assert cost.extra_memory(Subject(ravine.torch.Adam))[0] is Verdict.PASS
    assert len(kept) == 2


def test_why_a_parameter_is_not_simply_stepped_is_told() -> None:
    def with_whole_counts(params: list[Any]) -> Any:
        optimizer = ravine.torch.Adam(params)
        for p in params:
            optimizer.state[p]["step"] = torch.tensor(0)
        return optimizer

    for _ in range(2):
        _, evidence = cost.extra_memory(Subject(with_whole_counts))
        assert evidence.count("Ravine's log says") == 1
        assert "step is int64" in evidence
    assert "log" not in cost.extra_memory(Subject(ravine.torch.Adam))[1]
    assert logging.getLogger("ravine").level == logging.NOTSET
