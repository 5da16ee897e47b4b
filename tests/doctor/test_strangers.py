"""Verdicts on optimizers as others write them: each class here once got a verdict that its own code did not earn."""

from __future__ import annotations

import random
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from doctor.test_doctor import Sound
from ravine.doctor import CHECKS, Verdict, examine
from ravine.doctor.examination import run
from ravine.doctor.subject import Subject


def verdict(check: str, kind: Any, group: Any = None, **options: Any) -> tuple[Verdict, str]:
    finding = run(check, Subject(kind, options, group or {}))
    return finding.verdict, finding.evidence


class Projector:
    def __init__(self, basis: Any) -> None:
        self.basis = basis


class InAnObject(torch.optim.Optimizer):
    """State three levels deep: what `load_state_dict` copies nothing of."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    state = self.state[p]
                    state.setdefault("per_axis", [{"projector": Projector(torch.zeros_like(p))}])
                    basis = state["per_axis"][0]["projector"].basis
                    p.sub_(basis.add_(p.grad), alpha=group["lr"])


class Narrow(Sound):
    """8-bit state for large parameters, as is usual."""

    def update(self, group: dict[str, Any], p: Any, g: Any, state: dict[str, Any]) -> None:
        if "codes" not in state:
            state["codes"] = torch.zeros(p.shape, dtype=torch.int8 if p.numel() >= 4096 else torch.float32)
        m = 0.9 * state["codes"].float() / 32 + 0.1 * g.float()
        state["codes"] = (m * 32).round().clamp(-127, 127).to(state["codes"].dtype)
        p.sub_(m.to(p.dtype), alpha=group["lr"])

    def load_state_dict(self, state_dict: Any) -> None:
        torch.optim.Optimizer.load_state_dict(self, state_dict)


class Noisy(Sound):
    """It draws random numbers from three sources."""

    def update(self, group: dict[str, Any], p: Any, g: Any, state: dict[str, Any]) -> None:
        super().update(group, p, g + 0.1 * torch.randn_like(g) + random.random(), state)


class Delayed(Sound):
    """A gradient is applied ten steps later."""

    def update(self, group: dict[str, Any], p: Any, g: Any, state: dict[str, Any]) -> None:
        waiting = state.setdefault("waiting", [])
        waiting.append(g.clone())
        if len(waiting) > 10:
            p.sub_(waiting.pop(0), alpha=group["lr"])


class SignOfMomentum(Sound):
    """The sign of NaN is no NaN: the parameter stays finite, and stays where it is for ever."""

    def update(self, group: dict[str, Any], p: Any, g: Any, state: dict[str, Any]) -> None:
        m = state.setdefault("m", torch.zeros_like(p)).lerp_(g, 0.1)
        p.sub_(m.sign(), alpha=group["lr"])


class Refuses(torch.optim.SGD):
    """A NaN is refused before anything is changed."""

    def step(self, closure: Any = None) -> Any:
        if not all(p.grad.isfinite().all() for g in self.param_groups for p in g["params"]):
            raise AssertionError  # without a message, as `assert` does
        return super().step(closure)


class OneRate(Sound):
    """It has one learning rate for all groups, and says so."""

    def step(self, closure: Any = None) -> None:
        if len({group["lr"] for group in self.param_groups}) > 1:
            raise ValueError("one lr for all groups")
        super().step(closure)


class Standing(Sound):
    def update(self, group: dict[str, Any], p: Any, g: Any, state: dict[str, Any]) -> None:
        state["step"] = state.get("step", 0) + 1


class OwnSteps(Sound):
    """The first steps are long, whatever lr is."""

    def update(self, group: dict[str, Any], p: Any, g: Any, state: dict[str, Any]) -> None:
        state["step"] = state.get("step", 0) + 1
        p.sub_(g, alpha=0.02 if state["step"] < 3 else group["lr"])


class Joint(Sound):
    """One step size from all gradients of the group."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        grads = [p.grad for g in self.param_groups for p in g["params"] if p.grad is not None]
        size = sum(float(g.norm()) for g in grads)
        for g in grads:
            g.div_(size)
        super().step(closure)


class Estimate(Sound):
    """One step size from the distance that all gradients of the group have pointed to."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        [group] = self.param_groups
        for p in group["params"]:
            if p.grad is not None:
                self.state[p]["sum"] = self.state[p].get("sum", 0) + p.grad
        far = sum(float(s["sum"].square().sum()) for s in self.state.values()) ** 0.5
        for p in group["params"]:
            if p.grad is not None:
                p.sub_(p.grad, alpha=group["lr"] * max(1.0, far / 300))


class LateWork(Sound):
    """Its first steps need no memory of their own."""

    def update(self, group: dict[str, Any], p: Any, g: Any, state: dict[str, Any]) -> None:
        state["step"] = state.get("step", 0) + 1
        p.sub_(g if state["step"] < 6 else 2 * g, alpha=group["lr"])


class Cubic(Sound):
    def update(self, group: dict[str, Any], p: Any, g: Any, state: dict[str, Any]) -> None:
        p.sub_(g, alpha=group["lr"] ** 3)


class Wrapper(torch.optim.Optimizer):
    """It steps twice, and needs a closure although its signature doesn't say so; its groups need a key."""

    def __init__(self, params: Any, base_optimizer: Any, **options: Any) -> None:
        super().__init__(params, {"rho": 0.05})
        assert all("kind" in group for group in self.param_groups)
        self.base = base_optimizer(self.param_groups, **options)

    def step(self, closure: Any = None) -> None:
        if closure is None:
            raise RuntimeError("give a closure")
        closure()
        self.base.step()
        closure()


class Empty(torch.optim.SGD):
    def load_state_dict(self, state_dict: Any) -> None:
        raise AssertionError


def test_state_in_objects_lists_and_dicts_is_seen() -> None:
    got, evidence = verdict("aliasing on load", InAnObject)
    assert got is Verdict.FAIL
    assert "per_axis.0.projector.basis of the source" in evidence


def test_parameters_are_large_enough_for_quantised_state() -> None:
    got, evidence = verdict("dtype on load", Narrow)
    assert got is Verdict.FAIL
    assert "codes was int8, came back as float32" in evidence


@pytest.mark.parametrize("check", ["determinism", "dtype on load", "GradScaler", "no gradient"])
def test_an_optimizer_that_draws_random_numbers_draws_the_same_ones(check: str) -> None:
    got, evidence = verdict(check, Noisy)
    assert got is Verdict.PASS, evidence


def test_the_caller_s_random_numbers_go_on_as_if_nothing_had_been() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with pytest.raises(TypeError, match="took no step"):
        examine(torch.optim.SparseAdam)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("kind", "harm"), [(Delayed, "not finite"), (SignOfMomentum, "never moves again")])
def test_harm_that_comes_late_or_leaves_no_nan_is_seen(kind: Any, harm: str) -> None:
    got, evidence = verdict("NaN", kind, on_nonfinite="propagate")
    assert got is Verdict.FAIL
    assert harm in evidence


def test_a_step_that_refuses_a_nan_is_a_guard_and_its_evidence_is_never_empty() -> None:
    got, evidence = verdict("NaN", Refuses)
    assert got is Verdict.PASS
    assert "changes nothing" in evidence
    assert "test_strangers.py, line " in evidence
    assert "raise AssertionError  # without" in evidence


def test_the_doctor_s_own_schedule_breaks_no_rule_of_the_class() -> None:
    got, evidence = verdict("empty group", OneRate)
    assert got is Verdict.PASS, evidence


@pytest.mark.parametrize(("kind", "why"), [(Standing, "go 0.0e+00 far"), (OwnSteps, "the longest of them 2.0e-02")])
def test_no_stall_is_told_where_steps_can_not_be_made_small(kind: Any, why: str) -> None:
    got, evidence = verdict("bfloat16 stall", kind)
    assert got is Verdict.NOT_APPLICABLE
    assert why in evidence


def test_a_rate_that_the_user_has_given_is_a_rate() -> None:
    assert verdict("bfloat16 stall", torch.optim.SGD, lr=0.1)[0] is Verdict.FAIL
    made_by_function = Subject(lambda params: torch.optim.SGD(params, lr=0.1))
    assert CHECKS["bfloat16 stall"](made_by_function)[0] is Verdict.FAIL


def test_a_rate_is_found_where_the_way_is_not_in_proportion_to_it() -> None:
    got, evidence = verdict("bfloat16 stall", Cubic, rounding="nearest")
    assert got is Verdict.FAIL, evidence


def test_memory_is_measured_after_a_warm_up() -> None:
    got, evidence = verdict("extra memory", LateWork)
    assert got is Verdict.FAIL, evidence


@pytest.mark.parametrize("kind", [Joint, Estimate])
def test_parameters_that_share_a_step_size_are_not_compared_with_one_alone(kind: Any) -> None:
    got, evidence = verdict("no gradient", kind)
    assert got is Verdict.NOT_APPLICABLE
    assert "depends on the others' gradients" in evidence


def test_closures_wrappers_and_keys_of_groups() -> None:
    for kind, group, options in (
        (torch.optim.LBFGS, {}, {}),
        (Wrapper, {"kind": "matrix"}, {"base_optimizer": torch.optim.SGD, "lr": 0.1}),
    ):
        for check in ("GradScaler", "empty group"):
            got, evidence = verdict(check, kind, group, **options)
            assert got is Verdict.NOT_APPLICABLE
            assert "closure" in evidence
        assert verdict("no gradient", kind, group, **options)[0] is not Verdict.FAIL
    assert verdict("determinism", Wrapper, {"kind": "matrix"}, base_optimizer=torch.optim.SGD)[0] is Verdict.PASS


def test_an_error_of_the_doctor_s_own_is_not_the_optimizer_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ravine.doctor.examination.CHECKS", {"NaN": lambda subject: 1 / 0})
    report = examine(torch.optim.SGD)
    assert report.findings[0].verdict is Verdict.UNDECIDED
    assert "ZeroDivisionError" in report.findings[0].evidence
    assert not report.passed


def test_a_refusal_without_words_is_told_with_its_line() -> None:
    got, evidence = verdict("dtype on load", Empty)
    assert got is Verdict.FAIL
    assert "load_state_dict(): AssertionError: test_strangers.py, line" in evidence
    assert ": raise AssertionError" in evidence
