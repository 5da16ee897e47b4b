"""`ravine compare` as a whole: processes, Ctrl-C, a dying worker, a user's rule, a user's mistakes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")
pytest.importorskip("matplotlib", reason="the lab draws with Matplotlib")

from ravine.cli import group
from ravine.lab import pool
from ravine.lab.records import Settings
from ravine.lab.results import Results

SMALL = ["breast-cancer", "--steps", "20", "--trials", "3", "--seeds", "2", "--tuning-seeds", "1"]


def ravine(*args: str, cwd: Path, **kwargs) -> subprocess.Popen:
    code = "from ravine.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *args],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **kwargs,
    )


def test_a_comparison_with_a_users_rule_and_a_transformed_one(tmp_path: Path):
    (tmp_path / "mine.py").write_text(
        "import ravine\nfrom ravine.math import sign\n\n\n"
        "@ravine.rule(title='Sign descent')\ndef my_rule(g, *, lr=0.01):\n    return -lr * sign(g)\n"
    )
    names = "adam,mine.py:my_rule,weight_decay(gd)[weight_decay=0.01]"
    process = ravine("compare", *SMALL, "--optimizers", names, "--workers", "2", "--out", "out", cwd=tmp_path)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "my_rule" in output
    results = Results.load(tmp_path / "out" / "results.json")
    assert results.is_complete
    assert len(results.records) == 3 * (3 + 2)
    assert {r.settings.hyper.get("weight_decay") for r in results.of("weight_decay(gd)[weight_decay=0.01]")} == {0.01}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Sign descent" in page
    assert str(tmp_path) not in page


def test_the_records_are_the_same_however_many_workers(tmp_path: Path):
    found = []
    for workers in ("1", "2"):
        args = ["compare", *SMALL, "--optimizers", "adam,nesterov", "--workers", workers, "--out", str(tmp_path)]
        result = CliRunner().invoke(group, args)
        assert result.exit_code == 0, result.output
        found.append(Results.load(tmp_path / "results.json").records)
    assert found[0] == found[1]


def test_ctrl_c_keeps_the_runs_that_have_ended(tmp_path: Path):
    process = ravine(
        *("compare", "breast-cancer", "--steps", "4000", "--optimizers", "gd,adam", "--workers", "1", "--out", "out"),
        cwd=tmp_path,
    )
    _read_until(process, "tuned gd")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Interrupted" in output
    assert "Traceback" not in errors
    data = json.loads((tmp_path / "out" / "results.json").read_text())
    assert 1 <= len(data["records"]) < 2 * 21
    assert not data["complete"]
    assert "not complete" in (tmp_path / "out" / "report.html").read_text()


def _read_until(process: subprocess.Popen, text: str) -> None:
    """Wait for output to hold `text`."""
    seen, end = "", time.monotonic() + 60
    while text not in seen and time.monotonic() < end:
        seen += os.read(process.stdout.fileno(), 4096).decode()
    assert text in seen


def test_a_run_whose_worker_dies_goes_to_another_and_fails_after_three(tmp_path: Path):
    (tmp_path / "deadly.py").write_text(
        "import os, pathlib, ravine\n\n\n@ravine.rule()\ndef deadly(g, *, lr=0.1, often=1.0):\n    return -lr * g\n\n\n"
        "marks = pathlib.Path(__file__).parent\n"
        "deaths = len(list(marks.glob('died-*')))\n"
        "if os.environ.get('DEATHS') and deaths < int(os.environ['DEATHS']):\n"
        "    (marks / f'died-{deaths}').touch()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    settings = [
        Settings("breast-cancer", "d", f"{tmp_path / 'deadly.py'}:deadly", {"lr": 0.1}, seed, 5, "final")
        for seed in range(3)
    ]
    for deaths, statuses in {2: ["finished"] * 3, 3: ["failed", "finished", "finished"]}.items():
        for mark in tmp_path.glob("died-*"):
            mark.unlink()
        os.environ["DEATHS"] = str(deaths)
        try:
            queue = list(settings)
            records = list(pool.run_all(lambda queue=queue: queue.pop(0) if queue else None, workers=1))
        finally:
            del os.environ["DEATHS"]
        assert [r.settings.seed for r in records] == [0, 1, 2]
        assert [r.status for r in records] == statuses
    assert "3 workers died" in records[0].message
    assert "-9" in records[0].message


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["digit"], "did you mean 'digits'"),
        (["--optimizers", "adan"], "did you mean 'adam'"),
        (["--optimizer", "adam"], "--optimizers"),
        (["--trials", "0"], "trials must be at least 1"),
        (["--seeds", "1"], "seeds must be at least 2"),
        (["--workers", "0"], "workers must be at least 1"),
        (["--steps", "many"], "not a valid integer"),
        (["--out", "file/below"], "can't write to --out 'file/below'"),
        (["--out", "/proc/ravine"], "can't write to --out"),
    ],
)
def test_a_mistake_is_named_before_anything_runs(args: list[str], message: str, tmp_path: Path):
    (tmp_path / "file").touch()
    process = ravine("compare", *args, cwd=tmp_path)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert message in errors
    assert "Traceback" not in errors
    assert "starting workers" not in output
