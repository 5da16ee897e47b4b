"""Checks with distributed tensors, in a process group of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import Parameter

from ravine.doctor.report import Verdict
from ravine.doctor.subject import Subject, advance, brief, gradients, largest_difference, parameters, step

Outcome = tuple[Verdict, str]


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
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Shard, distribute_tensor

    plain = parameters()
    advance(subject.make(plain), plain, range(3))
    with group_of_one():
        mesh = init_device_mesh("cpu", (dist.get_world_size(),))

        def shard(tensor: torch.Tensor) -> DTensor:
            return distribute_tensor(tensor, mesh, [Shard(0)])

        for more in subject.implementations():
            words = ", ".join(f"{n}={v}" for n, v in more.items()) or "by default"
            first, second = parameters()
            params: list[Any] = [first, Parameter(shard(second.detach()))]
            try:
                optimizer = subject.make(params, **more)
                for number in range(3):
                    g, h = gradients(plain, number)
                    params[0].grad, params[1].grad = g, shard(h)
                    step(optimizer)
            except Exception as error:
                return Verdict.FAIL, f"{words}: {brief(error)}"
            gap = largest_difference(plain, [params[0], params[1].full_tensor()])
            if not gap <= 1e-6:
                return Verdict.FAIL, f"{words}: {gap:.1e} away from the course of plain parameters"
    ways = sum(1 for _ in subject.implementations())
    return Verdict.PASS, f"a plain and a sharded parameter in one list take the plain course, in {ways} implementations"
