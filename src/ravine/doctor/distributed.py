"""Checks with distributed tensors, in a process group of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import Parameter

from ravine.doctor.report import Outcome, Verdict
from ravine.doctor.subject import Stopped, Subject, blame
from ravine.doctor.trials import gradients, largest_difference, parameters, seed


@contextmanager
def group_of_one() -> Iterator[None]:
    """A process group with only this process in it, or the one that there is."""
    import torch.distributed as dist

    if dist.is_initialized():
        yield
        return
    dist.init_process_group("gloo", store=torch._C._distributed_c10d.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def mixed_tensors(subject: Subject) -> Outcome:
    """One list may hold plain parameters and DTensors, whatever the implementation."""
    import torch.distributed as dist

    if not dist.is_available() or not dist.is_gloo_available():
        return Verdict.NOT_APPLICABLE, "this torch has no distributed package with gloo"
    if not subject.repeatable:
        return Verdict.NOT_APPLICABLE, "two runs from one seed differ, so courses can't be compared"
    ways = 0
    with group_of_one():
        for more in subject.implementations():
            words = ", ".join(f"{n}={v}" for n, v in more.items()) or "by default"
            plain = parameters()
            try:
                subject.run(plain, 3, **more)
            except Stopped:  # it does not work with plain parameters either
                continue
            try:
                params = _mixed_run(subject, **more)
            except Stopped as stop:
                return Verdict.FAIL, f"{words}: {stop}"
            gap = largest_difference(plain, params)
            if not gap <= 1e-6 and subject.draws:
                return Verdict.NOT_APPLICABLE, "steps draw random numbers, which DTensors do in a way of their own"
            if not gap <= 1e-6:
                return Verdict.FAIL, f"{words}: {gap:.1e} away from the course of plain parameters"
            ways += 1
    several = f", in {ways} implementations" * (ways > 1)
    return Verdict.PASS, f"a plain and a sharded parameter in one list take the plain course{several}"


def _mixed_run(subject: Subject, **more: Any) -> list[Any]:
    """A plain and a sharded parameter after three steps, the second gathered again."""
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (dist.get_world_size(),))

    def shard(tensor: torch.Tensor) -> DTensor:
        return distribute_tensor(tensor, mesh, [Shard(0)])

    first, second = parameters()
    params: list[Any] = [first, Parameter(shard(second.detach()))]
    optimizer = subject.make(params, **more)
    for number in range(3):
        g, h = gradients([first, second], number)
        params[0].grad, params[1].grad = g, shard(h)
        seed(number)
        subject.step(optimizer)
    with blame("reading the sharded parameter"):
        return [params[0], params[1].full_tensor()]
