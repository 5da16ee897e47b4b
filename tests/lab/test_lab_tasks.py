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
        ("digits[label_noise=x]", "label_noise must be a number, got 'x'"),
        ("digits-cnn[width=0]", "width must be at least 1, got 0"),
        ("digits-cnn[width=2.5]", "width must be a whole number, got 2.5"),
        ("digits-cnn[width=x]", "width must be a whole number, got 'x'"),
        ("digits[batch_size]", "is not OPTION=VALUE"),
        ("digits[", "can't read task"),
        ("x.py[a=1]", "no such file"),
    ],
)
def test_mistakes_are_named(spec, message):
    with pytest.raises(ValueError, match=message):
        tasks.find(spec)


def helped(folder: Path, number: int) -> Path:
    """A task that takes a number from a helper module beside it, one from a package, and one from a file."""
    folder.mkdir(exist_ok=True)
    (folder / "parts").mkdir(exist_ok=True)
    write(folder, f"from parts import deep\nNUMBER = {number} + deep.ZERO\n", "helper.py")
    write(folder / "parts", "from .deeper import ZERO\n", "deep.py")
    write(folder / "parts", "ZERO = 0\n", "deeper.py")
    write(folder, "1.5\n", "measured.csv")
    text = "data_files = ['measured.csv']\nfrom helper import NUMBER\n"
    text += "def train(make_optimizer, seed, report):\n    import late\n    report(1, NUMBER + late.NUMBER)\n"
    write(folder, "NUMBER = 0\n", "late.py")
    return write(folder, text)


def test_a_task_imports_what_is_beside_it(tmp_path):
    for number, name in enumerate(("one", "two", "one")):
        file = helped(tmp_path / name, number) if number < 2 else tmp_path / name / "mine.py"
        record = run(lambda file=file: tasks.find(str(file)), settings(file))
        assert record.curve["loss"] == [number if number < 2 else 0], record.message


@pytest.mark.parametrize("changed", ["helper.py", "late.py", "parts/deep.py", "parts/deeper.py", "measured.csv"])
def test_the_digest_covers_what_the_file_imports_and_declares(tmp_path, changed):
    spec = str(helped(tmp_path, 1))
    before, again = tasks.digest(spec), tasks.digest(spec)
    assert before == again
    with (tmp_path / changed).open("a") as file:
        file.write("# changed\n")
    assert tasks.digest(spec) != before
    (tmp_path / "other.py").write_text("not imported")
    names = [str(p.relative_to(tmp_path)) for p in tasks.covered(spec)]
    assert names == ["helper.py", "late.py", "mine.py", "parts/deep.py", "parts/deeper.py", "measured.csv"]


def test_declared_files_may_be_patterns_and_folders_and_must_be_there(tmp_path):
    (tmp_path / "images" / "deep").mkdir(parents=True)
    for name in ("a.npy", "b.npy", "deep/c.txt"):
        (tmp_path / "images" / name).write_text("x")
    body = "def train(make_optimizer, seed, report): pass\n"
    one = write(tmp_path, "data_files = ['images/*.npy']\n" + body, "one.py")
    assert [p.name for p in tasks.covered(str(one))] == ["one.py", "a.npy", "b.npy"]
    two = write(tmp_path, "data_files = ['images']\n" + body, "two.py")
    assert [p.name for p in tasks.covered(str(two))] == ["two.py", "a.npy", "b.npy", "c.txt"]
    for wrong, message in (("['no.csv']", "'no.csv', and there is no such file"), ("'images'", "must be a list")):
        three = write(tmp_path, f"data_files = {wrong}\n" + body, f"{len(wrong)}.py")
        with pytest.raises(ValueError, match=message):
            tasks.covered(str(three))
