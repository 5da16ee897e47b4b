"""A comparison on a real dask scheduler with three worker processes, of which one is killed and one joins late."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")
pytest.importorskip("distributed", reason="needs the extra cluster")

from click.testing import CliRunner

from ravine.cli import group
from ravine.lab.results import Results

TASK = """
import os, pathlib, time, torch


def train(make_optimizer, seed, report, steps=20):
    path, end = pathlib.Path(__file__).parent / 'log', time.monotonic() + 60
    with path.open('a') as log:
        log.write(f'{os.getpid()}\\n')
    while len(set(path.read_text().split())) < 3 and time.monotonic() < end:
        time.sleep(0.05)  # until all three have had work
    x = torch.nn.Parameter(torch.ones(3))
    optimizer = make_optimizer([x])
    scheduler = make_optimizer.scheduler(optimizer)
    for step in range(steps):
        report(step, float((x.detach() ** 2).sum()) + 0.01 * seed)
        x.grad = 2 * x.detach()
        optimizer.step()
        scheduler.step()
    report(steps, float((x.detach() ** 2).sum()) + 0.01 * seed)
"""


@pytest.fixture
def start(tmp_path):
    """Starts a program of dask's; all are ended with the test."""
    running = []

    def begin(kind, *args):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
        file = ["--scheduler-file", str(tmp_path / "scheduler.json"), "--no-dashboard"]
        running.append(subprocess.Popen([sys.executable, "-m", "dask", kind, *file, *args], **quiet))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
    for process in running:
        process.wait()


def until(condition, what):
    end = time.monotonic() + 90
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return found


def test_three_workers_of_which_one_is_killed_and_one_joins_late(start, tmp_path: Path):
    import json

    (tmp_path / "mine.py").write_text(TASK)
    start("scheduler", "--host", "127.0.0.1", "--port", "0")
    file = tmp_path / "scheduler.json"
    address = json.loads(until(lambda: file.exists() and file.read_text(), "no scheduler"))["address"]
    one = ("--nthreads", "1", "--no-nanny", "--host", "127.0.0.1")
    first, victim = start("worker", *one), start("worker", *one)
    command = [sys.executable, "-c", "from ravine.cli import main; main()", "compare", "mine.py", "--on", address]
    args = ["--optimizers", "gd,adam", "--trials", "4", "--seeds", "2", "--out", "out"]
    comparison = subprocess.Popen(
        [*command, *args], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    log = tmp_path / "log"

    def at_work():
        return set(log.read_text().split()) if log.exists() else set()

    until(lambda: str(victim.pid) in at_work() or comparison.poll() is not None, "the victim has no work")
    os.kill(victim.pid, signal.SIGKILL)
    late = start("worker", *one)
    output, _ = comparison.communicate(timeout=150)
    assert comparison.returncode == 0, output
    assert at_work() == {str(p.pid) for p in (first, victim, late)}
    results = Results.load(tmp_path / "out" / "results.json")
    assert results.is_complete
    keys = [r.settings.key for r in results.records]
    assert len(keys) == len(set(keys)) == 2 * 2 * (4 + 2)
    assert {r.status for r in results.records} <= {"finished", "diverged"}


def test_where_there_is_no_scheduler(tmp_path, monkeypatch):
    monkeypatch.setattr("ravine.lab.cluster.PATIENCE", 0.5)
    args = ["compare", "breast-cancer", "--out", str(tmp_path), "--on"]
    said = CliRunner().invoke(group, [*args, "tcp://127.0.0.1:1"]).exception
    assert "no dask scheduler at tcp://127.0.0.1:1" in str(said)
    assert "--workers is for processes of this machine" in str(
        CliRunner().invoke(group, [*args, "tcp://127.0.0.1:1", "--workers", "2"]).exception
    )
