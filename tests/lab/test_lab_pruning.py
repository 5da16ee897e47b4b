"""Where nobody says whether bad runs are stopped early, what a run takes decides, once."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from made_up import MadeUpPool, make_up, record

pytest.importorskip("optuna", reason="runs are kept in Optuna's storage")
pytest.importorskip("torch", reason="the lab needs torch")


from ravine.cli import group
from ravine.lab import compare as lab
from ravine.lab import pruning
from ravine.lab.entry import entries
from ravine.lab.protocol import Protocol
from ravine.lab.records import DEFAULTS, FAILED, PRUNED
from ravine.lab.report import words
from ravine.lab.store import Store

command = importlib.import_module("ravine.cli.compare")
PROTOCOL = Protocol(steps=10, trials=4, seeds=2)


class TimedPool(MadeUpPool):
    """Runs that take so many seconds each, by contender; None: they fail."""

    def __init__(self, workers=1, **seconds) -> None:
        super().__init__(workers)
        self.seconds = seconds

    def wait(self, seconds):
        found = []
        for settings in self.waiting:
            taken = self.seconds.get(settings.contender, 25.0)
            made = record(settings, 0.5)
            timing = [0.0, (taken or 0) / 2, taken or 0]
            found.append(replace(made, timing=timing, status=made.status if taken is not None else FAILED))
        self.waiting = []
        return found


@pytest.fixture
def store(tmp_path):
    return Store(f"sqlite:///{tmp_path / 'runs.sqlite3'}")


def comparison(store, protocol=PROTOCOL, optimizers="adam,gd"):
    return replace(make_up(optimizers, lambda s: 0.5, protocol=protocol), records=[], environment=lab.environment())


def kept(header, store):
    return [r.settings for e in entries(header) for r in store.records(store.enter(e))]


def test_long_runs_are_pruned_and_the_run_that_told_is_kept(store):
    header, pool = comparison(store), TimedPool()
    made = pruning.decided(header, store, pool)
    assert (made.protocol.prune, made.protocol.run_seconds) == (True, 25.0)
    assert [(s.contender, s.stage) for s in pool.started] == [("adam", DEFAULTS), ("gd", DEFAULTS)]
    assert kept(made, store) == pool.started
    assert "the first run that finished took 25 s" in " ".join(words.method(made))
    assert made.protocol.of_runs == replace(PROTOCOL, prune=True).of_runs


def test_short_runs_are_not(store):
    made = pruning.decided(comparison(store), store, TimedPool(adam=19.9))
    assert (made.protocol.prune, made.protocol.run_seconds) == (False, 19.9)
    assert "took" not in " ".join(words.method(made))


@pytest.mark.parametrize("seconds", [25.0, 1.0])
def test_the_decision_stays(store, seconds):
    """Whatever runs take later, also where another contender joins."""
    made = pruning.decided(comparison(store), store, TimedPool(adam=seconds))
    again, idle = comparison(store, replace(PROTOCOL, seeds=3), "adam,gd,rmsprop"), TimedPool(adam=26 - seconds)
    assert pruning.decided(again, store, idle).protocol == replace(made.protocol, seeds=3)
    assert idle.started == []


def test_a_choice_of_the_users_stays_too(store):
    for entry in entries(comparison(store, replace(PROTOCOL, prune=True))):
        store.enter(entry)
    made = pruning.decided(comparison(store), store, TimedPool(adam=1.0))
    assert (made.protocol.prune, made.protocol.run_seconds) == (True, 0.0)


def test_what_fails_does_not_tell(store):
    made = pruning.decided(comparison(store), store, TimedPool(2, adam=None, gd=30.0))
    assert (made.protocol.prune, made.protocol.run_seconds) == (True, 30.0)
    assert {s.contender for s in kept(made, store)} == {"gd"}


def test_where_all_fail_nothing_is_kept_so_that_failing_fast_still_works(store):
    made = pruning.decided(comparison(store), store, TimedPool(2, adam=None, gd=None))
    assert not made.protocol.prune
    assert kept(made, store) == []


def test_where_there_is_nothing_to_stop_nothing_is_measured(store):
    for header in (
        comparison(store, replace(PROTOCOL, trials=1)),
        comparison(store, optimizers="adam[lr=0.1],gd[lr=0.1]"),
    ):
        pool = TimedPool()
        assert pruning.decided(header, store, pool) == header
        assert pool.started == []


@pytest.mark.parametrize(("option", "prune"), [((), True), (("--no-prune",), False), (("--prune",), True)])
def test_the_command_says_what_was_decided(tmp_path, monkeypatch, option, prune):
    monkeypatch.setattr(command, "workforce", lambda given, workers: TimedPool(2))
    args = ["compare", "breast-cancer", "--optimizers", "adam,gd", "--steps", "10", "--trials", "4", "--seeds", "2"]
    for _ in range(2):
        result = CliRunner().invoke(group, [*args, *option, "--out", str(tmp_path)])
        assert result.exit_code == 0, result.output
        assert ("A run takes 25 s: tuning runs that do badly are stopped early" in result.output) == (option == ())
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["protocol"]["prune"] is prune
    assert {r["status"] for r in found["records"]} <= {"finished", PRUNED}
