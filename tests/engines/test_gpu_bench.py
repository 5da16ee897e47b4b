"""What the GPU's timing does that needs no GPU: turns, bytes, ratios."""

from __future__ import annotations

import torch
from click.testing import CliRunner

from ravine.bench import gpu
from ravine.bench.cases import CASES
from ravine.cli import group


def test_an_optimizer_is_timed_in_turn_with_its_peers_and_a_copy() -> None:
    found = gpu.compare(CASES["adam"], [(64, 64), (7,)], pairs=2, compiled=False, device="cpu")
    assert set(found["seconds"]) == {"ravine", "loop", "foreach", "fused"}
    assert set(found["ratios"]) == {"loop", "foreach", "fused"}
    assert found["moved_bytes"] == (64 * 64 + 7) * 28
    assert found["share_of_copy"] > 0


def test_bytes_are_those_of_the_types() -> None:
    (p,) = gpu.parameters([(100,)], "cpu", torch.bfloat16)
    optimizer = torch.optim.SGD([p], momentum=0.9)
    optimizer.step()
    assert gpu.moved_bytes(optimizer) == 100 * 10


def test_a_bench_without_a_gpu_says_so() -> None:
    done = CliRunner().invoke(group, ["bench", "--device", "cuda"])
    assert done.exit_code == 2
    assert "there is no GPU that torch can use" in done.output


def test_the_doctor_says_which_way_parameters_on_accelerators_go() -> None:
    done = CliRunner().invoke(group, ["doctor", "--gpu"])
    assert done.exit_code == 0
    assert "no NVIDIA driver" in done.output or "the GPU engine" in done.output
