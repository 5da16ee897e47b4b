"""One rank of the distributed tests: `python two_ranks.py RANK FOLDER` runs every scenario and writes what went wrong.

A scenario trains the same small network as a single process does on the whole batch, and compares.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
os.environ["OMP_NUM_THREADS"] = "1"

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

import ravine.torch

WORLD = 2
OPTIONS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Adagrad": {},
    "Adadelta": {},
    "Adam": {"amsgrad": True},
    "AdamW": {},
    "NAdam": {},
    "RAdam": {},
    "Adamax": {},
}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 1)).double()


def gradients(net: nn.Module, number: int, part: slice = slice(None)) -> None:
    """Those of the mean loss on a part of the batch."""
    random = torch.Generator().manual_seed(number)
    x, y = torch.randn(8, 6, generator=random).double(), torch.randn(8, 1, generator=random).double()
    ((net(x[part]) - y[part]) ** 2).mean().backward()


def train(net: nn.Module, optimizer: Any, numbers: range, part: slice = slice(None)) -> None:
    for number in numbers:
        optimizer.zero_grad()
        gradients(net, number, part)
        optimizer.step()


def alone(kind: Any, numbers: range = range(6), **options: Any) -> list[torch.Tensor]:
    """What a single process ends with."""
    net = network()
    train(net, kind(net.parameters(), lr=0.05, **options), numbers)
    return [p.detach() for p in net.parameters()]


def full(net: nn.Module) -> list[torch.Tensor]:
    found = [p.detach() for p in net.parameters()]
    return [p.full_tensor() if isinstance(p, DTensor) else p for p in found]


def same(got: list[torch.Tensor], wanted: list[torch.Tensor]) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-11)


def sharded(blocks: int = 3) -> nn.Module:
    """The network with its first `blocks` layers sharded, and (where that is all) itself."""
    net: Any = network()
    for layer in [net[0], net[2], net[4]][:blocks]:
        fully_shard(layer)
    if blocks == 3:
        fully_shard(net)
    return net  # type: ignore[no-any-return]


def ddp(rank: int, folder: Path) -> None:
    for name, options in OPTIONS.items():
        net = DistributedDataParallel(network())
        optimizer = getattr(ravine.torch, name)(net.parameters(), lr=0.05, **options)
        train(net, optimizer, range(6), slice(rank, None, WORLD))
        same(full(net), alone(getattr(torch.optim, name), **options))


def fsdp2(rank: int, folder: Path) -> None:
    for name, options in OPTIONS.items():
        net = sharded()
        optimizer = getattr(ravine.torch, name)(net.parameters(), lr=0.05, **options)
        train(net, optimizer, range(6), slice(rank, None, WORLD))
        same(full(net), alone(getattr(torch.optim, name), **options))
        plan = optimizer._plans[0]
        assert plan.buckets, "each rank's part is stepped by the fused engine"
        assert not plan.rest
        assert all(isinstance(v, DTensor) for s in optimizer.state.values() for v in s.values() if v.dim())


def fsdp2_any_rule(rank: int, folder: Path) -> None:
    net = sharded()
    optimizer = ravine.torch.from_recipe(net.parameters(), "rmsprop_momentum", lr=0.05)
    train(net, optimizer, range(6), slice(rank, None, WORLD))
    same(full(net), alone(lambda p, lr: ravine.torch.from_recipe(p, "rmsprop_momentum", lr=lr)))


def mixed_list(rank: int, folder: Path) -> None:
    """One group holds DTensors and plain parameters, whatever implementation is asked for."""
    for options in ({}, {"foreach": True}, {"fused": True}):
        net = sharded(blocks=1)
        optimizer = ravine.torch.Adam(net.parameters(), lr=0.05, **options)
        assert {type(p) is nn.Parameter for p in net.parameters()} == {True, False}
        for number in range(6):
            optimizer.zero_grad()
            gradients(net, number, slice(rank, None, WORLD))
            for p in net.parameters():
                if not isinstance(p, DTensor):
                    dist.all_reduce(p.grad)
                    p.grad /= WORLD
            optimizer.step()
        same(full(net), alone(torch.optim.Adam))


def zero_redundancy(rank: int, folder: Path) -> None:
    from torch.distributed.optim import ZeroRedundancyOptimizer  # it warns of its own use of torch.jit

    for name in ("Adam", "RMSprop", "SGD"):
        net = DistributedDataParallel(network())
        kind = getattr(ravine.torch, name)
        optimizer = ZeroRedundancyOptimizer(net.parameters(), optimizer_class=kind, lr=0.05, **OPTIONS[name])
        train(net, optimizer, range(3), slice(rank, None, WORLD))
        optimizer.consolidate_state_dict(0)
        if rank == 0:  # a single process can take over
            single = network()
            with torch.no_grad():
                for p, q in zip(single.parameters(), net.parameters(), strict=True):
                    p.copy_(q)
            heir = kind(single.parameters())
            heir.load_state_dict(optimizer.state_dict())
            train(single, heir, range(3, 6))
            same(full(single), alone(getattr(torch.optim, name), **OPTIONS[name]))
        train(net, optimizer, range(3, 6), slice(rank, None, WORLD))
        same(full(net), alone(getattr(torch.optim, name), **OPTIONS[name]))


def resume_sharded(rank: int, folder: Path) -> None:
    """get_optimizer_state_dict and set_optimizer_state_dict, in every form, between two sharded runs."""
    part = slice(rank, None, WORLD)
    for form in (
        StateDictOptions(),
        StateDictOptions(full_state_dict=True),
        StateDictOptions(flatten_optimizer_state_dict=True),
    ):
        net = sharded()
        optimizer = ravine.torch.NAdam(net.parameters(), lr=0.05)
        train(net, optimizer, range(3), part)
        saved = get_optimizer_state_dict(net, optimizer, options=form)
        other = sharded()
        heir = ravine.torch.NAdam(other.parameters(), lr=0.5)
        with torch.no_grad():
            for p, q in zip(other.parameters(), net.parameters(), strict=True):
                p.copy_(q)
        set_optimizer_state_dict(other, heir, saved, options=form)
        train(other, heir, range(3, 6), part)
        same(full(other), alone(torch.optim.NAdam))


def empty_group(rank: int, folder: Path) -> None:
    def make(net: nn.Module) -> Any:
        return ravine.torch.Adam([{"params": []}, {"params": list(net.parameters())}], lr=0.05)

    net = sharded()
    optimizer = make(net)
    optimizer.param_groups[0].update(lr=0.03125, betas=(0.5, 0.75))
    train(net, optimizer, range(2), slice(rank, None, WORLD))
    saved = get_optimizer_state_dict(net, optimizer)
    checkpoint.save({"optimizer": saved}, checkpoint_id=folder / "empty")
    other = sharded()
    heir = make(other)
    target = {"optimizer": get_optimizer_state_dict(other, heir)}
    checkpoint.load(target, checkpoint_id=folder / "empty")
    set_optimizer_state_dict(other, heir, target["optimizer"])
    assert heir.param_groups[0] == optimizer.param_groups[0], heir.param_groups[0]


def one_decision(rank: int, folder: Path) -> None:
    """A NaN in one rank's part holds up all ranks, or they would part."""
    net = sharded()
    optimizer = ravine.torch.Adam(net.parameters(), lr=0.05, on_nonfinite="skip")
    gradients(net, 0, slice(rank, None, WORLD))
    first = next(net.parameters()).grad
    assert isinstance(first, DTensor)
    if rank == 1:
        first.to_local()[0, 0] = torch.nan
    before = full(net)
    optimizer.step()
    assert optimizer.skipped_steps == 1
    assert all(torch.equal(a, b) for a, b in zip(before, full(net), strict=True))


def clipped_together(rank: int, folder: Path) -> None:
    """The norm is that of whole gradients, whatever part of them a rank has, and whatever is not distributed."""
    for blocks in (3, 2):
        net = sharded(blocks)
        optimizer = ravine.torch.SGD(net.parameters(), lr=0.05, clip_global_norm=0.5)
        for number in range(4):
            optimizer.zero_grad()
            gradients(net, number)  # the same on all ranks, also where no one averages them
            optimizer.step()
        wanted = alone(partial(ravine.torch.SGD, clip_global_norm=0.5), range(4))
        same(full(net), wanted)
        assert not torch.equal(wanted[0], alone(ravine.torch.SGD, range(4))[0])


def save_on_two(rank: int, folder: Path) -> None:
    """What a single process loads afterwards, see test_distributed.py."""
    net = sharded()
    optimizer = ravine.torch.Adam(net.parameters(), lr=0.05)
    train(net, optimizer, range(3), slice(rank, None, WORLD))
    state = {"model": get_model_state_dict(net), "optimizer": get_optimizer_state_dict(net, optimizer)}
    checkpoint.save(state, checkpoint_id=folder / "saved")


SCENARIOS: dict[str, Callable[[int, Path], None]] = {
    f.__name__: f
    for f in (
        ddp,
        fsdp2,
        fsdp2_any_rule,
        mixed_list,
        zero_redundancy,
        resume_sharded,
        empty_group,
        one_decision,
        clipped_together,
        save_on_two,
    )
}


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # of step counts too
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=WORLD)
    finished: list[str] = []
    report = folder / f"rank{rank}.json"
    for name, scenario in SCENARIOS.items():
        try:
            scenario(rank, folder)
        except BaseException:  # the ranks are out of step now: nothing more can be learnt from them
            report.write_text(json.dumps({"finished": finished, "failed": name, "error": traceback.format_exc()}))
            os._exit(1)
        finished.append(name)
        report.write_text(json.dumps({"finished": finished}))
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
