"""Runs trained together are the runs that the judge, the unbatched loop, trains one by one."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest

torch = pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")

from torch import nn

from ravine.lab import batched, tasks
from ravine.lab.pool import Pool
from ravine.lab.records import Settings
from ravine.lab.runner import run, run_batch
from ravine.lab.task import Data, FunctionTask, Task
from ravine.lab.tasks import tables

DRIFT = 1e-4
"""How far losses may be apart, relatively: a few hundred steps, each with another order of additions in float32."""


def batch(task: str, rule: str, rates, steps: int = 40, **changed) -> list[Settings]:
    """Two repetitions, with seeds of their own, of one run at each learning rate."""
    made = Settings(task, rule, rule, {}, 0, steps, "tuning", 0)
    return [
        replace(made, hyper={"lr": lr}, seed=2 * i, repetition=i, trial=k, **changed)
        for i in range(2)
        for k, lr in enumerate(rates)
    ]


def both(runs):
    load = partial(tasks.find, runs[0].task)
    together = run_batch(load, runs, [()] * len(runs))
    assert {r.engine for r in together} == {"batched"}
    return together, [run(load, s) for s in runs]


@pytest.mark.parametrize(
    ("task", "rule", "rates"),
    [
        ("digits", "adam", (0.001, 0.01)),
        ("digits[batch_size=16,layers=2]", "nesterov", (0.01, 0.1)),
        ("digits", "torch.optim:Muon", (0.001, 0.01)),
        ("breast-cancer", "rmsprop", (0.001, 0.01)),
        ("breast-cancer", "weight_decay(momentum)", (0.01, 0.1)),
    ],
)
def test_a_batch_gives_what_the_judge_gives(task, rule, rates):
    together, alone = both(batch(task, rule, rates))
    for ours, judged in zip(together, alone, strict=True):
        assert ours.settings == judged.settings
        assert ours.status == judged.status == "finished"
        assert ours.curve["step"] == judged.curve["step"]
        assert ours.rates == judged.rates
        assert ours.schedule == judged.schedule == ""
        for name in ("loss", "train_loss"):
            assert ours.curve[name] == pytest.approx(judged.curve[name], rel=DRIFT)
    assert len({r.loss for r in together}) == len(together)


def test_a_run_does_not_depend_on_what_else_is_in_the_batch():
    runs = batch("digits", "adam", (0.001, 0.01, 0.1), steps=20)
    load = partial(tasks.find, "digits")
    whole = run_batch(load, runs, [()] * len(runs))
    assert run_batch(load, runs[:1], [()]) == whole[:1]
    assert run_batch(load, runs[2:5], [()] * 3) == whole[2:5]


def test_a_run_that_diverges_or_is_pruned_ends_alone():
    runs = batch("digits", "gd", (0.1, 1e20), steps=40)
    runs[2] = replace(runs[2], rivals=2)
    load = partial(tasks.find, "digits")
    rivals = [replace(r, status="finished") for r in run_batch(load, batch("digits", "adam", (0.01,)), [()] * 2)]
    judged = [(), (), rivals, ()]
    together = run_batch(load, runs, judged)
    assert [r.status for r in together] == ["finished", "diverged", "pruned", "diverged"]
    for ours, theirs in zip(together, [run(load, s, r) for s, r in zip(runs, judged, strict=True)], strict=True):
        assert ours.status == theirs.status
        assert ours.curve["step"] == theirs.curve["step"]
    assert not math.isfinite(together[1].curve["loss"][-1])


def small(model, loss=nn.functional.mse_loss) -> Task:
    memory = torch.linspace(-1, 1, 64).view(-1, 4)
    data = Data(train=(memory, memory[:, :1]), validation=(memory, memory[:, :1]))
    return Task("small", "", lambda: data, model, loss, batch_size=4, steps=8)


class Longer(Task):
    """A task with something of its own."""


@pytest.mark.parametrize(
    ("task", "most"),
    [
        (small(lambda: nn.Linear(4, 1)), batched.MOST),
        (small(lambda: nn.Sequential(nn.Linear(4, 1), nn.Dropout())), 1),
        (small(lambda: nn.Sequential(nn.Linear(4, 1), nn.BatchNorm1d(1))), 1),
        (
            small(lambda: nn.Linear(4, 1), lambda a, b: torch.tensor(((a - b) ** 2).mean().item(), requires_grad=True)),
            1,
        ),
        (small(lambda: nn.Sequential(nn.Linear(4, 2000), nn.Linear(2000, 1))), batched.MOST),
        (small(lambda: nn.Sequential(nn.Linear(4, 2000), nn.Linear(2000, 100), nn.Linear(100, 1))), 1),
        (Longer(**vars(small(lambda: nn.Linear(4, 1)))), 1),
        (FunctionTask(lambda make_optimizer, seed, report: None, "mine"), 1),
    ],
)
def test_which_tasks_are_batched(task, most):
    assert batched.most(task) == most


def test_a_batch_that_fails_is_trained_one_by_one():
    task = small(lambda: nn.Linear(4, 1))
    calls = []

    def accuracy(outputs, targets):
        calls.append(1)
        if len(calls) == 3:
            raise KeyError("planted")
        return 0.5

    made = replace(task, accuracy=accuracy)
    runs = batch("small", "adam", (0.01, 0.1), steps=4)
    records = run_batch(lambda: made, runs, [()] * 4)
    assert [(r.engine, r.status) for r in records] == [("", "finished")] * 4


def test_an_optimizer_that_moves_its_parameters_is_not_batched(tmp_path):
    (tmp_path / "moving.py").write_text(
        "import torch\n\n\nclass Moving(torch.optim.SGD):\n    def step(self, closure=None):\n"
        "        for p in self.param_groups[0]['params']:\n            p.data = p.data - 0.1 * p.grad\n"
    )
    runs = batch("breast-cancer", f"{tmp_path / 'moving.py'}:Moving", (0.01,), steps=4)
    records = run_batch(partial(tasks.find, "breast-cancer"), runs, [()] * 2)
    assert [(r.engine, r.status) for r in records] == [("", "finished")] * 2


def test_a_worker_that_dies_in_a_batch_costs_only_the_run_that_kills_it(tmp_path, monkeypatch):
    (tmp_path / "deadly.py").write_text(
        "import os, torch\nfrom ravine.lab.task import Data, Task\n\n\n"
        "def model():\n    if torch.initial_seed() == 2:\n        os.kill(os.getpid(), 9)\n"
        "    return torch.nn.Linear(4, 1)\n\n\n"
        "memory = torch.linspace(-1, 1, 64).view(-1, 4)\n"
        "pair = (memory, memory[:, :1])\n"
        "task = Task('deadly', '', lambda: Data(pair, pair), model, torch.nn.functional.mse_loss, batch_size=4)\n"
    )
    runs = batch(str(tmp_path / "deadly.py"), "gd", (0.01, 0.1), steps=4)[1:3]
    records = []
    with contextlib.closing(Pool(workers=1)) as pool:
        pool.start(runs)
        while pool.busy or not pool.has_room:
            records += pool.wait(60)
    assert [(r.settings.seed, r.status) for r in records] == [(0, "finished"), (2, "failed")]
    assert "3 worker processes died" in records[1].message


def test_the_engine_is_in_the_record():
    made = run_batch(partial(tasks.find, "breast-cancer"), batch("breast-cancer", "gd", (0.1,), steps=2), [()] * 2)
    assert json.loads(json.dumps(made[0].to_dict()))["engine"] == "batched"


@pytest.mark.parametrize("name", tables.FILES)
def test_data_read_from_files_is_scikit_learns(name):
    from sklearn import datasets

    for ours, theirs in zip(tables.read(name), getattr(datasets, f"load_{name}")(return_X_y=True), strict=True):
        assert ours.dtype == theirs.dtype
        assert (ours == theirs).all()


def test_where_a_file_has_moved_scikit_learn_is_asked(monkeypatch):
    there = tables.read("digits")
    monkeypatch.setitem(tables.FILES, "digits", ("moved.csv.gz", 0))
    for ours, theirs in zip(tables.read("digits"), there, strict=True):
        assert (ours == theirs).all()


def test_neither_scikit_learn_nor_the_compiler_is_imported_to_see_whether_runs_are_batched():
    code = "import sys; from ravine.lab import batched, tasks; print(batched.most(tasks.find('digits')));"
    code += "print({'sklearn', 'torch._dynamo'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [str(batched.MOST), "set()"]
