"""Distributed checkpoints of state in codes: on as many ranks bit for bit, on another number to the nearest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("this torch has no distributed package with gloo", allow_module_level=True)

import sharded

import ravine
import ravine.torch


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")  # which is what is meant
def test_saved_on_two_ranks_resumed_on_two_and_on_one(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(ravine.__file__).parents[1])}
    commands = [[sys.executable, sharded.__file__, str(rank), str(tmp_path)] for rank in range(sharded.WORLD)]
    ranks = [subprocess.Popen(c, env=environment, stderr=subprocess.PIPE, text=True) for c in commands]
    try:
        errors = [rank.communicate(timeout=150)[1] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    for number, error in enumerate(errors):
        assert (tmp_path / f"rank{number}").exists(), error
    model = sharded.network()
    wide = ravine.torch.Adam(model.parameters())  # what is not sharded takes it as float32
    sharded.load(model, wide, tmp_path, no_dist=True)
    narrow = ravine.torch.Adam(model.parameters(), **sharded.OPTIONS)
    narrow.load_state_dict(wide.state_dict())
    assert narrow.state[next(model.parameters())]["exp_avg"].dtype is torch.int8
    sharded.train(model, narrow, range(3, 4))
    assert all(bool(p.isfinite().all()) for p in model.parameters())
