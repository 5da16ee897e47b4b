"""Two real processes over gloo: the sharded trajectory is the single process's, and checkpoints move between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("this torch has no distributed package with gloo", allow_module_level=True)

import two_ranks

import ravine
import ravine.torch

SCRIPT = Path(two_ranks.__file__)
SECONDS = 240


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both ranks have run every scenario."""
    path = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "PYTHONPATH": str(Path(ravine.__file__).parents[1])}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(rank), str(path)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(two_ranks.WORLD)
    ]
    try:
        output = [rank.communicate(timeout=SECONDS)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    for number, rank in enumerate(ranks):
        (path / f"rank{number}.txt").write_text(f"exit status {rank.returncode}\n{output[number]}")
    return path


@pytest.mark.parametrize("scenario", two_ranks.SCENARIOS)
def test_on_two_ranks(scenario: str, folder: Path) -> None:
    for rank in range(two_ranks.WORLD):
        file = folder / f"rank{rank}.json"
        output = (folder / f"rank{rank}.txt").read_text()
        assert file.exists(), output
        result = json.loads(file.read_text())
        assert scenario not in result["errors"], f"rank {rank}: {result['errors'][scenario]}"
        assert result["finished"] == list(two_ranks.SCENARIOS)[-1], output


@pytest.mark.parametrize("kind", [ravine.torch.Adam, torch.optim.Adam])
def test_saved_on_two_ranks_loaded_on_one(folder: Path, kind: Any) -> None:
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
