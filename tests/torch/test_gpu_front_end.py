"""ravine.torch on accelerators, with tensors of the CPU and a stand-in for NVIDIA's library in their places."""

from __future__ import annotations

import copy
import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import ravine
import ravine.torch
from ptx.cuda import Cuda, HostDevice
from ptx.hold import roots, same
from ravine.torch import accelerator, delegate
from ravine.torch.gpu_plan import GpuPlan


class Card:
    """A GPU whose memory is the host's. `tensors` has what a kernel may touch: an optimizer's own."""

    def __init__(self) -> None:
        self.cuda = Cuda()
        self.devices = [HostDevice(self.cuda, index) for index in (0, 1)]
        self.has_counts = False  # whether numbers without dimensions lie on it
        launch = self.cuda._execute
        self.cuda._execute = lambda *given: (self.own(), launch(*given))  # type: ignore[method-assign]
        self.optimizers: list[torch.optim.Optimizer] = []
        self.extra: list[torch.Tensor] = []

    def own(self) -> None:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                for p in group["params"]:
                    grads = [] if p.grad is None else [p.grad]
                    states = [v for v in optimizer.state.get(p, {}).values() if isinstance(v, torch.Tensor)]
                    for a in (p, *grads, *states):
                        self.cuda.memory.own(a.data_ptr(), a.nbytes)
        for a in self.extra:
            self.cuda.memory.own(a.data_ptr(), a.nbytes)

    @property
    def names(self) -> list[str]:
        return [launch.name for launch in self.cuda.launches]


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    made = Card()
    monkeypatch.setattr(accelerator, "is_on", lambda a: a.dim() > 0 or made.has_counts)
    monkeypatch.setattr(accelerator, "engine", lambda place: made.devices[0])
    yield made
    gc.collect()


SHAPES = ((7,), (33, 5), (64, 16), (1,))


def parameters(dtype: torch.dtype = torch.float32) -> list[torch.nn.Parameter]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, dtype=dtype)) for shape in SHAPES]


def train(optimizer: torch.optim.Optimizer, steps: int = 4, seed: int = 1) -> None:
    torch.manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = torch.randn_like(p)
        optimizer.step()


CLASSES = [
    ("Adam", {"amsgrad": True}),
    ("AdamW", {}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1}),
    ("SGD", {"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("NAdam", {}),
    ("Lion", {}),
]


@pytest.mark.parametrize(("name", "options"), CLASSES, ids=str)
def test_parameters_on_a_card_are_stepped_there_by_themselves(card: Card, name: str, options: dict[str, Any]) -> None:
    """To the bits of the CPU's engine, parameters and state, in one launch a step."""
    ours, theirs = parameters(), parameters()
    on_card = getattr(ravine.torch, name)(ours, **options)
    card.optimizers.append(on_card)
    train(on_card)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accelerator, "is_on", lambda p: False)
        on_host = getattr(ravine.torch, name)(theirs, **options)
        train(on_host)
    assert card.names == ["run"] * 4
    assert isinstance(on_card._plans[0], GpuPlan)
    assert all(map(same, [p.detach() for p in ours], [p.detach() for p in theirs]))
    for p, q in zip(ours, theirs, strict=True):
        assert on_card.state[p].keys() == on_host.state[q].keys()
        assert all(same(on_card.state[p][key], on_host.state[q][key]) for key in on_card.state[p])


@pytest.mark.parametrize("options", [{"fused": True}, {"capturable": True}, {"capturable": True, "amsgrad": True}])
def test_counts_that_torch_keeps_on_the_device_stay_there(
    card: Card, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """No number is read: neither counts, nor a rate that is a tensor, nor what GradScaler found."""
    card.has_counts = True
    ours, theirs = parameters(), parameters()
    rate = torch.tensor(0.01)
    optimizer = ravine.torch.Adam(ours, lr=rate, **options)
    wanted = torch.optim.Adam(theirs, lr=0.01, amsgrad=options.get("amsgrad", False), foreach=False)
    card.optimizers.append(optimizer)
    card.extra.append(rate)
    train(optimizer, 1)
    with monkeypatch.context() as patch:
        for reading in ("item", "__float__", "__bool__", "tolist"):
            patch.setattr(torch.Tensor, reading, _refuse)
        train(optimizer, 3, seed=2)
        rate.fill_(0.005)
        train(optimizer, 2, seed=3)
    assert card.names == ["prepare", "run"] * 6
    train(wanted, 1)
    train(wanted, 3, seed=2)
    wanted.param_groups[0]["lr"] = 0.005
    train(wanted, 2, seed=3)
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=3e-6, atol=1e-7)
        assert optimizer.state[p]["step"].item() == 6
        assert optimizer.state[p]["step"].device == p.device


def _refuse(self: torch.Tensor, *given: object) -> Any:
    raise AssertionError("a number was read, which waits for the device")


@pytest.mark.parametrize("is_unscaled", [False, True])
def test_a_grad_scaler_is_obeyed_without_a_look(card: Card, is_unscaled: bool) -> None:
    card.has_counts = True
    ours = parameters()
    optimizer = ravine.torch.AdamW(ours, lr=0.1, fused=True)
    card.optimizers.append(optimizer)
    train(optimizer, 1)
    scale, found = torch.tensor(8.0), torch.tensor(1.0)
    card.extra += [scale, found]
    optimizer.grad_scale = None if is_unscaled else scale
    optimizer.found_inf = found
    before = [p.detach().clone() for p in ours]
    train(optimizer, 1)
    assert all(map(same, before, [p.detach() for p in ours]))
    assert [optimizer.state[p]["step"].item() for p in ours] == [1.0] * len(ours)
    found.fill_(0.0)
    train(optimizer, 1)
    torch.manual_seed(1)
    for p, old in zip(ours, before, strict=True):
        raw = torch.randn_like(p)
        assert same(p.grad, raw if is_unscaled else raw / 8.0)
        assert not same(p.detach(), old)
        assert optimizer.state[p]["step"].item() == 2.0


def test_an_optimizer_is_captured_and_replayed(card: Card) -> None:
    card.has_counts = True
    ours = parameters()
    optimizer = ravine.torch.Adam(ours, lr=0.01, capturable=True)
    card.optimizers.append(optimizer)
    train(optimizer, 2)
    card.devices[0].current = 5
    card.cuda.capturing.add(5)
    optimizer.step()
    card.cuda.capturing.clear()
    assert [launch.stream for launch in card.cuda.captured] == [5, 5]
    for _ in range(3):
        card.cuda.replay()
    assert optimizer.state[ours[0]]["step"].item() == 5.0


@pytest.mark.parametrize("kind", ["from_recipe", "set", "Lion"])
def test_optimizers_that_torch_lacks_are_captured_and_replayed(card: Card, kind: str) -> None:
    """As many steps as without a capture give the same bits."""
    card.has_counts = True

    def made(params: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        if kind == "Lion":  # its equation counts no steps
            return ravine.torch.Lion(params, lr=0.01)
        if kind == "from_recipe":
            return ravine.torch.from_recipe(params, "adan", capturable=True)
        group = {"params": params, "recipe": ravine.recipe("ademamix")}
        return ravine.torch.SetOptimizer([group], capturable=True)

    captured, plain = parameters(), parameters()
    on_card = made(captured)
    card.optimizers.append(on_card)
    train(on_card, 2)
    card.cuda.capturing.add(0)
    on_card.step()
    card.cuda.capturing.clear()
    for _ in range(3):
        card.cuda.replay()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accelerator, "is_on", lambda p: False)
        on_host = made(plain)
        train(on_host, 2)
        for _ in range(3):  # the capture itself did nothing
            on_host.step()
    assert all(map(same, [p.detach() for p in captured], [p.detach() for p in plain]))
    for p, q in zip(captured, plain, strict=True):
        assert all(same(on_card.state[p][key].float(), on_host.state[q][key].float()) for key in on_card.state[p])


def test_a_capture_of_what_torch_lacks_needs_the_engine(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = [torch.nn.Parameter(torch.ones(3, device="meta"))]
    ours[0].grad = torch.ones(3, device="meta")
    monkeypatch.setattr(accelerator, "engine", lambda place: "RAVINE_GPU is off")
    optimizer = ravine.torch.from_recipe(ours, "adan", capturable=True)
    with pytest.raises(RuntimeError, match=r"capturable=True .* needs the GPU engine: RAVINE_GPU is off"):
        optimizer.step()


def test_counts_on_the_host_are_not_captured(card: Card) -> None:
    optimizer = ravine.torch.Adam(parameters())
    card.optimizers.append(optimizer)
    train(optimizer, 1)
    card.cuda.capturing.add(0)
    with pytest.raises(RuntimeError, match="capturable=True"):
        optimizer.step()


def test_a_first_step_in_a_capture_is_refused(card: Card) -> None:
    optimizer = ravine.torch.SGD(parameters(), lr=0.1)
    card.cuda.capturing.add(0)
    with pytest.raises(RuntimeError, match="take a step before the capture begins"):
        train(optimizer, 1)
    card.cuda.capturing.clear()
    card.optimizers.append(optimizer)
    train(optimizer, 1)
    assert card.names == ["run"]


def test_random_rounding_is_refused_in_a_capture(card: Card) -> None:
    card.has_counts = True
    ours = parameters(torch.bfloat16)
    optimizer = ravine.torch.AdamW(ours, capturable=True, rounding="stochastic")
    card.optimizers.append(optimizer)
    train(optimizer, 1)
    card.cuda.capturing.add(0)
    with pytest.raises(RuntimeError, match="rounding at random draws new numbers"):
        optimizer.step()


@pytest.mark.parametrize(("name", "rounding"), [("AdamW", "stochastic"), ("SGD", "stochastic"), ("AdamW", "remainder")])
def test_random_rounding_has_the_cpus_bits(card: Card, name: str, rounding: str) -> None:
    def trained() -> list[torch.nn.Parameter]:
        ours = parameters(torch.bfloat16)
        optimizer = getattr(ravine.torch, name)(ours, lr=0.01, rounding=rounding, rounding_seed=3)
        card.optimizers.append(optimizer)
        train(optimizer)
        return ours

    ours = trained()
    assert card.names == ["run"] * 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accelerator, "is_on", lambda p: False)
        theirs = trained()
    assert all(map(same, [p.detach() for p in ours], [p.detach() for p in theirs]))


def test_each_device_and_storage_has_a_launch(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices in one group, and two types on one of them."""
    ours = parameters() + parameters(torch.float64)
    second = {id(ours[0]), id(ours[2])}
    monkeypatch.setattr(accelerator, "engine", lambda place: card.devices[0])
    key = GpuPlan._key

    def on_two(self: GpuPlan, row: Any) -> Any:
        found = key(self, row)
        return (card.devices[1], *found[1:]) if id(row[0]) in second else found

    monkeypatch.setattr(GpuPlan, "_key", on_two)
    optimizer = ravine.torch.RMSprop(ours)
    card.optimizers.append(optimizer)
    train(optimizer, 2)
    started = [(launch.device, launch.name) for launch in card.cuda.launches]
    assert sorted(started[:3]) == [(0, "run"), (0, "run"), (1, "run")]
    assert len(started) == 6


def test_a_plan_is_kept_from_step_to_step_and_uploads_nothing(card: Card) -> None:
    optimizer = ravine.torch.Adam(parameters())
    card.optimizers.append(optimizer)
    train(optimizer, 1)
    plan, uploads = optimizer._plans[0], card.devices[0].uploads
    train(optimizer, 3)
    assert optimizer._plans[0] is plan
    assert card.devices[0].uploads == uploads
    card.optimizers.append(copied := copy.deepcopy(optimizer))
    train(copied, 1)
    assert copied._plans[0] is not plan


def test_replaced_state_makes_a_new_plan(card: Card) -> None:
    ours = parameters()
    optimizer = ravine.torch.Adam(ours)
    card.optimizers.append(optimizer)
    train(optimizer, 1)
    plan = optimizer._plans[0]
    optimizer.state[ours[1]]["exp_avg"] = torch.ones_like(ours[1])
    train(optimizer, 1)
    assert optimizer._plans[0] is not plan


def test_odd_layouts_are_stepped_by_foreach_operations(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the numbers of the CPU's engine; nothing goes tensor by tensor."""
    from ravine.engines import eager, foreach

    monkeypatch.setattr(eager, "step", _refuse)
    ours = parameters()
    ours[1] = torch.nn.Parameter(torch.randn(10, 33)[::2].t())
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    calls = []
    step = foreach.step
    monkeypatch.setattr(foreach, "step", lambda *given: calls.append(len(given[1])) or step(*given))
    optimizer = ravine.torch.Adam(ours)
    card.optimizers.append(optimizer)
    train(optimizer)
    assert calls == [1] * 4
    wanted = torch.optim.Adam(theirs, foreach=False)
    train(wanted)
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=2e-6, atol=1e-8)


WITHOUT = [("Adam", "fused"), ("AdamW", "fused"), ("SGD", "fused"), ("RMSprop", "foreach"), ("NAdam", "foreach")]


@pytest.mark.parametrize(("name", "way"), WITHOUT)
def test_without_the_engine_torchs_fastest_way_is_taken(
    card: Card, monkeypatch: pytest.MonkeyPatch, name: str, way: str
) -> None:
    monkeypatch.setattr(accelerator, "engine", lambda place: "RAVINE_GPU is off")
    theirs = sys.modules["torch.optim.optimizer"]
    monkeypatch.setattr(theirs, "_get_foreach_kernels_supported_devices", lambda: ["cpu"])
    monkeypatch.setattr(theirs, "_foreach_supported_types", [torch.Tensor, torch.nn.Parameter])
    module = sys.modules[f"torch.optim.{name.lower()}"]
    ways = {"fused": f"_fused_{name.lower()}", "foreach": f"_multi_tensor_{name.lower()}"}
    if name == "AdamW":
        module = sys.modules["torch.optim.adam"]
        ways = {"fused": "_fused_adam", "foreach": "_multi_tensor_adam"}
    seen: list[str] = []
    for each, function in ways.items():
        if hasattr(module, function):
            known = getattr(module, function)
            monkeypatch.setattr(
                module, function, lambda *a, each=each, known=known, **k: seen.append(each) or known(*a, **k)
            )
    optimizer = getattr(ravine.torch, name)(parameters())
    train(optimizer, 2)
    assert card.names == []
    assert seen == [way] * 2
    assert optimizer.param_groups[0].get("fused") is None


def test_rules_that_torch_lacks_fall_back_to_foreach_operations(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    from ravine.engines import eager

    monkeypatch.setattr(eager, "step", _refuse)
    monkeypatch.setattr(accelerator, "engine", lambda place: "RAVINE_GPU is off")
    monkeypatch.setattr(torch, "_foreach_sqrt", roots)
    ours, theirs = parameters(), parameters()
    for params, is_on in ((ours, True), (theirs, False)):
        monkeypatch.setattr(accelerator, "is_on", lambda p, is_on=is_on: is_on)
        train(ravine.torch.from_recipe(params, "rmsprop_momentum", lr=0.01))
    assert card.names == []
    for p, q in zip(ours, theirs, strict=True):
        assert same(p.detach(), q.detach())


def test_state_on_another_device_is_named(card: Card) -> None:
    ours = parameters()
    optimizer = ravine.torch.Adam(ours)
    card.optimizers.append(optimizer)
    train(optimizer, 1)
    optimizer.state[ours[1]]["exp_avg"] = torch.empty(33, 5, device="meta")
    with pytest.raises(RuntimeError, match=r"exp_avg of a parameter of shape \(33, 5\) on cpu is on meta"):
        train(optimizer, 1)


def test_a_compiled_step_is_stepped_all_the_same(card: Card) -> None:
    ours = parameters()
    optimizer = ravine.torch.Adam(ours)
    card.optimizers.append(optimizer)
    train(optimizer, 1)
    step = torch.compile(optimizer.step, backend="eager")
    step()
    assert card.names == ["run"] * 2


@pytest.mark.parametrize("rule", ["adam", "lion", "momentum"])
def test_a_rule_of_ones_own_runs_on_a_card_with_narrow_state(card: Card, rule: str) -> None:
    ours = parameters()
    optimizer = ravine.torch.from_recipe(ours, rule, state_dtype=torch.bfloat16)
    card.optimizers.append(optimizer)
    train(optimizer, 2)
    assert card.names == ["run"] * 2


def test_differentiable_and_sparse_stay_torchs(card: Card) -> None:
    p = torch.nn.Parameter(torch.ones(3, 2))
    p.grad = torch.sparse_coo_tensor([[0]], [[1.0, 2.0]], (3, 2), check_invariants=True)
    optimizer = ravine.torch.SGD([p], lr=0.1)
    optimizer.step()
    assert card.names == []
    assert delegate.is_needed(optimizer.param_groups[0], [p])


def test_places_without_an_engine_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not torch's device 'mps'" in str(accelerator.engine(torch.device("mps")))
    monkeypatch.setattr(torch.version, "hip", "6.0")
    assert "ROCm" in str(accelerator.engine(torch.device("cuda", 0)))
    monkeypatch.setenv("RAVINE_GPU", "off")
    assert accelerator.engine(torch.device("cuda", 0)) == "RAVINE_GPU is off"
