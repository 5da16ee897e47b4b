"""One comparison at several lengths, and the protocols that stand for options."""

from __future__ import annotations

import importlib

import pytest

pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")

from click.testing import CliRunner
from made_up import make_up

from ravine.cli import group
from ravine.lab.contender import parse
from ravine.lab.protocol import Protocol
from ravine.lab.report import lengths

command = importlib.import_module("ravine.cli.compare")


def many(crosses: bool):
    """gd ahead in short runs; in long ones behind, if they cross."""

    def loss(s):
        ahead = "adam" if crosses and s.steps > 10 else "gd"
        return (0.5 if s.contender == ahead else 0.7) + 0.01 * s.seed + 0.001 * max(0, s.trial)

    protocols = {n: Protocol(steps=n, trials=2, seeds=3) for n in (10, 20)}
    return {n: make_up("gd,adam", loss, protocol=p) for n, p in protocols.items()}


def test_places_and_losses_at_each_length():
    heading, first, second = lengths.lines(many(True))
    assert heading == ["optimizer", "10 steps", "20 steps", "seconds"]
    assert [first[0], second[0]] == ["adam", "gd"]
    assert [first[1][:2], first[2][:2], second[1][:2], second[2][:2]] == ["2.", "1.", "1.", "2."]
    assert "0.5" in first[2]
    assert lengths.table(many(True)).row_count == 2
    assert lengths.markdown(many(True)).count("\n| ") == 3 - 1 + 1


@pytest.mark.parametrize(
    ("crosses", "said"), [(True, "not the same at all lengths"), (False, "the same at all lengths")]
)
def test_whether_the_order_changes_is_said(crosses, said):
    text = lengths.words(many(crosses))
    assert said in text
    assert ("not the same" in text) == crosses
    assert "that of the longest runs, 20 steps" in text


def test_the_command_runs_each_length_and_the_options_of_a_protocol(tmp_path, monkeypatch):
    ran = []

    def compare_one(task, given, out, console, began):
        ran.append((given["steps"], given["trials"], given["schedule"], given["tune"], out.name))
        return many(True)[10 if given["steps"] < 20 else 20]

    monkeypatch.setattr(command, "compare_one", compare_one)
    args = ["compare", "diabetes", "--steps", "10", "--out", str(tmp_path)]
    done = CliRunner().invoke(group, [*args, "--lengths", "2,1", "--schedule", "wsd"])
    assert done.exit_code == 0, done.output
    assert ran == [(10, 8, "wsd", None, "x1"), (20, 8, "wsd", None, "x2")]
    assert "not the same at all lengths" in (tmp_path / "lengths.md").read_text()
    ran.clear()
    done = CliRunner().invoke(group, [*args, "--protocol", "thorough", "--trials", "3"])
    assert done.exit_code == 0, done.output
    tuned = "lr,weight_decay,warmup,beta2"
    assert ran == [(10 * n, 3, "cosine", tuned, f"x{n}") for n in (1, 2, 4)]
    for wrong, message in {"0,1": "lengths are numbers above 0", "a": "lengths are", "1,1": "lengths are"}.items():
        done = CliRunner().invoke(group, [*args, "--lengths", wrong])
        assert message in str(done.exception or done.output)
    done = CliRunner().invoke(group, [*args, "--lengths", "1,2", "--budget", "10m"])
    assert "give it no --lengths" in str(done.exception)


def test_a_protocol_searches_what_it_can_of_each():
    adamw, gd, sgd = parse("adamw,gd,torch.optim:SGD", ["lr", "weight_decay", "warmup", "beta2"], where_possible=True)
    assert list(adamw.space) == ["lr", "beta2", "weight_decay", "warmup"]
    assert list(gd.space) == ["lr", "warmup"]
    assert list(sgd.space) == ["lr", "warmup"]
