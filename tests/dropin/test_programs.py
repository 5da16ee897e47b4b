"""What training programs do to an optimizer: the same program with torch's class and with ours, side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from steplock import NAMES, default_dtype, ours, takes_late_parameters, theirs
from torch import nn
from torch.optim import lr_scheduler, swa_utils
from torch.optim import optimizer as hooks

import ravine.torch


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.BatchNorm1d(5), nn.Linear(5, 2)).double()


def batch(number: int) -> tuple[Any, Any]:
    random = torch.Generator().manual_seed(number)
    return torch.randn(8, 6, generator=random).double(), torch.randn(8, 2, generator=random).double()


def loss_of(net: nn.Module, number: int) -> Any:
    x, y = batch(number)
    return ((net(x) - y) ** 2).mean()


def both(program: Callable[[Any], Any], name: str = "Adam", tolerance: float = 1e-9) -> None:
    """Run a program with each class; it returns what must be the same."""
    with default_dtype(torch.float64):
        torch.testing.assert_close(program(ours(name)), program(theirs(name)), rtol=tolerance, atol=tolerance)


def weights(net: nn.Module) -> list[Any]:
    return [p.detach().clone() for p in net.parameters()]


SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 0.9**epoch),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda epoch: 0.9),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 3, gamma=0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 5], gamma=0.5),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o), lr_scheduler.ExponentialLR(o, 0.9)], [4]
    ),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 7),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.LinearLR(o), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.001, 0.1, step_size_up=3),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=12),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 10),
    "SWALR": lambda o: swa_utils.SWALR(o, 0.05, anneal_epochs=4),
}


def test_every_scheduler_of_torch_is_here() -> None:
    abstract = {"LRScheduler", "_LRScheduler"}
    known = {n for n in vars(lr_scheduler) if isinstance(getattr(lr_scheduler, n), type)}
    known = {n for n in known if issubclass(getattr(lr_scheduler, n), lr_scheduler.LRScheduler)}
    assert known - abstract <= SCHEDULERS.keys()


@pytest.mark.filterwarnings("ignore:The epoch parameter in:UserWarning")  # of old versions' own SequentialLR
@pytest.mark.parametrize("schedule", SCHEDULERS)
@pytest.mark.parametrize(("name", "options"), [("SGD", {"momentum": 0.9}), ("Adam", {})])
def test_schedulers_drive_it(schedule: str, name: str, options: dict[str, Any]) -> None:
    """Also momentum and betas: OneCycleLR and CyclicLR cycle them."""

    def program(kind: Any) -> Any:
        net = network()
        optimizer = kind(net.parameters(), lr=0.1, **options)
        scheduler = SCHEDULERS[schedule](optimizer)
        course = []
        for number in range(10):
            optimizer.zero_grad()
            loss_of(net, number).backward()
            optimizer.step()
            scheduler.step(*([1.0] if schedule == "ReduceLROnPlateau" else []))
            group = optimizer.param_groups[0]
            course.append(torch.tensor([group["lr"], *group.get("betas", [group.get("momentum")])]))
        return weights(net), course

    both(program, name)


@pytest.mark.parametrize("name", NAMES)
def test_lr_as_a_tensor_is_read_at_every_step(name: str) -> None:
    def program(kind: Any) -> Any:
        net = network()
        optimizer = kind(net.parameters(), lr=torch.tensor(0.1), **({} if name == "SGD" else {"foreach": False}))
        scheduler = lr_scheduler.ExponentialLR(optimizer, 0.5)
        for number in range(4):
            optimizer.zero_grad()
            loss_of(net, number).backward()
            optimizer.step()
            scheduler.step()
        return weights(net), optimizer.param_groups[0]["lr"]

    both(program, name, 1e-7 if name == "RAdam" else 1e-9)


def test_averages_of_weights() -> None:
    def program(kind: Any) -> Any:
        net = network()
        optimizer = kind(net.parameters(), lr=0.1)
        mean = swa_utils.AveragedModel(net)
        moving = swa_utils.AveragedModel(net, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9))
        scheduler = swa_utils.SWALR(optimizer, 0.05)
        for number in range(6):
            optimizer.zero_grad()
            loss_of(net, number).backward()
            optimizer.step()
            mean.update_parameters(net)
            moving.update_parameters(net)
            scheduler.step()
        swa_utils.update_bn([batch(n)[0] for n in range(3)], mean)
        return weights(mean), weights(moving), list(mean.buffers())

    both(program)


def test_hooks_run_in_torchs_order() -> None:
    def program(kind: Any) -> Any:
        net, seen = network(), []
        optimizer = kind(net.parameters())
        handles = [
            optimizer.register_step_pre_hook(lambda o, a, k: seen.append(1)),
            optimizer.register_step_post_hook(lambda o, a, k: seen.append(2)),
            hooks.register_optimizer_step_pre_hook(lambda o, a, k: seen.append(3)),
            hooks.register_optimizer_step_post_hook(lambda o, a, k: seen.append(4)),
        ]
        for number in range(2):
            loss_of(net, number).backward()
            optimizer.step()
        for handle in handles:
            handle.remove()
        optimizer.step()
        return torch.tensor(seen)

    both(program)


@pytest.mark.parametrize("name", NAMES)
def test_a_closure_is_called_and_its_loss_returned(name: str) -> None:
    def program(kind: Any) -> Any:
        net = network()
        optimizer = kind(net.parameters())

        def closure() -> Any:
            optimizer.zero_grad()
            assert torch.is_grad_enabled()
            loss = loss_of(net, 0)
            loss.backward()
            return loss

        with torch.no_grad():
            losses = [optimizer.step(closure).detach() for _ in range(3)]
        assert optimizer.step() is None
        return losses, weights(net)

    both(program, name)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_come_late_lose_their_gradient_and_get_options_of_their_own(name: str) -> None:
    if not takes_late_parameters(name):
        pytest.skip("torch fails here")

    def program(kind: Any) -> Any:
        net = network()
        layers = list(net.children())
        optimizer = kind([{"params": layers[0].parameters(), "lr": 0.1}, {"params": layers[3].weight}], lr=0.01)
        for number in range(9):
            optimizer.zero_grad(set_to_none=number % 2 == 0)
            loss_of(net, number).backward()
            if number % 3 == 1:
                layers[0].weight.grad = None
            if number == 4:
                optimizer.add_param_group({"params": [layers[3].bias, *layers[2].parameters()], "weight_decay": 0.1})
            if number == 7:
                layers[0].bias.requires_grad_(False)
                layers[0].bias.grad = None
            optimizer.step()
        return weights(net)

    both(program, name, 1e-7 if name == "RAdam" else 1e-9)


def test_a_complex_parameter_that_comes_late_starts_in_both_parts() -> None:
    """Adagrad's initial_accumulator_value belongs to the real and to the imaginary part."""
    if not takes_late_parameters("Adagrad"):
        pytest.skip("torch fails here")

    def program(kind: Any) -> Any:
        a, b = (torch.ones(3, dtype=torch.complex128, requires_grad=True) for _ in range(2))
        optimizer = kind([a], lr=0.1, initial_accumulator_value=0.5)
        optimizer.add_param_group({"params": [b]})
        for p in (a, b):
            p.grad = torch.full_like(p, complex(1.0, -2.0))
        optimizer.step()
        return a.detach(), b.detach(), [s["sum"] for s in optimizer.state.values()]

    both(program, "Adagrad")


def test_clipping_and_accumulation() -> None:
    def program(kind: Any) -> Any:
        net = network()
        optimizer = kind(net.parameters(), lr=0.1)
        norms = []
        for number in range(12):
            (loss_of(net, number) / 3).backward()
            if number % 3 == 2:
                norms.append(nn.utils.clip_grad_norm_(net.parameters(), 0.1))
                nn.utils.clip_grad_value_(net.parameters(), 0.05)
                optimizer.step()
                optimizer.zero_grad(set_to_none=number > 5)
        return weights(net), norms

    both(program)


def test_a_step_in_backward() -> None:
    """One optimizer a parameter, stepped as soon as its gradient is there, which is then freed."""

    def program(kind: Any) -> Any:
        net = network()
        optimizers = {p: kind([p], lr=0.1) for p in net.parameters()}

        def hook(p: Any) -> None:
            optimizers[p].step()
            optimizers[p].zero_grad()

        for p in net.parameters():
            p.register_post_accumulate_grad_hook(hook)
        for number in range(5):
            loss_of(net, number).backward()
            assert all(p.grad is None for p in net.parameters())
        return weights(net)

    both(program)


FUSED = ("SGD", "Adagrad", "Adam", "AdamW")
"""The classes of torch that have the option."""


@pytest.mark.parametrize(("name", "fused"), [*((n, None) for n in NAMES), *((n, True) for n in FUSED)])
def test_under_a_grad_scaler(name: str, fused: bool | None) -> None:
    """Scale, unscale to clip, skip: by the plain protocol, and (`fused=True`) by grad_scale and found_inf."""
    options = {"fused": True} if fused else {}

    def program(kind: Any) -> Any:
        net = network()
        optimizer = kind(net.parameters(), lr=0.1, **options)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14, growth_interval=3)
        course = []
        for number in range(8):
            optimizer.zero_grad()
            scaler.scale(loss_of(net, number)).backward()
            if number in (2, 5):
                next(net.parameters()).grad[0, 0] = torch.inf if number == 2 else torch.nan
            if number > 5:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(net.parameters(), 0.1)
            scaler.step(optimizer)
            scaler.update()
            course.append(torch.tensor(scaler.get_scale()))
            if number not in (2, 5):
                course += [p.grad.clone() for p in net.parameters()]
        assert not hasattr(optimizer, "found_inf")
        steps = [torch.as_tensor(s.get("step", 0)).double() for s in optimizer.state.values()]
        knows_scaling = getattr(optimizer, "_step_supports_amp_scaling", False)
        assert knows_scaling is bool(fused) or name == "Adagrad"  # torch's fused Adagrad does in later versions only
        return weights(net), course, steps, torch.tensor(knows_scaling)

    both(program, name, 1e-7)


@pytest.mark.parametrize("name", FUSED)
def test_the_kernel_divides_by_the_scale(name: str) -> None:
    """No pass over the gradients but the kernel's own; where the kernel can't take a tensor, the same result."""
    torch.manual_seed(0)
    kind: Any = getattr(ravine.torch, name)
    makers = [
        lambda: torch.ones(40),
        lambda: torch.ones(8, 5),
        lambda: torch.ones(7).double(),
        lambda: torch.ones(8, 6)[:, ::2],
    ]
    for chosen in ([0, 1, 2], [0, 1, 2, 3], [3]):
        ours, plain = ([nn.Parameter(makers[i]()) for i in chosen] for _ in range(2))
        scaling, dividing = kind(ours, lr=0.1, fused=True), kind(plain, lr=0.1)
        for number, scale in enumerate((3.0, None, 1024.0, 1024.0, 5.0)):
            for p, q in zip(ours, plain, strict=True):
                p.grad = torch.randn_like(p) * 7
                q.grad = p.grad.clone() if scale is None else p.grad / scale
            versions = [p.grad._version for p in ours]
            scaling.grad_scale = None if scale is None else torch.tensor(scale)
            scaling.found_inf = torch.tensor(0.0)
            with torch.autograd.profiler.profile() as seen:  # a dispatch mode would be stepped for through torch
                scaling.step()
            dividing.step()
            assert 3 in chosen or not [e.name for e in seen.function_events if "div" in e.name]
            for p, q in zip(ours, plain, strict=True):
                assert torch.equal(p.grad, q.grad)
                assert torch.equal(p, q)
            assert scale is None or all(p.grad._version > v for p, v in zip(ours, versions, strict=True))
            if number == 3:  # skipped: nothing changes, neither parameter nor gradient
                before = [(p.detach().clone(), p.grad.clone()) for p in ours]
                scaling.found_inf = torch.tensor(1.0)
                scaling.step()
                assert all(torch.equal(p, x) and torch.equal(p.grad, g) for p, (x, g) in zip(ours, before, strict=True))


@pytest.mark.parametrize("name", FUSED)
def test_a_scale_of_the_users_own(name: str) -> None:
    """GradScaler multiplies its own scale by one that is there; without a scaler that is all there is."""

    def program(kind: Any) -> Any:
        net = network()
        optimizer = kind(net.parameters(), lr=0.1, fused=True)
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        for number in range(4):
            optimizer.zero_grad()
            optimizer.grad_scale = torch.tensor(4.0, dtype=torch.float32)
            loss = 4.0 * loss_of(net, number)
            if number % 2:
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
            else:
                loss.backward()
                optimizer.step()
        return weights(net)

    both(program, name, 1e-7)


class Unreadable:
    """A number on a device in the middle of a capture."""

    def item(self) -> float:
        raise RuntimeError("operation not permitted when stream is capturing")

    __float__ = item


@pytest.mark.parametrize("guard", ["propagate", "skip"])
@pytest.mark.parametrize("others", [False, True])
def test_a_captured_group_is_left_to_torch(guard: str, others: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What GradScaler hands over is read only where something else needs it, and no gradient is divided twice."""
    seen = []
    monkeypatch.setattr(torch.optim.Adam, "step", lambda twin: seen.append((twin.grad_scale, twin.found_inf)))
    far = nn.Parameter(torch.ones(3, device="meta"))
    near = nn.Parameter(torch.ones(3))
    groups = [{"params": [far], "capturable": True}, {"params": [near]}]
    optimizer = ravine.torch.Adam(groups, lr=0.5)
    if guard != "propagate":
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "on_nonfinite": guard})
    far.grad = torch.ones_like(far)
    if others:
        near.grad = torch.full_like(near, 8.0)
    readable = others or guard != "propagate"
    scale, found_inf = (torch.tensor(4.0), torch.tensor(0.0)) if readable else (Unreadable(), Unreadable())
    optimizer.grad_scale, optimizer.found_inf = scale, found_inf
    optimizer.step()
    assert seen == [(scale if guard == "propagate" else None, found_inf)]
    if others:
        assert near.grad.tolist() == [2.0] * 3
        assert near.allclose(torch.tensor(0.5))
    if readable:
        optimizer.found_inf = torch.tensor(1.0)
        optimizer.step()
        assert len(seen) == 1


@pytest.mark.parametrize("name", NAMES)
def test_autograd_through_a_step(name: str) -> None:
    """differentiable=True: the loss after the step has a gradient by the gradient before it."""

    def program(kind: Any) -> Any:
        start = torch.tensor([1.0, 2.0], requires_grad=True)
        slope = torch.tensor([0.5, -0.3], requires_grad=True)
        p = start.clone()
        p.grad = slope * start
        optimizer = kind([p], lr=0.1, differentiable=True)
        optimizer.step()
        (p**2).sum().backward()
        return p.detach(), start.grad, slope.grad

    both(program, name)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # torch's Adagrad
@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_sparse_gradients_where_torch_takes_them(name: str) -> None:
    def program(kind: Any) -> Any:
        torch.manual_seed(0)
        table, head = nn.Embedding(10, 3, sparse=True), nn.Linear(3, 1)
        optimizer = kind([*table.parameters(), *head.parameters()], lr=0.1)
        seen = []
        optimizer.register_step_post_hook(lambda o, a, k: seen.append(1))
        for number in range(4):
            optimizer.zero_grad()
            head(table(torch.tensor([number, 1, 1]))).sum().backward()
            optimizer.step()
        assert len(seen) == 4
        return weights(table), weights(head)

    both(program, name)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("SGD", "Adagrad")])
def test_sparse_gradients_are_refused_where_torch_refuses_them(name: str) -> None:
    messages = []
    for kind in (theirs(name), ours(name)):
        table = nn.Embedding(10, 3, sparse=True)
        table(torch.tensor([1])).sum().backward()
        with pytest.raises(RuntimeError, match="sparse gradients") as caught:
            kind(table.parameters()).step()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_a_class_of_ours_alone_says_that_it_takes_no_sparse_gradients() -> None:
    table = nn.Embedding(10, 3, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="Lion does not support sparse gradients"):
        ours("Lion")(table.parameters()).step()


@pytest.mark.parametrize("name", NAMES)
def test_a_dry_run_without_memory(name: str) -> None:
    """On fake and on meta tensors, as programs run that plan a model's memory; the step is counted on the CPU."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    contexts: list[Any] = [FakeTensorMode()]
    if name != "Adagrad":  # torch's constructor makes its count, where the default device is
        contexts.append(torch.device("meta"))
    for context in contexts:
        with context:
            net = nn.Linear(6, 2)
            optimizer = ours(name)(net.parameters(), lr=0.1)
            for _ in range(2):
                optimizer.zero_grad()
                net(torch.ones(3, 6)).sum().backward()
                optimizer.step()
            shapes = [v.shape for s in optimizer.state.values() for v in s.values() if v.dim()]
            steps = [float(s["step"]) for s in optimizer.state.values() if "step" in s]
        assert set(shapes) <= {p.shape for p in net.parameters()}
        assert set(steps) <= {2.0}


@pytest.mark.parametrize("what", ["model", "step", "everything"])
def test_torch_compile(what: str) -> None:
    """The compiled model, a compiled step, a compiled training step: the same numbers, and no graph for the step."""
    import torch._dynamo
    from torch._dynamo.utils import counters

    def program(kind: Any) -> Any:
        net = network().float()
        optimizer = kind(net.parameters(), lr=0.1)
        x, y = (t.float() for t in batch(0))

        def loss() -> Any:
            return ((net(x) - y) ** 2).mean()

        step = optimizer.step
        if what == "model":
            loss = torch.compile(loss, backend="aot_eager")
        if what == "step":
            step = torch.compile(step, backend="aot_eager")

        def train() -> None:
            optimizer.zero_grad()
            loss().backward()
            step()

        if what == "everything":
            train = torch.compile(train, backend="aot_eager")
        for _ in range(4):
            optimizer.param_groups[0]["lr"] *= 0.9
            train()
        return weights(net)

    torch._dynamo.reset()
    counters.clear()
    wanted = program(theirs("RMSprop")) if what == "model" else None
    torch._dynamo.reset()
    counters.clear()
    got = program(ours("RMSprop"))
    assert counters["stats"]["unique_graphs"] == (0 if what == "step" else 1)
    torch._dynamo.reset()
    plain = network().float()
    optimizer = theirs("RMSprop")(plain.parameters(), lr=0.1)
    x, y = (t.float() for t in batch(0))
    for _ in range(4):
        optimizer.param_groups[0]["lr"] *= 0.9
        optimizer.zero_grad()
        ((plain(x) - y) ** 2).mean().backward()
        optimizer.step()
    torch.testing.assert_close(got, wanted or weights(plain), rtol=1e-4, atol=1e-5)
