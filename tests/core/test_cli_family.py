"""`ravine list` and `ravine explain`, and how the command line answers mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ravine


def run(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from ravine.cli import main; main()", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=None, check=False)


def test_list_names_every_rule() -> None:
    out = run("list").stdout
    assert all(name in out for name in ravine.rules())


def test_explain_shows_equation_hyperparameters_state_paper_and_kin() -> None:
    out = run("explain", "adam").stdout
    for part in ("xₜ = xₜ₋₁ − lr·m̂ₜ / (√v̂ₜ + ε)", "beta1", "in [0, 1)", "8 bytes", "1412.6980", "adam_eps_hat"):
        assert part in out


def test_a_rule_from_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import ravine\n@ravine.rule\ndef mine(g, *, lr=0.5):\n    return -lr * g\n")
    assert "xₜ = xₜ₋₁ − lr·gₜ" in run("explain", "mine.py:mine", cwd=tmp_path).stdout


def test_mistakes_get_one_line_and_a_status() -> None:
    for args, hint in {
        ("explain", "adan"): "did you mean 'adam'",
        ("explan", "adam"): "Did you mean 'explain'",
        ("explain",): "Missing argument 'RULE'",
        ("list", "--wrong"): "No such option",
    }.items():
        done = run(*args)
        assert done.returncode == 2
        assert hint in done.stderr
        assert "Traceback" not in done.stderr
