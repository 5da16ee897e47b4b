"""Tasks of the user's own, and options of the built-in ones."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")

from ravine.lab import tasks
from ravine.lab.records import FAILED, FINISHED, Settings
from ravine.lab.runner import run


def settings(spec, steps=5):
    return Settings(str(spec), "gd", "gd", {"lr": 0.01}, 0, steps, "tuning", 0, 0)


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    file = folder / name
    file.write_text(text)
    return file


TRAIN = """
import torch

def train(make_optimizer, seed, report, steps=7):
    '''Two players, two optimizers.

    More words.
    '''
    players = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizers = [make_optimizer([p]) for p in players]
    for step in range(steps):
        for player, optimizer in zip(players, optimizers):
            optimizer.zero_grad()
            (player ** 2).sum().backward()
            optimizer.step()
        report(step + 1, float((players[0].detach() ** 2).sum()))
"""


def test_a_training_loop_of_the_users(tmp_path):
    file = write(tmp_path, TRAIN)
    task = tasks.find(str(file))
    assert (task.name, task.title, task.about, task.steps) == ("mine", "mine", "Two players, two optimizers.", 7)
    record = run(lambda: task, settings(file))
    assert record.status == FINISHED
    assert record.curve["step"] == [1, 2, 3, 4, 5]
    assert "accuracy" not in record.curve
    assert record.seconds_per_step > 0


def test_a_loop_without_steps_decides_itself(tmp_path):
    file = write(tmp_path, "def train(make_optimizer, seed, report):\n    report(3, 0.5, accuracy=0.9)\n")
    record = run(lambda: tasks.find(str(file)), settings(file, steps=5))
    assert record.curve == {"step": [3], "loss": [0.5], "accuracy": [0.9]}
    assert tasks.find(str(file)).steps == 500


def test_a_task_object_and_another_name(tmp_path):
    text = "from ravine.lab.tasks import digits\nsmall = digits.task(batch_size=16)\n"
    file = write(tmp_path, text)
    assert tasks.find(f"{file}:small").batch_size == 16
    with pytest.raises(ValueError, match="did you mean 'small'"):
        tasks.find(f"{file}:smal")
    with pytest.raises(ValueError, match="holds neither `task`"):
        tasks.find(str(file))


def test_what_is_wrong_with_a_file_is_said(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        tasks.find(str(tmp_path / "nothing.py"))
    with pytest.raises(ValueError, match=r"can't be run: ZeroDivisionError"):
        tasks.find(str(write(tmp_path, "1 / 0\n")))


@pytest.mark.parametrize("end", ["raise KeyError('planted')", "import sys; sys.exit(3)", "report(1, 'much')", "pass"])
def test_what_goes_wrong_in_a_run_is_in_its_record(tmp_path, end):
    file = write(tmp_path, f"def train(make_optimizer, seed, report):\n    {end}\n")
    record = run(lambda: tasks.find(str(file)), settings(file))
    assert record.status == FAILED
    assert "Traceback" in record.message


@pytest.mark.parametrize(
    "body", ["report(1, 0.5); report(1, 0.4)", "report(1, 0.5); report(2, 0.4, accuracy=1.0)", "report(2, 1.0, loss=2)"]
)
def test_wrong_reports_are_refused(tmp_path, body):
    file = write(tmp_path, f"def train(make_optimizer, seed, report):\n    {body}\n")
    assert run(lambda: tasks.find(str(file)), settings(file)).status == FAILED


def test_files_of_one_name_are_told_apart_by_their_folder(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, f"def train(make_optimizer, seed, report):\n    '{name}'\n")
        monkeypatch.chdir(tmp_path / name)
        assert tasks.find("mine.py").about == name


def test_the_digest_changes_with_the_file(tmp_path):
    before = tasks.digest(str(write(tmp_path, TRAIN)))
    assert tasks.digest(str(write(tmp_path, TRAIN + "# changed\n"))) != before
    assert tasks.digest("digits[batch_size=8]") == tasks.digest("digits")


def test_options_of_built_in_tasks():
    plain, noisy = tasks.find("digits"), tasks.find("digits[label_noise=0.5,batch_size=8,scale_decades=2]")
    assert noisy.batch_size == 8
    assert "50% training labels drawn anew" in noisy.about
    changed = (plain.loaded.train[1] != noisy.loaded.train[1]).double().mean()
    assert 0.35 < changed < 0.55  # half, of which a tenth is drawn as it was
    assert torch.equal(plain.loaded.validation[1], noisy.loaded.validation[1])
    ratio = (noisy.loaded.train[0].abs().sum(0) / plain.loaded.train[0].abs().sum(0)).nan_to_num(1.0)
    assert float(ratio.max() / ratio.min()) > 50


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digit-cnn", "did you mean 'digits-cnn'"),
        ("digits[batchsize=3]", "did you mean 'batch_size'"),
        ("digits[label_noise=2]", "label_noise must be in"),
        ("digits[batch_size=-1]", "batch_size must be a whole number of at least 1, got -1"),
        ("digits[batch_size]", "is not OPTION=VALUE"),
        ("digits[", "can't read task"),
        ("x.py[a=1]", "for built-in tasks"),
    ],
)
def test_mistakes_are_named(spec, message):
    with pytest.raises(ValueError, match=message):
        tasks.find(spec)
