"""Adding repetitions until a comparison is resolved: looks cost nothing in truth, and the command stops when it may."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
from made_up import make_up, record

pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("optuna", reason="the lab needs Optuna")
pytest.importorskip("matplotlib", reason="the lab draws with Matplotlib")

from click.testing import CliRunner

from ravine.cli import compare as command
from ravine.cli import group, resolve
from ravine.cli import resolve as auto
from ravine.lab import separation, sequential
from ravine.lab.entry import entries
from ravine.lab.protocol import Protocol
from ravine.lab.report.verdict import verdict
from ravine.lab.results import Results
from ravine.lab.separation import adjusted
from ravine.lab.statistics import Look
from ravine.lab.summary import summary


def test_when_to_look_and_what_it_costs():
    assert sequential.planned(80) == [10, 20, 40, 80]
    assert sequential.planned(60) == [10, 20, 40, 60]
    assert sequential.planned(10) == [10]
    assert sequential.planned(4) == [4]
    assert sequential.spent([10, 20], 4, is_last=False) == (Look(10, 0.25), Look(20, 0.25))
    assert sequential.spent([10, 20, 31], 4, is_last=True) == (Look(10, 0.25), Look(20, 0.25), Look(31, 0.5))
    for taken in ([10], [10, 20, 40], [10, 20, 40, 80]):
        assert sum(look.share for look in sequential.spent(taken, 4, is_last=True)) == pytest.approx(1)


def test_stopping_when_something_shows_separates_equals_no_more_often(monkeypatch):
    """Of 200 comparisons of three equals, looked at three times each: at most 5%, and by luck not over 10.5%."""
    monkeypatch.setattr(separation, "DRAWN", 999)
    separation.exchanges.cache_clear()
    random, looks = np.random.default_rng(1), sequential.spent([10, 20, 40], 3, is_last=True)
    corrected = naive = 0
    for _ in range(200):
        table, finished = random.normal(size=(3, 40)), np.ones(3, bool)
        p = [adjusted(table[:, : look.repetitions], finished).min() for look in looks]
        corrected += min(v / look.share for v, look in zip(p, looks, strict=True)) <= 0.05
        naive += min(p) <= 0.05
    separation.exchanges.cache_clear()
    assert corrected <= 21
    assert naive > corrected


def varied(**means):
    def loss(s):
        random = np.random.default_rng([s.seed, ord(s.contender[0])])
        return means[s.contender] * math.exp(random.normal(0, 0.02))

    return loss


def test_what_is_near_and_what_is_open():
    looks = sequential.spent([10, 20], 2, is_last=True)
    protocol = Protocol(steps=10, trials=1, seeds=20, looks=looks, resolve=0.1)
    results = make_up("adam,gd,rmsprop", varied(adam=0.1, gd=0.15, rmsprop=0.1), protocol=protocol)
    made = summary(results)
    (near,) = {"adam", "rmsprop"} - {made.rows[0].name}
    assert sequential.resolve(made, looks, 0.1) == ([near], [])
    assert sequential.resolve(made, looks, 0.001) == ([], [near])
    assert f"Within 10% of it: {near}." in verdict(results, made)
    lost = make_up(
        "adam,gd", lambda s: math.inf if (s.contender, s.repetition) == ("gd", 0) else 0.1, protocol=protocol
    )
    assert sequential.resolve(summary(lost), looks, 0.1) == ([], ["gd"])
    assert "Not resolved to 10% with 20 repetitions: gd." in verdict(lost, summary(lost))


@pytest.fixture
def ravine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The command with made-up runs: (loss, arguments) → (numbers of repetitions asked for, output, results)."""

    def call(loss, *args: str, exit_code: int = 0):
        asked = []

        def fill(header, store, pool, console, limit, **given):
            asked.append(header.protocol.seeds)
            for entry in entries(header):
                study = store.enter(entry)
                while claim := store.claim({study: entry}):
                    store.finish(claim, record(claim.settings, loss(claim.settings)))
            return False

        for module in (command, resolve):
            monkeypatch.setattr(module, "run_with_progress", fill)
        out = tmp_path / "out"
        found = CliRunner().invoke(group, ["compare", "breast-cancer", "--out", str(out), *args])
        assert found.exit_code == exit_code, found.output
        file = out / "results.json"
        said = f"{found.output} {found.exception if isinstance(found.exception, ValueError) else ''}"
        return asked, " ".join(said.split()), json.loads(file.read_text()) if file.exists() else None

    return call


TWO = ("--optimizers", "adam=adam[lr=0.1],gd=gd[lr=0.1]")


def test_repetitions_are_added_until_it_is_resolved(ravine, tmp_path):
    asked, said, data = ravine(varied(adam=0.1, gd=0.15), *TWO, "--seeds", "auto")
    assert asked == [3, 10]
    assert "After a pilot of 3 repetitions: differences of 10% would take about " in said
    assert data["protocol"]["looks"] == [[10, 0.25]]
    assert (data["protocol"]["seeds"], data["protocol"]["resolve"]) == (10, 0.1)
    assert "adam ended lowest" in said
    assert "seeds separate it from gd (5" in said
    again = Results.load(tmp_path / "out" / "results.json")
    assert again.protocol.looks == (Look(10, 0.25),)
    assert " ".join(verdict(again, again.summary)) in said


def test_what_stays_open_ends_with_the_most_repetitions(ravine):
    def wide(s):
        return 0.1 * math.exp(np.random.default_rng([s.seed, ord(s.contender[0])]).normal(0, 0.3))

    asked, said, data = ravine(wide, *TWO, "--seeds", "auto", "--resolve", "1%", "--most-seeds", "20")
    assert asked == [3, 10, 20]
    assert "After 10 repetitions 1 are not resolved." in said
    assert "Not resolved to 1% with 20 repetitions" in said
    assert data["protocol"]["looks"] == [[10, 0.5], [20, 0.5]]


def test_the_time_may_end_it(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    assert auto.fitting(10, 20, None, 50.0) == 20
    assert auto.fitting(10, 20, 200.0, 50.0) == 20  # 5 seconds each, 90 are left
    assert auto.fitting(10, 20, 120.0, 50.0) == 13
    assert auto.fitting(10, 20, 99.0, 50.0) == 10
    assert auto.fitting(0, 3, 99.0, 0.0) == 3


def test_before_the_start_it_tells_what_can_be_shown(ravine):
    _, said, _ = ravine(varied(adam=0.1, gd=0.15), *TWO, "--seeds", "3")
    assert "3 repetitions can't separate 2 optimizers, however far apart: that takes at least 4." in said
    _, said, _ = ravine(varied(adam=0.1, gd=0.15), *TWO, "--seeds", "5")
    assert (
        "With losses that vary as in the 3 repetitions that are there, 5 repetitions separate losses that are" in said
    )
    _, said, _ = ravine(varied(adam=0.1, gd=0.15), *TWO, "--seeds", "6", "--fresh")
    assert "If losses vary by 15% from seed to seed, 6 repetitions separate losses that are" in said


def test_the_exit_status_tells_whether_anything_finished(ravine):
    def lost(s):
        return math.inf if s.stage == "final" else 0.1

    assert "no scored run finished" in ravine(lost, *TWO, "--seeds", "2", exit_code=1)[1]
    _, said, data = ravine(varied(adam=0.1, gd=0.15), *TWO, "--seeds", "4", "--target", "0.12", "--fresh")
    assert data["summary"]["target"] == 0.12
    assert "adam needed the fewest steps to the target" in said


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (("--seeds", "some"), "'some' is not a valid integer"),
        (("--resolve", "much"), "a share is a number above zero, as 10% or 0.1; got 'much'"),
        (("--target", "nan"), "target must be a finite loss, got nan"),
    ],
)
def test_mistakes_are_named(ravine, wrong, text):
    _, said, _ = ravine(varied(adam=1.0, gd=1.0), *TWO, *wrong, exit_code=2 if "target" not in wrong[0] else 1)
    assert text in said
