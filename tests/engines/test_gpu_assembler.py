"""What NVIDIA's assembler makes of the PTX, where it is installed: every card takes it, and nothing is spilled."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import ravine
from ptx.hold import storage_of
from ptx.narrow import coded
from ravine.engines.gpu import frame, prepare, ptx
from ravine.engines.gpu.target import LARGE, SMALL, TARGETS, target

CARDS = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
RESULTS = Path(__file__).parents[2] / "bench" / "results"
CASES = [
    ("adam", ("float32",), {}),
    ("adamw", ("bfloat16",), {"is_stochastic": True}),
    ("adam", ("bfloat16", "bfloat16", "float32"), {"is_scaled": True}),
    ("adamw", ("bfloat16", "bfloat16", "float32"), {"has_remainder": True}),
    ("rmsprop_momentum_centered", ("float64",), {}),
    ("adamw", ("bfloat16", "float32"), {"slots": coded, "has_remainder": True, "is_state_stochastic": True}),
    ("adan", ("float32",), {"slots": coded, "is_scaled": True}),
    ("adam", ("float64",), {"slots": coded, "is_state_stochastic": True}),
]


def assembler() -> str:
    """ptxas of a CUDA toolkit, or of the Triton wheel."""
    if found := shutil.which("ptxas"):
        return found
    triton = pytest.importorskip("triton", reason="needs ptxas, of a CUDA toolkit or of the Triton wheel")
    return str(Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas")


def assembled(text: str, card: str, folder: Path) -> str:
    source = folder / "k.ptx"
    source.write_text(text, encoding="utf-8")
    command = [assembler(), f"--gpu-name={card}", "-v", str(source), "-o", str(folder / "k.cubin")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "is not defined for option 'gpu-name'" in done.stderr:
        pytest.skip(f"this ptxas is older than {card}")
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("card", CARDS)
def test_every_card_takes_the_text_and_spills_nothing(card: str, tmp_path: Path) -> None:
    goal = target((7, 5) if card == "sm_75" else (9, 0), (12, 4))
    for name, types, more in CASES:
        rule = ravine.rule(name)
        storage = storage_of(rule, *types, **{key: of(rule) if callable(of) else of for key, of in more.items()})
        for room in (SMALL, LARGE):
            tensors = frame.capacity(rule.graph, storage, room)
            said = assembled(ptx.compile_source(frame.source(rule.graph, storage, goal, tensors), goal), card, tmp_path)
            assert re.findall(r"(\d+) bytes spill", said) == ["0", "0"], (name, types, room, said)


def test_coefficients_are_assembled_for_the_oldest_and_newest_driver(tmp_path: Path) -> None:
    rule = ravine.rule("nadam")
    for goal in (TARGETS[0], TARGETS[-1]):
        text = prepare.source(rule.graph, storage_of(rule, "float32"), list(rule.hyperparameters))
        assembled(ptx.compile_source(text, goal), "sm_80", tmp_path)


def recorded(name: str) -> Any:
    file = RESULTS / name
    if not file.exists():
        pytest.skip(f"{name} is not recorded")
    return json.loads(file.read_text(encoding="utf-8"))


def test_every_rule_is_bound_by_memory_in_the_recorded_estimate() -> None:
    """`make gpu-roofline` records it: 0.8 of a copy's bandwidth in float32, even if nothing should overlap."""
    found = recorded("gpu_roofline.json")
    assert {row["rule"] for row in found["rules"]} <= set(ravine.rules())
    shares = {row["rule"]: row["share_of_copy_exposed"] for row in found["rules"] if row["storage"] == "float32"}
    slow = {name for name, share in shares.items() if share < 0.8}
    assert slow <= {"nadam_optax", "ftrl"}
    assert min(shares.values()) > 0.78
    assert found["spilled"] == []
    assert found["all_accesses_of_128_bits"]


def test_every_rule_has_the_references_bits_in_the_recorded_run() -> None:
    """`make gpu-bits` records it."""
    found = recorded("gpu_bits.json")
    for name, row in found.items():
        assert row["failures"] == [], name
        assert row["equal_runs"] == 12
        assert row.get("slips") == row.get("slips_caught")
