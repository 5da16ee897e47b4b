"""Two real processes over gloo: the sharded trajectory is the single process's, and checkpoints move between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("this torch has no distributed package with gloo", allow_module_level=True)

import two_ranks
from steplock import default_dtype

import ravine
import ravine.torch

SCRIPT = Path(two_ranks.__file__)
SECONDS = 150


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both ranks have run every scenario."""
    path = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "PYTHONPATH": str(Path(ravine.__file__).parents[1])}
    with ExitStack() as stack:
        ranks = []
        for rank in range(two_ranks.WORLD):
            output = stack.enter_context((path / f"rank{rank}.txt").open("w"))
            command = [sys.executable, str(SCRIPT), str(rank), str(path)]
            ranks.append(subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT))
        end = time.monotonic() + SECONDS
        while any(r.poll() is None for r in ranks) and not any(r.poll() for r in ranks) and time.monotonic() < end:
            time.sleep(0.1)
        for r in ranks:  # where one has failed or hangs, the other waits for it
            r.kill()
            r.wait()
    return path


@pytest.mark.parametrize("scenario", two_ranks.SCENARIOS)
def test_on_two_ranks(scenario: str, folder: Path) -> None:
    for rank in range(two_ranks.WORLD):
        file = folder / f"rank{rank}.json"
        output = (folder / f"rank{rank}.txt").read_text()
        assert file.exists(), output
        result = json.loads(file.read_text())
        assert result.get("failed") != scenario, f"rank {rank}: {result['error']}"
        assert scenario in result["finished"], f"rank {rank} came to {result['finished']}; {output}"


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")  # which is what is meant
@pytest.mark.parametrize("kind", [ravine.torch.Adam, torch.optim.Adam])
def test_saved_on_two_ranks_loaded_on_one(folder: Path, kind: Any) -> None:
    with default_dtype(torch.float64):
        load_on_one(folder, kind)


def load_on_one(folder: Path, kind: Any) -> None:
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    net = two_ranks.network()
    optimizer = kind(net.parameters(), lr=7.0)
    target = {"model": net.state_dict(), "optimizer": get_optimizer_state_dict(net, optimizer)}
    checkpoint.load(target, checkpoint_id=folder / "saved", no_dist=True)
    net.load_state_dict(target["model"])
    set_optimizer_state_dict(net, optimizer, target["optimizer"])
    two_ranks.train(net, optimizer, range(3, 6))
    two_ranks.same(two_ranks.full(net), two_ranks.alone(torch.optim.Adam))
