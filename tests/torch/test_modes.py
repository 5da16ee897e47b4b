"""Under whatever watches or transforms torch's operations, an update goes through torch's dispatcher."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import ravine.torch

pytestmark = [  # torch's own, in forward_ad
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning"),
]

KINDS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "RMSprop": {"lr": 0.1, "momentum": 0.9},
    "Adagrad": {"lr": 0.1},
    "Adadelta": {"lr": 1.0},
    "Adam": {"lr": 0.1},
    "AdamW": {"lr": 0.1},
    "NAdam": {"lr": 0.1},
    "RAdam": {"lr": 0.1},
    "Adamax": {"lr": 0.1},
}


def both(name: str, program: Callable[[Any], Any]) -> None:
    got, wanted = (
        program(lambda ps, k=kind: getattr(k, name)(ps, **KINDS[name])) for kind in (ravine.torch, torch.optim)
    )
    rounded = name == "NAdam"  # torch goes on with a product of momenta that is float32
    torch.testing.assert_close(got, wanted, rtol=1e-7 if rounded else 1e-10, atol=1e-12)


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Writes(TorchDispatchMode):
    """Collects where torch's operations write."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self.addresses |= {t.data_ptr() for t in (value if isinstance(value, (list, tuple)) else [value])}
        return func(*args, **(kwargs or {}))


def of(optimizer: Any, p: Tensor) -> list[Tensor]:
    return [p.detach(), *(v for v in optimizer.state[p].values() if isinstance(v, Tensor))]


@pytest.mark.parametrize("warm", [0, 2])
@pytest.mark.parametrize("name", [*KINDS, "Lion"])
def test_a_dispatch_mode_sees_every_write(name: str, warm: int) -> None:
    made = []
    for watched in (True, False):
        p = nn.Parameter(numbers(0, 5).float())
        optimizer = getattr(ravine.torch, name)([p], **KINDS.get(name, {}))
        for step in range(warm + 2):
            p.grad = numbers(step + 1, 5).float()
            if step == warm and watched:
                with Writes() as writes:
                    optimizer.step()
                written = {t.data_ptr() for t in of(optimizer, p)}
                assert written <= writes.addresses, "something was written unseen"
                assert not optimizer._plans[0].buckets
            else:
                optimizer.step()
        assert optimizer._plans[0].buckets, "the fused engine comes back"
        made.append(of(optimizer, p))
    torch.testing.assert_close(*made, rtol=2e-6, atol=1e-7)  # torch's root is off by an ulp at times


@pytest.mark.parametrize("name", KINDS)
def test_a_function_mode_sees_the_step(name: str) -> None:
    class Log(TorchFunctionMode):
        seen = 0

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            Log.seen += getattr(func, "__name__", "") in ("copy_", "add_", "addcdiv_")
            return func(*args, **(kwargs or {}))

    p = nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = getattr(ravine.torch, name)([p])
    optimizer.step()
    with Log():
        optimizer.step()
    assert Log.seen > 0


def test_a_default_device_is_no_reason_to_step_slowly() -> None:
    p = nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = ravine.torch.Adam([p])
    with torch.device("cpu"):
        optimizer.step()
        optimizer.step()
    assert optimizer._plans[0].buckets


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of torch's own
@pytest.mark.parametrize("name", KINDS)
def test_vmap(name: str) -> None:
    if name == "Adamax":
        pytest.skip("torch's own can't")

    def program(kind: Any) -> Any:
        def run(x: Tensor, g: Tensor) -> Any:
            p = x.clone()
            optimizer = kind([p])
            for k in range(3):
                p.grad = g * (1 + k)
                optimizer.step()
            return [p, *(v for v in optimizer.state[p].values() if v.dim())]

        return torch.vmap(run)(numbers(0, 4, 3), numbers(1, 4, 3))

    both(name, program)


def check_tangent(function: Callable[[Tensor], Tensor], x: Tensor, along: Tensor, found: Tensor) -> None:
    """Against central differences: torch's own SGD and Adamax lose tangents, or can't go on."""
    h = 1e-6
    wanted = (function(x + h * along) - function(x - h * along)) / (2 * h)
    assert wanted.abs().max() > 1e-3
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", KINDS)
def test_jvp(name: str) -> None:
    def run(x: Tensor) -> Any:
        p = x.clone()
        optimizer = getattr(ravine.torch, name)([p], **KINDS[name])
        for _ in range(3):
            p.grad = p.sin() + 2
            optimizer.step()
        return p

    x, along = numbers(0, 3), numbers(1, 3)
    primal, tangent = torch.func.jvp(run, (x,), (along,))
    torch.testing.assert_close(primal, run(x), rtol=1e-12, atol=0)
    check_tangent(run, x, along, tangent)


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_dual_numbers(name: str, warm: bool) -> None:
    """Made by hand; those of a warm step lie where ordinary ones lay."""

    def run(g: Tensor) -> Any:
        p, plain = numbers(0, 3), numbers(1, 3)
        optimizer = getattr(ravine.torch, name)([p], **KINDS[name])
        p.grad = plain
        for _ in range(2 if warm else 0):
            optimizer.step()
        if forward_ad._current_level >= 0:
            plain.copy_(forward_ad.unpack_dual(g).primal)
            g = forward_ad.make_dual(plain, forward_ad.unpack_dual(g).tangent)
        for gradient in (g, g + 1, g - 2):
            p.grad = gradient
            optimizer.step()
        return p

    x, along = numbers(2, 3), numbers(3, 3)
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(run(forward_ad.make_dual(x, along)))
        tangent = found.tangent.clone()
    check_tangent(run, x, along, tangent)


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_make_fx(name: str, warm: bool) -> None:
    """A graph that was traced through a step does it again, or is refused as in torch: counts are no part of it."""

    def program(kind: Any) -> Any:
        p = numbers(0, 3)
        optimizer = kind([p])
        if warm:
            p.grad = numbers(1, 3)
            optimizer.step()
            optimizer.step()

        def run(g: Tensor) -> Any:
            p.grad = g * 2
            optimizer.step()
            return p.clone()

        try:
            graph = make_fx(run)(numbers(2, 3))
        except RuntimeError as error:
            return "refused" if "_local_scalar_dense" in str(error) else str(error)
        return [p.clone(), graph(numbers(3, 3))]

    if name in ("SGD", "RMSprop", "Adadelta"):
        both(name, program)
    else:
        assert not warm or name == "Adagrad" or program(getattr(ravine.torch, name)) == "refused"


@pytest.mark.parametrize("name", KINDS)
def test_make_fx_of_a_whole_step_is_a_function_of_its_inputs(name: str) -> None:
    def program(kind: Any) -> Any:
        def run(x: Tensor, g: Tensor) -> Any:
            p = x.clone()
            optimizer = kind([p])
            p.grad = g
            optimizer.step()
            optimizer.step()
            return p

        graph = make_fx(run)(numbers(0, 3), numbers(1, 3))
        return graph(numbers(2, 3), numbers(3, 3))

    both(name, program)


def test_a_transform_refuses_what_torch_refuses() -> None:
    messages = []
    for kind in (ravine.torch, torch.optim):
        p = nn.Parameter(torch.ones(3))
        p.grad = torch.ones(3)
        optimizer = kind.SGD([p])
        optimizer.step()

        def loss(x: Tensor, p: Any = p, optimizer: Any = optimizer) -> Tensor:
            p.grad = x * 2
            optimizer.step()
            return p.sum()

        with pytest.raises(RuntimeError, match="mutate a captured Tensor") as caught:
            torch.func.grad(loss)(torch.ones(3))
        messages.append(type(caught.value))
        torch.testing.assert_close(p.detach(), torch.full((3,), 0.999))
    assert messages[0] is messages[1]


@pytest.mark.parametrize("name", KINDS)
def test_fake_tensors(name: str) -> None:
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

    with FakeTensorMode():
        p = nn.Parameter(torch.ones(3, 2))
        optimizer = getattr(ravine.torch, name)([p], **KINDS[name])
        for _ in range(2):
            p.grad = torch.ones(3, 2)
            optimizer.step()
        assert isinstance(p, FakeTensor)
        assert all(isinstance(v, FakeTensor) for v in optimizer.state[p].values())
    optimizer.step()  # outside, the tensors carry their mode


@pytest.mark.parametrize("name", KINDS)
def test_jit_trace(name: str) -> None:
    def program(kind: Any) -> Any:
        p = numbers(0, 3)
        optimizer = kind([p])
        p.grad = numbers(1, 3)
        optimizer.step()
        optimizer.step()

        def run(g: Tensor) -> Any:
            p.grad = g * 2
            optimizer.step()
            return p.clone()

        with warnings_off():
            traced = torch.jit.trace(run, (numbers(2, 3),), check_trace=False)
        return [p.clone(), traced(numbers(3, 3))]

    both(name, program)


@contextmanager
def warnings_off() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def zero_tensor(p: Tensor) -> Tensor:
    return torch._efficientzerotensor(p.shape, dtype=p.dtype)


def functional_tensor(p: Tensor) -> Tensor:
    return torch._to_functional_tensor(torch.ones_like(p))


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_a_gradient_of_zeros_that_has_no_memory(name: str, warm: bool) -> None:
    """Forward derivatives hand out such tensors; their address is null."""

    def program(kind: Any) -> Any:
        p = numbers(0, 3)
        optimizer = kind([p])
        if warm:
            p.grad = numbers(1, 3)
            optimizer.step()
        p.grad = torch._efficientzerotensor(p.shape, dtype=p.dtype)
        if kind([p]).__module__.startswith("torch."):
            p.grad = p.grad.clone()  # torch's loop can't
        optimizer.step()
        return p

    both(name, program)


def test_counters_of_operations_go_on_counting() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    net = nn.Linear(3, 2)
    optimizer = ravine.torch.Adam(net.parameters())
    with FlopCounterMode(display=False) as counter:
        for _ in range(2):
            optimizer.zero_grad()
            net(torch.ones(4, 3)).sum().backward()
            optimizer.step()
    assert counter.get_total_flops() > 0
    assert optimizer.state[net.weight]["step"] == 2
