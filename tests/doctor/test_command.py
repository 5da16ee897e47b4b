"""`ravine doctor`: what it prints, and that no class can spoil it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner

from ravine.cli.doctor import doctor
from ravine.doctor import CHECKS, Finding, Report, Verdict
from ravine.doctor.isolation import Case, examine_apart
from ravine.doctor.references import load_class, load_factory, value

FILE = '''
import os
import signal
import subprocess
import sys
import time

import neighbour
import torch

print("{ imported")


class Chatty(torch.optim.SGD):
    """It writes to both streams, also from a process of its own."""

    def step(self, closure=None):
        print("{ stepping")
        os.write(1, b"{ from below\\n")
        subprocess.run([sys.executable, "-c", "print('{ from a child')"])
        return super().step(closure)


class Crashes(torch.optim.SGD):
    def load_state_dict(self, state_dict):
        os.kill(os.getpid(), signal.SIGSEGV)


class Hangs(torch.optim.SGD):
    def load_state_dict(self, state_dict):
        time.sleep(1000)


class Leaves(torch.optim.SGD):
    def __init__(self, params):
        print("not today")
        os._exit(3)


def wrapped(params, inner=torch.optim.SGD, lr=0.1):
    return inner(params, lr=lr)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(FILE, encoding="utf-8")
    (tmp_path / "neighbour.py").write_text("", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_json_is_json_whatever_the_classes_print_or_do(folder: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from ravine.cli import main; main()", "doctor"),
            *("mine.py:Chatty", "mine.py:Crashes", "mine.py:Leaves", "--factory", "mine.py:wrapped"),
            *("--check", "dtype on load", "--check", "NaN", "--json"),
        ],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 1, done.stderr
    chatty, crashes, leaves, wrapped = json.loads(done.stdout)
    assert [f["verdict"] for f in chatty["findings"]] == ["n/a", "FAIL"]
    assert [f["verdict"] for f in crashes["findings"]] == ["FAIL", "FAIL"]
    assert crashes["findings"][0]["evidence"].startswith("the process died of SIGSEGV")
    assert leaves["error"] == "the process ended with exit status 3; its last words: not today"
    assert [f["verdict"] for f in wrapped["findings"]] == ["n/a", "FAIL"]
    assert not any(report["passed"] for report in (chatty, crashes, leaves, wrapped))


def replayed(monkeypatch: pytest.MonkeyPatch, *outcomes: Any) -> None:
    """The command finds these reports, or is interrupted."""
    left = list(outcomes)

    def examine_apart(*_: Any) -> Report:
        if isinstance(left[0], Report):
            return left.pop(0)  # type: ignore[no-any-return]
        raise left.pop(0)

    monkeypatch.setattr("ravine.doctor.isolation.examine_apart", examine_apart)


def seen(subject: str, verdict: Verdict) -> Report:
    evidence = "a long line of what was seen, which has to be wrapped; " * 3
    return Report(subject, {}, torch.__version__, tuple(Finding(c, verdict, evidence) for c in CHECKS))


def test_many_classes_are_readable_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    subjects = [f"some_package.optim:QuiteALongName{n}" for n in range(7)]
    reports = [seen(s, verdict) for s, verdict in zip(subjects, [*Verdict] * 2, strict=False)]
    lost = Report("elsewhere:Lost", {}, torch.__version__, (), "it took no step, so there is nothing to examine")
    replayed(monkeypatch, lost, *reports)
    done = CliRunner().invoke(doctor, [lost.subject, *subjects])
    assert done.exit_code == 1
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert "not examined: it took no step" in done.stdout
    assert "--factory FILE.py:NAME" in done.stderr
    for verdict in Verdict:
        assert f"{verdict} " in done.stdout
    lines = [line.split() for line in done.stdout.partition("All verdicts")[2].splitlines()]
    assert [lost.subject, *"?" * 12] in lines
    assert [subjects[0], *"." * 12] in lines
    assert [subjects[5], *"F" * 12] in lines
    assert "1 aliasing on load · 2 dtype on load" in done.stdout


@pytest.mark.parametrize(("verdict", "status"), [*zip(Verdict, (0, 1, 0, 1), strict=True)])
def test_the_exit_status_tells_the_verdict(monkeypatch: pytest.MonkeyPatch, verdict: Verdict, status: int) -> None:
    replayed(monkeypatch, seen("a:A", verdict))
    assert CliRunner().invoke(doctor, ["a:A"]).exit_code == status


def test_an_interruption_loses_nothing_that_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    replayed(monkeypatch, seen("a:A", Verdict.PASS), KeyboardInterrupt())
    done = CliRunner().invoke(doctor, ["a:A", "a:B", "--json"], standalone_mode=False)
    assert isinstance(done.exception, click.Abort)
    assert [report["subject"] for report in json.loads(done.stdout)] == ["a:A"]


def test_a_hanging_check_is_undecided_and_the_others_go_on(folder: Path) -> None:
    begun: list[str] = []
    start = time.monotonic()
    report = examine_apart(Case("mine.py:Hangs"), ["dtype on load", "NaN"], 30, begun.append)
    assert time.monotonic() - start < 35
    assert begun == ["dtype on load", "NaN"]
    assert [f.verdict for f in report.findings] == [Verdict.UNDECIDED, Verdict.FAIL]
    assert not report.passed


def test_a_class_has_its_time_and_no_more(folder: Path) -> None:
    report = examine_apart(Case("mine.py:Hangs"), ["dtype on load"], 0.2)
    assert [f.evidence for f in report.findings] == ["the 0.2 s for this class were over"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["torch.optim:Adam", "--option", "lr"], "expected NAME=VALUE"),
        (["torch.optim:Adam", "--check", "Nan"], "did you mean 'NaN'"),
        ([], "name a class, for instance torch.optim:Adam"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises((click.UsageError, ValueError), match=message):
        CliRunner().invoke(doctor, arguments, standalone_mode=False, catch_exceptions=False)


def test_values_are_literals_things_in_torch_named_objects_or_text(folder: Path) -> None:
    assert value("0.5") == 0.5
    assert value("(0.9, 0.99)") == (0.9, 0.99)
    assert value("None") is None
    assert value("stochastic") == "stochastic"
    assert value("'mode:fast'") == "mode:fast"
    assert value("torch.float32") is torch.float32
    assert value("torch.optim:SGD") is torch.optim.SGD
    assert value("mine.py:wrapped")([torch.nn.Parameter(torch.ones(2))]).param_groups[0]["lr"] == 0.1
    with pytest.raises(ValueError, match=r"did you mean 'torch.float32'"):
        value("torch.flaot32")
    with pytest.raises(ValueError, match="text with a colon is given in quotes"):
        value("mode:fast")
    with pytest.raises(ValueError, match=r"no such file: 'yours\.py'"):
        value("yours.py:wrapped")


def test_classes_and_functions_in_files(folder: Path) -> None:
    assert load_class("mine.py:Chatty").__name__ == "Chatty"
    with pytest.raises(TypeError, match=r"not a subclass .* --factory"):
        load_class("mine.py:wrapped")
    assert callable(load_factory("mine.py:wrapped"))
    with pytest.raises(TypeError, match="no function but a module"):
        load_factory("mine.py:neighbour")
