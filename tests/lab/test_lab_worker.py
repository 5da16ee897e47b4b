"""Workers on a PostgreSQL server that this test starts; one of three is killed. And the commands around a task."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")

from postgres import server  # noqa: F401  (a fixture)

from ravine.cli import group
from ravine.lab.results import Results


def start(*args, cwd):
    command = [sys.executable, "-c", "from ravine.cli import main; main()", *args]
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def test_three_workers_of_which_one_is_killed_while_the_database_is_restarted(server, tmp_path):  # noqa: F811
    work = ["compare", "breast-cancer", "--optimizers", "gd,adam", "--steps", "600", "--trials", "3", "--seeds", "3"]
    store = ["--storage", server.url, "--workers", "1"]
    workers = [start("worker", *store, "--idle", "20", cwd=tmp_path) for _ in range(2)]
    comparison = start(*work, "--engine", "single", *store, "--out", "out", cwd=tmp_path)
    victim = workers[0]
    assert any("run of" in line for line in victim.stdout)  # it is at work
    os.killpg(victim.pid, signal.SIGKILL)
    server.stop()
    time.sleep(1.0)
    server.start()
    output, _ = comparison.communicate(timeout=240)
    assert comparison.returncode == 0, output
    other, _ = workers[1].communicate(timeout=120)
    assert workers[1].returncode == 0, other
    assert "no connection to the storage" in output + other
    assert "the storage is back" in output + other
    assert "nothing to do: 2 optimizers have all their runs, done or taken" in other
    victim.communicate()
    results = Results.load(tmp_path / "out" / "results.json")
    keys = [r.settings.key for r in results.records]
    assert len(keys) == len(set(keys)) == 2 * 3 * (3 + 2)
    assert results.is_complete
    assert {r.status for r in results.records} <= {"finished", "diverged"}


@pytest.mark.parametrize("kind", ["task", "train"])
def test_a_new_task_works_as_it_is(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    made = run(group, ["new-task", "mine.py", "--kind", kind])
    assert made.exit_code == 0, made.output
    assert run(group, ["new-task", "mine.py"]).exit_code != 0
    args = ["compare", "mine.py", "--optimizers", "gd,adam", "--trials", "2", "--seeds", "2", "--steps", "30"]
    compared = run(group, [*args, "--workers", "1", "--out", "out"])
    assert compared.exit_code == 0, compared.output
    page = tmp_path / "out" / "report.html"
    before = page.read_text()
    page.unlink()
    again = run(group, ["report", "out"])
    assert again.exit_code == 0, again.output
    assert page.read_text() == before
    assert isinstance(run(group, ["report", "nowhere"]).exception, ValueError)


def test_a_worker_with_nothing_to_do_ends_by_itself(tmp_path):
    began = time.monotonic()
    process = start("worker", "--storage", f"sqlite:///{tmp_path / 's.sqlite3'}", "--idle", "0.5", cwd=tmp_path)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "Runs done: 0" in output
    assert time.monotonic() - began < 60
