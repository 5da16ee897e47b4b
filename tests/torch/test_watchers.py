"""torch's log of communication, tensors with a dispatcher of their own, and inference tensors: as torch steps them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

import ravine.torch

KINDS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1, "momentum": 0.9},
    "RMSprop": {"lr": 0.1, "momentum": 0.9},
    "Adam": {"lr": 0.1},
    "NAdam": {"lr": 0.1},
}


class Wrapped(Tensor):
    """Numbers in another tensor; its own memory is none."""

    inner: Tensor
    written: ClassVar[set[int]] = set()

    @staticmethod
    def __new__(cls, inner: Tensor) -> Any:
        made = Tensor._make_wrapper_subclass(cls, inner.shape, strides=inner.stride(), dtype=inner.dtype)  # type: ignore[attr-defined]
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if isinstance(value, Wrapped) and argument.alias_info is not None and argument.alias_info.is_write:
                cls.written.add(id(value.inner))
        is_in_place = func._schema.name.endswith("_")
        found = func(*tree_map_only(Wrapped, lambda t: t.inner, args), **(kwargs or {}))
        return args[0] if is_in_place else tree_map_only(Tensor, cls, found)


class Beside(Wrapped):
    """Its own memory is that of the other tensor: a kernel could write there, unseen."""

    @staticmethod
    def __new__(cls, inner: Tensor) -> Any:
        made = Tensor._make_subclass(cls, inner)
        made.inner = inner
        return made


@pytest.mark.parametrize("kind", [Wrapped, Beside])
@pytest.mark.parametrize("name", KINDS)
def test_a_tensor_with_its_own_dispatcher_sees_every_write(name: str, kind: Any) -> None:
    ends = []
    for lib in (ravine.torch, torch.optim):
        p = nn.Parameter(kind(torch.linspace(-1, 1, 5, dtype=torch.float64)))
        optimizer = getattr(lib, name)([p], foreach=False, **KINDS[name])
        for k in range(3):
            p.grad = kind(torch.linspace(1, 2 + k, 5, dtype=torch.float64))
            Wrapped.written.clear()
            optimizer.step()
        arrays = {key: v for key, v in optimizer.state[p].items() if v.dim()}
        assert all(isinstance(v, Wrapped) for v in arrays.values())
        assert {id(a.inner) for a in (p, *arrays.values())} <= Wrapped.written
        ends.append([p.inner, *(v.inner for v in arrays.values())])
    torch.testing.assert_close(*ends, rtol=1e-7 if name == "NAdam" else 1e-10, atol=1e-12)


@pytest.fixture(scope="module")
def mesh() -> Iterator[Any]:
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("this torch has no distributed package with gloo")
    if torch.distributed.is_initialized():
        pytest.skip("this process is a rank already")
    torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=torch.distributed.HashStore())
    yield torch.distributed.init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("is_sharded", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_the_log_of_communication_has_the_step(name: str, is_sharded: bool, mesh: Any) -> None:
    from torch.distributed.tensor import Shard, distribute_tensor
    from torch.distributed.tensor.debug import CommDebugMode

    ends, counts = [], []
    for lib in (ravine.torch, torch.optim):
        value = torch.linspace(-1, 1, 6, dtype=torch.float64)
        p = nn.Parameter(distribute_tensor(value, mesh, [Shard(0)]) if is_sharded else value)
        optimizer = getattr(lib, name)([p], foreach=False, **KINDS[name])
        for k in range(3):
            with CommDebugMode() as log:
                p.grad = None
                whole = p.full_tensor() if is_sharded else p
                (whole.square() * (k + 1)).sum().backward()
                before = len(written(log))
                optimizer.step()
        assert len(written(log)) - before >= 1 + len(optimizer.state[p])
        counts.append(log.get_comm_counts())
        ends.append([a.full_tensor() if is_sharded and a.dim() else a for a in (p, *optimizer.state[p].values())])
    assert counts[0] == counts[1]
    if name != "NAdam":
        torch.testing.assert_close(*ends, rtol=1e-10, atol=1e-12)


def written(log: Any) -> list[str]:
    """The operations that write, by their names: one at least for every array and count."""
    found = log.comm_module_operation_counts["Global"].get("operations_list", [])
    return [name for each in found if (name := str(each["name"]).split(".")[1]).endswith("_")]


@pytest.mark.parametrize("name", KINDS)
def test_inference_tensors_are_written_in_inference_mode_only(name: str) -> None:
    messages = []
    for lib in (ravine.torch, torch.optim):
        with torch.inference_mode():
            p = torch.ones(3)
            optimizer = getattr(lib, name)([p], foreach=False, **KINDS[name])
            p.grad = torch.ones(3)
            for _ in range(4):
                optimizer.step()
        before = p.clone()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="outside InferenceMode") as caught:
                optimizer.step()
        assert torch.equal(p, before)
        with torch.inference_mode():
            optimizer.step()
        assert not torch.equal(p, before)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
