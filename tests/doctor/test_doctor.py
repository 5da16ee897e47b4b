"""The doctor finds each defect in an optimizer that has it, and none in one that has none."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from ravine.doctor import CHECKS, Verdict, examine, load_class
from ravine.doctor.subject import Subject


class Sound(torch.optim.Optimizer):
    """Momentum with every guard, in the plainest way. Its subclasses have one defect each."""

    def __init__(
        self,
        params: Any,
        lr: float = 0.01,
        *,
        foreach: bool | None = None,
        on_nonfinite: str = "propagate",
        rounding: str = "nearest",
    ) -> None:
        super().__init__(params, {"lr": lr, "foreach": foreach, "on_nonfinite": on_nonfinite, "rounding": rounding})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            grads = [p.grad for p in group["params"] if p.grad is not None]
            if group["on_nonfinite"] != "propagate" and not all(g.isfinite().all() for g in grads):
                if group["on_nonfinite"] == "error":
                    raise RuntimeError("a gradient is not finite")
                continue
            for p in group["params"]:
                if p.grad is not None:
                    self.update(group, p, p.grad, self.state[p])

    def update(self, group: dict[str, Any], p: Any, g: Any, state: dict[str, Any]) -> None:
        state["step"] = state.get("step", 0) + 1
        if "buffer" not in state:
            state["buffer"] = torch.zeros_like(p, dtype=torch.float32 if p.dtype == torch.bfloat16 else p.dtype)
        state["buffer"].mul_(0.9).add_(g)
        new = p - group["lr"] * state["buffer"]
        if group["rounding"] == "stochastic":
            bits = new.float().view(torch.int32) + torch.randint_like(p, 1 << 16, dtype=torch.int32)
            new = (bits & ~0xFFFF).view(torch.float32)
        p.copy_(new)

    def state_dict(self) -> dict[str, Any]:
        saved = super().state_dict()
        empty = {str(i): dict(g) for i, g in enumerate(saved["param_groups"]) if not g["params"]}
        if empty:  # torch's distributed checkpointing loses an empty group's values: another group carries them
            next(g for g in saved["param_groups"] if g["params"])["empty"] = empty
        return saved

    def load_state_dict(self, state_dict: Any) -> None:
        saved = {**state_dict, "state": dict(state_dict["state"])}
        super().load_state_dict(saved)
        for carrier in self.param_groups:
            for number, values in carrier.pop("empty", {}).items():
                self.param_groups[int(number)].update({k: v for k, v in values.items() if k != "params"})
        params = [p for group in self.param_groups for p in group["params"]]
        ids = [i for group in saved["param_groups"] for i in group["params"]]
        for i, p in zip(ids, params, strict=True):
            if i in saved["state"]:
                kept = saved["state"][i]
                self.state[p] = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in kept.items()}


class Aliases(Sound):
    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        params = [p for group in self.param_groups for p in group["params"]]
        self.state.update({p: dict(state_dict["state"][i]) for i, p in enumerate(params)})


class Casts(Sound):
    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        for p, kept in self.state.items():
            kept["buffer"] = kept["buffer"].to(p.dtype)


class Forgets(Sound):
    def load_state_dict(self, state_dict: Any) -> None:
        torch.optim.Optimizer.load_state_dict(self, state_dict)


class Foreach(Sound):
    def update(self, group: dict[str, Any], p: Any, g: Any, state: dict[str, Any]) -> None:
        if group["foreach"] and type(p).__name__ == "DTensor":
            raise RuntimeError("got mixed torch.Tensor and DTensor")
        super().update(group, p, g, state)


class Unscaled(Sound):
    _step_supports_amp_scaling = True  # it says so, but looks at neither scale nor infinity


class Unguarded(torch.optim.SGD):
    pass


class Nearest(Sound):
    def update(self, group: dict[str, Any], p: Any, g: Any, state: dict[str, Any]) -> None:
        super().update({**group, "rounding": "nearest"}, p, g, state)


class Recompiles(Sound):
    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(
                    p.grad * {group["lr"]: group["lr"]}[group["lr"]]
                )  # a key makes the value a constant of the graph


class SharedClock(Sound):
    def update(self, group: dict[str, Any], p: Any, g: Any, state: dict[str, Any]) -> None:
        group["clock"] = group.get("clock", 0) + 1
        p.sub_(g, alpha=group["lr"] / group["clock"])


class Erratic(Sound):
    dice = torch.Generator()  # no seed of the program's reaches it

    def update(self, group: dict[str, Any], p: Any, g: Any, state: dict[str, Any]) -> None:
        super().update(group, p, g + 1e-3 * torch.rand(g.shape, generator=self.dice), state)


class TwoMinds(Sound):
    def update(self, group: dict[str, Any], p: Any, g: Any, state: dict[str, Any]) -> None:
        super().update(group, p, g * (1 + 1e-9) if group["foreach"] else g, state)


DEFECTS = {
    "aliasing on load": Aliases,
    "dtype on load": Casts,
    "empty group": Forgets,
    "plain and DTensor": Foreach,
    "GradScaler": Unscaled,
    "NaN": Unguarded,
    "bfloat16 stall": Nearest,
    "extra memory": Sound,  # it makes a temporary array for every parameter
    "recompiles": Recompiles,
    "no gradient": SharedClock,
    "determinism": Erratic,
    "foreach ≡ loop ≡ fused": TwoMinds,
}


def test_every_check_has_a_defect_to_find() -> None:
    assert DEFECTS.keys() == CHECKS.keys()


@pytest.mark.parametrize("name", CHECKS)
def test_a_defect_is_found(name: str) -> None:
    verdict, evidence = CHECKS[name](Subject(DEFECTS[name]))
    assert verdict is Verdict.FAIL, evidence


@pytest.mark.parametrize("name", [name for name in CHECKS if name != "extra memory"])
def test_a_sound_optimizer_passes(name: str) -> None:
    verdict, evidence = CHECKS[name](Subject(Sound))
    assert verdict is Verdict.PASS, evidence


def test_an_update_in_place_needs_no_memory() -> None:
    verdict, evidence = CHECKS["extra memory"](Subject(torch.optim.SGD))
    assert verdict is Verdict.PASS, evidence


def test_checks_that_make_no_sense_for_a_class_are_not_applicable() -> None:
    assert CHECKS["aliasing on load"](Subject(torch.optim.SGD))[0] is Verdict.NOT_APPLICABLE
    single = Subject(Sound, {"foreach": None})  # the user has fixed the implementation
    assert CHECKS["foreach ≡ loop ≡ fused"](single)[0] is Verdict.NOT_APPLICABLE


class WithModes(Sound):
    """As schedule-free optimizers are: the parameters are others in training."""

    is_training = False

    def train(self) -> None:
        self.is_training = True

    def step(self, closure: Any = None) -> None:
        if not self.is_training:
            raise RuntimeError("not in train mode")
        super().step(closure)


class OwnRate(Sound):
    """lr is None unless it is told to follow one, as in Adafactor."""

    def __init__(self, params: Any, lr: float | None = None, *, follow: bool = False) -> None:
        if lr is not None and not follow:
            raise ValueError("cannot combine lr with a rate of its own")
        super().__init__(params, 0.01)
        self.param_groups[0]["lr"] = lr

    def update(self, group: dict[str, Any], p: Any, g: Any, state: dict[str, Any]) -> None:
        super().update({**group, "lr": group["lr"] or 0.01}, p, g, state)


def test_a_class_with_modes_is_examined_in_training() -> None:
    report = examine(WithModes)
    assert {f.check for f in report.findings if f.verdict is Verdict.FAIL} == {"extra memory"}


def test_a_class_with_a_rate_of_its_own_has_nothing_to_schedule() -> None:
    for check in ("recompiles", "bfloat16 stall"):
        verdict, evidence = CHECKS[check](Subject(OwnRate))
        assert verdict is Verdict.NOT_APPLICABLE, evidence
    assert CHECKS["recompiles"](Subject(OwnRate, {"lr": 0.01, "follow": True}))[0] is Verdict.PASS


def test_what_takes_no_step_can_not_be_examined() -> None:
    with pytest.raises(TypeError, match="took no step"):
        examine(torch.optim.SparseAdam)


@pytest.mark.parametrize(
    ("reference", "error", "message"),
    [
        ("torch.optim", ValueError, "MODULE:NAME"),
        ("torch.optim:Adan", ValueError, "did you mean 'Adam'"),
        ("no_such_module:Adam", ImportError, "no_such_module"),
        ("torch.nn:Linear", TypeError, "not a subclass"),
    ],
)
def test_a_wrong_reference_is_explained(reference: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load_class(reference)
