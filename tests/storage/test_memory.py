"""`ravine memory`: what is counted is what tensors take, and the measured peak agrees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from ravine.torch.memory import CHOICES, memory

MODEL = """
import torch

def model():
    return torch.nn.Sequential(torch.nn.Linear(2048, 2048), torch.nn.Linear(2048, 10))
"""


def test_counted_and_measured(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MODEL)
    some = {name: CHOICES[name] for name in ("float32", "bfloat16 weights + remainder, int8 state")}
    found = memory(f"{file}:model", choices=some)
    n = 2048 * 2048 + 2048 + 20480 + 10
    wide, narrow = found.values()
    assert (wide.parameters, wide.weights, wide.gradients) == (n, 4 * n, 4 * n)
    assert wide.state / n == pytest.approx(8, abs=0.01)
    assert (narrow.weights, narrow.gradients) == (2 * n, 2 * n)
    assert narrow.state / n == pytest.approx(3.03, abs=0.02)
    for row in found.values():
        if row.peak is not None:
            assert row.peak == pytest.approx(row.counted, rel=0.15)


@pytest.mark.parametrize(
    ("named", "rule", "words"),
    [
        ("mine.py:modle", "adamw", "'model'"),
        ("nothing.py:model", "adamw", "no such file"),
        ("model", "adamw", "FILE.py:FUNCTION"),
        ("mine.py:model", "adamm", "adam"),
    ],
)
def test_mistakes_are_told(named: str, rule: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words):
        memory(named, rule)


def test_a_model_that_fails_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def model():\n    raise OSError('no weights')\n")
    with pytest.raises(ValueError, match=r"float32: OSError: no weights"):
        memory(f"{tmp_path}/mine.py:model", choices={"float32": CHOICES["float32"]})


def test_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from ravine.cli.memory import memory as command
    from ravine.torch import memory as module

    monkeypatch.setattr(module, "memory", lambda model, rule: {"float32": module.Memory(10, 40, 40, 80, 200)})
    result = CliRunner().invoke(command, ["m.py:f", "--json"])
    assert json.loads(result.stdout)["float32"]["state"] == 80
    assert "float32" in CliRunner().invoke(command, ["m.py:f"]).stdout
