"""What becomes of a comparison on a cluster whose workers die in a run, or whose scheduler goes away."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")
distributed = pytest.importorskip("distributed", reason="needs the extra cluster")

from click.testing import CliRunner

from ravine.cli import group
from ravine.lab import cluster as lab
from ravine.lab import runner
from ravine.lab.results import Results
from ravine.lab.store import Store

TASK = """
import time, torch


def train(make_optimizer, seed, report, steps=3):
    x = torch.nn.Parameter(torch.ones(3))
    optimizer = make_optimizer([x])
    scheduler = make_optimizer.scheduler(optimizer)
    for step in range(steps):
        report(step, float((x.detach() ** 2).sum()) + 0.01 * seed)
        time.sleep(0.02)
        x.grad = 2 * x.detach()
        optimizer.step()
        scheduler.step()
    report(steps, float((x.detach() ** 2).sum()) + 0.01 * seed)
"""


@pytest.fixture
def scheduler(tmp_path, monkeypatch):
    """A real scheduler with two workers, threads of this process."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(TASK)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1"
    ) as running:
        yield running


def ravine(*args: str):
    return CliRunner().invoke(group, ["compare", "mine.py", "--out", "out", *args])


def deadly(monkeypatch, kills):
    """Some runs end as dask says it of those that have cost more workers than the scheduler allows."""
    train = runner.run_batch

    def run_batch(load, batch, rivals):
        if any(kills(s) for s in batch):
            raise distributed.scheduler.KilledWorker("train", SimpleNamespace(address="tcp://gone"), 3)
        return train(load, batch, rivals)

    monkeypatch.setattr(runner, "run_batch", run_batch)


def test_a_run_that_kills_its_workers_is_a_failed_run(scheduler, monkeypatch):
    deadly(monkeypatch, lambda s: s.seed == 3)
    said = ravine("--on", scheduler.scheduler_address, "--optimizers", "gd", "--trials", "2", "--seeds", "2")
    assert said.exit_code == 0, said.output
    records = Results.load(Path("out/results.json")).records
    assert len(records) == 2 * (2 + 2)
    for r in records:
        assert (r.status == "failed") == (r.settings.seed == 3)
    assert {r.message for r in records if r.status == "failed"} == {"4 workers of the cluster died in this run"}


def test_a_batch_that_kills_its_workers_is_tried_run_by_run(scheduler, monkeypatch):
    deadly(monkeypatch, lambda s: s.seed == 1 and s.stage == "final")
    args = ("compare", "breast-cancer", "--optimizers", "gd", "--trials", "2", "--seeds", "2", "--steps", "4")
    said = CliRunner().invoke(group, [*args, "--out", "out", "--on", scheduler.scheduler_address])
    assert said.exit_code == 0, said.output
    failed = [r.settings.stage for r in Results.load(Path("out/results.json")).records if r.status == "failed"]
    assert failed == ["final"]


def test_a_scheduler_that_vanishes_ends_the_comparison_in_a_line_and_it_goes_on_elsewhere(scheduler, monkeypatch):
    monkeypatch.setattr(lab, "PATIENCE", 2)
    args = ("--optimizers", "gd,adam", "--trials", "4", "--seeds", "3", "--no-prune")
    address = scheduler.scheduler_address

    def kept():
        store = Store("sqlite:///out/runs.sqlite3")
        return sum(len(store.records(study)) for study in store.entered())

    def end():
        until = time.monotonic() + 60
        while kept() < 3 and time.monotonic() < until:
            time.sleep(0.05)
        scheduler.close()

    ender = threading.Thread(target=end)
    Path("out").mkdir()
    ender.start()
    said = ravine("--on", address, *args)
    ender.join()
    assert isinstance(said.exception, lab.ClusterError)
    assert str(said.exception).startswith(f"the dask scheduler at {address} is gone: ")
    assert "the same command goes on" in str(said.exception)
    there = kept()
    assert 3 <= there < 36
    again = ravine("--workers", "1", *args)
    assert again.exit_code == 0, again.output
    assert f"{there} of 36 runs are there already" in again.output
    assert Results.load(Path("out/results.json")).is_complete


def test_seeds_auto_on_a_cluster(scheduler):
    args = ("--optimizers", "gd,slow=gd[lr=1e-9]", "--trials", "1", "--seeds", "auto", "--most-seeds", "5")
    said = ravine("--on", scheduler.scheduler_address, *args)
    assert said.exit_code == 0, said.output
    results = Results.load(Path("out/results.json"))
    assert results.is_complete
    assert results.protocol.looks
    assert {r.status for r in results.records} == {"finished"}
