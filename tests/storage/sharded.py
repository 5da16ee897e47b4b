"""One rank of two that shard a model, save it, load it and go on. Run by test_sharded_narrow_state.py.

python sharded.py RANK FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import ravine.torch
from ravine.torch import narrow

WORLD = 2
OPTIONS: dict[str, Any] = {"state": "int8"}


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(80, 91), torch.nn.Linear(91, 5))


def train(model: torch.nn.Module, optimizer: Any, steps: range) -> None:
    for t in steps:
        torch.manual_seed(t)
        optimizer.zero_grad()
        model(torch.randn(16, 80)).square().mean().backward()
        optimizer.step()


def local(value: Any) -> Any:
    return value.to_local() if hasattr(value, "to_local") else value


def load(model: torch.nn.Module, optimizer: Any, folder: Path, **options: Any) -> None:
    target = {"model": model.state_dict(), "optimizer": get_optimizer_state_dict(model, optimizer)}
    checkpoint.load(target, checkpoint_id=folder / "saved", **options)
    model.load_state_dict(target["model"])
    set_optimizer_state_dict(model, optimizer, target["optimizer"])


def main(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    mesh = init_device_mesh("cpu", (WORLD,))
    model, again = network(), network()
    fully_shard(model, mesh=mesh)
    fully_shard(again, mesh=mesh)
    optimizer = ravine.torch.Adam(model.parameters(), **OPTIONS)
    train(model, optimizer, range(3))
    state = {"model": model.state_dict(), "optimizer": get_optimizer_state_dict(model, optimizer)}
    checkpoint.save(state, checkpoint_id=folder / "saved")
    resumed = ravine.torch.Adam(again.parameters(), lr=7.0, **OPTIONS)
    load(again, resumed, folder)
    for steps in (range(0), range(3, 6)):
        train(model, optimizer, steps)
        train(again, resumed, steps)
        for p, q in zip(model.parameters(), again.parameters(), strict=True):
            assert torch.equal(local(p), local(q))
            assert optimizer.state[p].keys() == resumed.state[q].keys()
            held, same = narrow.widened(optimizer.state[p]), narrow.widened(resumed.state[q])
            assert all(torch.equal(local(v), local(same[k])) for k, v in held.items())
    assert any(local(v).dtype is torch.int8 for v in optimizer.state[next(model.parameters())].values())
    (folder / f"rank{rank}").write_text("went on bit for bit")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
