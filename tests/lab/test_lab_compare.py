"""`ravine compare` as a whole: processes, Ctrl-C, a dying worker, a user's rule, a user's mistakes."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")
pytest.importorskip("matplotlib", reason="the lab draws with Matplotlib")

from made_up import header, record

from ravine.cli import group
from ravine.lab import compare as lab_compare
from ravine.lab import pool, tasks
from ravine.lab.entry import entries
from ravine.lab.protocol import Protocol
from ravine.lab.records import Settings
from ravine.lab.results import Results
from ravine.lab.store import Store

command = importlib.import_module("ravine.cli.compare")
SMALL = ["breast-cancer", "--steps", "20", "--trials", "2", "--seeds", "2"]


def ravine(*args: str, cwd: Path, **kwargs) -> subprocess.Popen:
    # Who runs the suite in the background ignores Ctrl-C, and so would a child.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heed}; from ravine.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *args],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **kwargs,
    )


def invoke(*args: str, exit_code: int = 0) -> Result:
    """The command in this process, which has torch already."""
    result = CliRunner().invoke(group, args)
    assert result.exit_code == exit_code, result.output
    return result


def test_a_comparison_with_a_users_rule_and_a_transformed_one(tmp_path: Path):
    (tmp_path / "mine.py").write_text(
        "import ravine\nfrom ravine.math import sign\n\n\n"
        "@ravine.rule(title='Sign descent')\ndef my_rule(g, *, lr=0.01):\n    return -lr * sign(g)\n"
    )
    names = "adam,mine.py:my_rule,weight_decay(gd)[weight_decay=0.01]"
    process = ravine("compare", *SMALL, "--optimizers", names, "--workers", "1", "--out", "out", cwd=tmp_path)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "my_rule" in output
    results = Results.load(tmp_path / "out" / "results.json")
    assert results.is_complete
    assert len(results.records) == 3 * 2 * (2 + 2)
    assert {r.settings.hyper.get("weight_decay") for r in results.of("weight_decay(gd)[weight_decay=0.01]")} == {0.01}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Sign descent" in page
    assert str(tmp_path) not in page


def test_the_records_are_the_same_however_many_workers(tmp_path: Path):
    found = []
    for workers in ("1", "2"):
        out = str(tmp_path / workers)
        args = ["compare", *SMALL, "--optimizers", "adam,nesterov", "--workers", workers, "--out", out]
        invoke(*args)
        found.append(Results.load(tmp_path / workers / "results.json").records)
    assert found[0] == found[1]


def test_a_search_that_learns_gives_the_same_records_however_many_workers(tmp_path: Path):
    found = []
    for workers in ("1", "2"):
        args = ["breast-cancer", "--steps", "40", "--trials", "14", "--seeds", "2", "--optimizers", "gd,adam"]
        invoke(
            *("compare", *args, "--search", "tpe", "--prune", "--workers", workers, "--out", str(tmp_path / workers))
        )
        results = Results.load(tmp_path / workers / "results.json")
        assert results.is_complete
        found.append(results.records)
    assert found[0] == found[1]
    pruned = [r for r in found[0] if r.status == "pruned"]
    assert pruned
    assert all(r.settings.stage == "tuning" and r.settings.trial >= 4 for r in pruned)
    assert all(10 <= r.curve["step"][-1] < 40 for r in pruned)
    page = (tmp_path / "2" / "report.html").read_text()
    tuning = [r for r in found[0] if r.settings.stage == "tuning"]
    assert len(tuning) == 2 * 2 * 14
    assert f"{len(pruned)} of {len(tuning)} tuning runs were stopped early" in page
    assert "tree-structured Parzen estimator" in page


def test_ctrl_c_keeps_the_runs_that_have_ended(tmp_path: Path):
    process = ravine(
        *("compare", "breast-cancer", "--steps", "1500", "--optimizers", "gd,adam", "--workers", "1", "--out", "out"),
        cwd=tmp_path,
    )
    _read_until(process, " of 100 runs: ")
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "no optimizer was scored yet; the same command goes on from here" in " ".join(output.split())
    assert "Traceback" not in errors
    store = Store(f"sqlite:///{tmp_path / 'out' / 'runs.sqlite3'}")
    assert 1 <= sum(len(store.records(study)) for study in store.entered()) < 2 * 50
    assert not (tmp_path / "out" / "report.html").exists()


def test_ctrl_c_after_some_were_scored_reports_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(header, store, pool, console, limit, is_batched, measured):
        for entry in entries(header):
            study = store.enter(entry)
            for _ in range(5 if entry.contender["name"] == "gd" else 1):
                claim = store.claim({study: entry})
                store.finish(claim, record(claim.settings, 0.5))
        return True

    monkeypatch.setattr(command, "run_with_progress", interrupted)
    args = ["--trials", "1", "--seeds", "2", "--optimizers", "gd,adam", "--out", str(tmp_path / "out")]
    shown = invoke("compare", "breast-cancer", *args, exit_code=130).output
    assert "Interrupted. The same command goes on from here." in shown
    data = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(data["records"]) == 6
    assert not data["complete"]
    assert "not complete" in (tmp_path / "out" / "report.html").read_text()


def _read_until(process: subprocess.Popen, text: str) -> None:
    """Wait for output to hold `text`."""
    seen, end = "", time.monotonic() + 240
    while text not in seen and time.monotonic() < end:
        seen += os.read(process.stdout.fileno(), 4096).decode()
    assert text in seen


def test_a_run_whose_worker_dies_goes_to_another_and_fails_after_three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "deadly.py").write_text(
        "import os, pathlib, ravine\n\n\n@ravine.rule()\ndef deadly(g, *, lr=0.1, often=1.0):\n    return -lr * g\n\n\n"
        "marks = pathlib.Path(__file__).parent\n"
        "deaths = len(list(marks.glob('died-*')))\n"
        "if os.environ.get('DEATHS') and deaths < int(os.environ['DEATHS']):\n"
        "    (marks / f'died-{deaths}').touch()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    settings = [
        Settings("breast-cancer", "d", f"{tmp_path / 'deadly.py'}:deadly", {"lr": 0.1}, seed, 5, "final", seed)
        for seed in range(3)
    ]
    monkeypatch.setenv("DEATHS", "4")  # three in the first run, one in the second
    records = []
    with contextlib.closing(pool.Pool(workers=1)) as crew:
        for each in settings:
            crew.start([each])
            while crew.busy:
                records += crew.wait(60)
    assert [r.settings.seed for r in records] == [0, 1, 2]
    assert [r.status for r in records] == ["failed", "finished", "finished"]
    assert "3 worker processes died" in records[0].message
    assert "-9" in records[0].message


def test_a_configuration_file_and_the_same_command_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "small.toml").write_text(
        'task = "breast-cancer[batch_size=8]"\nsteps = 20\ntrials = 2\nseeds = 2\n'
        'optimizers = ["gd", "adam"]\ntune = ["lr", "eps"]\n'
    )
    monkeypatch.chdir(tmp_path)
    again = ("compare", "small.toml", "--out", "out", "--workers", "1")
    assert "are there" not in invoke(*again).output
    assert "16 of 16 runs are there already" in invoke(*again).output
    (adam,) = (c for c in Results.load(tmp_path / "out" / "results.json").contenders if c["name"] == "adam")
    assert list(adam["space"]) == ["lr", "eps"]
    assert "8 of 16 runs are there already" in invoke(*again, "--optimizers", "gd,lion", "--tune", "lr").output
    results = Results.load(tmp_path / "out" / "results.json")
    assert results.task["batch_size"] == 8
    assert results.names == ["gd", "lion"]
    assert [list(c["space"]) for c in results.contenders] == [["lr"], ["lr"]]


def test_a_task_that_raises_is_a_failed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mine.py").write_text(
        "def train(make_optimizer, seed, report):\n    import torch\n"
        "    x = torch.nn.Parameter(torch.ones(1))\n    o = make_optimizer([x])\n"
        "    if seed % 2 == 0 and o.param_groups[0]['lr'] > 0.1:\n        raise KeyError('planted')\n"
        "    for step in range(9):\n        x.grad = x.detach().clone()\n"
        "        report(step, float(x.detach().abs()))\n"
        "        o.step()\n"
    )
    args = ["compare", "mine.py", "--optimizers", "gd", "--trials", "2", "--seeds", "2", "--workers", "1"]
    monkeypatch.chdir(tmp_path)
    assert "KeyError: 'planted'" in invoke(*args, "--out", "out").output
    assert {r.status for r in Results.load(tmp_path / "out" / "results.json").of("gd", "final")} == {"finished"}
    (tmp_path / "mine.py").write_text("def train(make_optimizer, seed, report):\n    raise KeyError('planted')\n")
    tasks._find.cache_clear()
    sys.modules.pop(f"ravine_user:{tmp_path / 'mine.py'}")
    said = invoke(*args, "--out", "out", exit_code=1).output
    assert "every run failed; " in said
    assert "more were not tried" in said
    assert "KeyError: 'planted'" in said


def test_the_first_failed_run_is_the_same_in_the_report_made_again(tmp_path: Path):
    """Runs end in any order; the records have one."""
    comparison = header("gd", protocol=Protocol(steps=10, trials=2, seeds=2))
    (entry,) = entries(comparison)
    store = Store(f"sqlite:///{tmp_path / 'runs.sqlite3'}")
    study = store.enter(entry)
    while claim := store.claim({study: entry}):
        failed = replace(record(claim.settings, 0.5), status="failed", message=f"{claim.settings.key}")
        store.finish(claim, failed)
    results = lab_compare.collect(comparison, store)
    results.save(tmp_path)
    assert results.records == Results.load(tmp_path / "results.json").records


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["digit"], "did you mean 'digits'"),
        (["--optimizers", "adamm"], "did you mean 'adam'"),
        (["--optimizer", "adam"], "--optimizers"),
        (["--tune", "lr,beta_1"], "did you mean 'beta1'"),
        (["--trials", "0"], "trials must be at least 1"),
        (["--seeds", "1"], "seeds must be at least 2"),
        (["--workers", "0"], "workers must be at least 1"),
        (["--steps", "many"], "not a valid integer"),
        (["--schedule", "cosin"], "'cosin' is not one of"),
        (["--search", "grid"], "'grid' is not one of"),
        (["--storage", "nonsense"], "the storage"),
        (["nothing.toml"], "can't read 'nothing.toml'"),
        (["wrong.toml"], "did you mean 'optimizers'"),
        (["wrong.py"], "holds neither `task`"),
        (["--out", "file/below"], "can't write to --out 'file/below'"),
        (["--out", "/proc/ravine"], "can't write to --out"),
    ],
)
def test_a_mistake_is_named_before_anything_runs(args: list[str], message: str, tmp_path: Path):
    (tmp_path / "file").touch()
    (tmp_path / "wrong.toml").write_text('optimizer = ["adam"]\n')
    (tmp_path / "wrong.py").touch()
    process = ravine("compare", *args, cwd=tmp_path)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert message in errors
    assert "Traceback" not in errors
    assert "starting workers" not in output
