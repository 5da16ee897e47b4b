"""`--budget`: what is planned, and that it is kept to."""

from __future__ import annotations

import importlib
import json
import time
from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")
pytest.importorskip("matplotlib", reason="the lab draws with Matplotlib")
pytest.importorskip("optuna", reason="the lab needs Optuna")

from click.testing import CliRunner
from made_up import MadeUpPool, header, record

from ravine.cli import group
from ravine.lab import budget
from ravine.lab.budget import Costs, Limit, Plan
from ravine.lab.compare import collect, complete, run
from ravine.lab.contender import parse
from ravine.lab.entry import entries
from ravine.lab.protocol import Protocol
from ravine.lab.records import DEFAULTS
from ravine.lab.results import Results
from ravine.lab.store import Store

PROTOCOL = Protocol(steps=10, trials=2, seeds=5)


@pytest.fixture
def store(tmp_path):
    return Store(f"sqlite:///{tmp_path / 'runs.sqlite3'}")


def limit(left: float, budget: float = 1e6, repetition: float = 1e-6) -> Limit:
    return Limit(Plan(PROTOCOL, "", repetition, 0.0), time.monotonic() + left, budget)


class NoRoom(Limit):
    """A further repetition would not end in time."""

    has_room = False


def test_with_time_enough_all_repetitions_are_made(store):
    comparison = header("gd,adam", protocol=PROTOCOL)
    run(comparison, store, MadeUpPool(), limit=limit(1000))
    assert complete(comparison, store) == 5
    assert collect(comparison, store).is_complete


def test_repetitions_are_made_in_order_and_none_is_begun_that_would_not_fit(store):
    comparison = header("gd,adam", protocol=PROTOCOL)
    pool = MadeUpPool(workers=2)
    some = limit(1000)
    some.__class__ = NoRoom
    run(comparison, store, pool, limit=some)
    assert {s.repetition for s in pool.started} == {0, 1, 2}
    assert complete(comparison, store) == 3
    again = MadeUpPool()
    run(comparison, store, again, limit=limit(1000))  # the same command
    assert {s.repetition for s in again.started} == {3, 4}
    assert complete(comparison, store) == 5


def test_when_the_time_is_up_a_repetition_is_given_up_but_not_the_first_three(store):
    comparison = header("gd,adam", protocol=PROTOCOL)
    some = limit(1000)

    def time_goes_by():
        if len(pool.started) == 5 * 2:
            some.deadline = time.monotonic() - 1
        if len(pool.started) == 3 * 4 * 2:
            assert complete(comparison, store) < 3

    pool = MadeUpPool(after=time_goes_by)
    run(comparison, store, pool, limit=some)
    assert complete(comparison, store) == 3
    some = limit(1000)
    more = MadeUpPool(after=lambda: setattr(some, "deadline", time.monotonic() - 1))
    run(comparison, store, more, limit=some)
    assert len(more.started) == 1  # of the fourth repetition; nothing of it is lost
    assert complete(comparison, store) == 3
    last = MadeUpPool()
    run(comparison, store, last, limit=limit(1000))
    assert len(last.started) == 2 * 2 * 4 - 1
    assert complete(comparison, store) == 5


def test_far_beyond_the_time_even_the_first_three_are_given_up(store):
    comparison = header("gd,adam", protocol=PROTOCOL)
    pool = MadeUpPool()
    run(comparison, store, pool, limit=limit(-11, budget=100))
    assert not pool.started
    assert complete(comparison, store) == 0
    run(comparison, store, MadeUpPool(), limit=limit(-9))
    assert complete(comparison, store) == 3


def test_what_a_repetition_takes_is_measured_and_the_report_allowed_as_much_longer():
    some = Limit(Plan(PROTOCOL, "", 1.0, 2.0), time.monotonic() + 100, 100)
    assert some.left == pytest.approx(98, abs=0.5)
    some.repetition = 3.0
    assert some.left == pytest.approx(94, abs=0.5)
    some.repetition = 0.5
    assert some.left == pytest.approx(98, abs=0.5)
    some.repetition = 99.0
    assert not some.has_room


def seconds_of(trials: int, seeds: int) -> float:
    """Two workers, runs of one and three seconds, half a second to keep each; a report of one second, three times."""
    runs = seeds * (trials + 2)
    return runs * (1 / 2 + 3 / 2 + 2 * 0.5) / budget.RESERVE + 3 + 2 * runs / 1500


@pytest.mark.parametrize("expected", [(13, 5), (2, 5), (63, 5), (2, 4), (2, 3)])
def test_what_fits_into_a_budget(expected):
    """The costs of each contender, spread over the workers, what keeps the runs, and the report."""
    costs = Costs({"gd": 1.0, "adam": 3.0}, keeping=0.5, report=1.0)
    comparison = header("gd,adam", protocol=PROTOCOL)
    left = seconds_of(*expected) + 0.01
    made = budget.plan(comparison, left + 7, left, 2, costs)
    assert (made.protocol.trials, made.protocol.seeds) == expected
    assert made.closing == pytest.approx(3 + 2 * expected[1] * (expected[0] + 2) / 1500)
    assert made.repetition == pytest.approx(3.0 * (expected[0] + 2))


def test_what_does_not_fit_is_refused_and_what_is_cheap_has_a_limit():
    costs = Costs({"gd": 1.0, "adam": 3.0}, keeping=0.5, report=1.0)
    comparison = header("gd,adam", protocol=PROTOCOL)
    with pytest.raises(ValueError, match=r"10 s is too short: 2 trials and 3 repetitions take about 5\d s"):
        budget.plan(comparison, 10, 9, 2, costs)
    assert budget.plan(comparison, 1e6, 1e6, 2, costs).protocol.trials == 64


@pytest.mark.parametrize("text", ["", "10", "m", "-3s", "0s", "10 parsecs"])
def test_a_budget_that_is_no_time(text):
    with pytest.raises(ValueError, match="a budget is a number and s, m or h"):
        budget.seconds(text)


class Clock:
    """Each job takes a second of it, however many runs it has."""

    now = 0.0

    @classmethod
    def monotonic(cls) -> float:
        return cls.now

    @classmethod
    def go_by(cls) -> None:
        cls.now += 1.0


@pytest.mark.parametrize(("most", "each", "count"), [(1, 1.0, 1), (4, 1 / 4, 4), (24, 1 / 10, 10)])
def test_a_batch_is_measured_where_runs_are_trained_together(monkeypatch, most, each, count):
    """Costs are a run's share of its batch, and what was measured belongs to every plan."""
    comparison = header("gd,adam", protocol=replace(PROTOCOL, prune=True))
    monkeypatch.setattr(budget, "time", Clock)
    monkeypatch.setattr(budget, "_report", lambda results, folder: 0.1)
    monkeypatch.setattr(budget, "_keeping", lambda header, records, folder: 0.1)
    costs, records = budget.measure(comparison, parse("gd,adam"), MadeUpPool(after=Clock.go_by), most)
    assert costs.runs == pytest.approx({"gd": each, "adam": each})
    assert [r.settings.contender for r in records] == ["gd"] * count + ["adam"] * count
    for trials in (2, 3, 64):
        planned = replace(comparison, protocol=replace(comparison.protocol, trials=trials))
        runs = [s for e in entries(planned) for s in e.missing([])[0]]
        assert all(r.settings in runs for r in records)


ARGS = ["compare", "breast-cancer", "--optimizers", "gd,adam", "--steps", "20", "--budget", "1.5m", "--workers", "1"]


def invoke(*args: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(group, [*ARGS, *args])
    assert result.exit_code == exit_code, result.output
    return " ".join(result.output.split())


@pytest.fixture
def measured(monkeypatch):
    """A budget without processes: what a run costs is told, and how many are ended before the time is up."""

    def prepare(cost: float, repetitions: int | None = None):
        def measure(comparison, contenders, pool, most):
            first = [s for e in entries(comparison) for s in e.missing([])[0] if s.stage == DEFAULTS]
            records = [record(s, 0.5) for s in first if s.repetition == 0]
            return Costs(dict.fromkeys(comparison.names, cost), 0.0, 0.01), records

        def run_with_progress(comparison, store, pool, console, some, is_batched, measured):
            if repetitions is not None:
                comparison = replace(comparison, protocol=replace(comparison.protocol, seeds=repetitions))
            run(comparison, store, MadeUpPool())
            return False

        monkeypatch.setattr(budget, "measure", measure)
        monkeypatch.setattr(importlib.import_module("ravine.cli.compare"), "run_with_progress", run_with_progress)
        monkeypatch.setattr("ravine.lab.pool.Pool", MadeUpPool)

    return prepare


def test_a_plan_is_kept_and_the_same_command_goes_on_with_it(tmp_path, measured):
    measured(0.5, repetitions=4)
    shown = invoke("--out", str(tmp_path))
    assert "Planned for 90 s: " in shown
    assert "There was time for 4 of the 5 repetitions planned." in shown
    first = Results.load(tmp_path / "results.json")
    assert first.is_complete
    assert first.protocol.seeds == 4
    kept = json.loads((tmp_path / "plan.json").read_text())
    assert kept["plan"]["protocol"]["trials"] == first.protocol.trials
    measured(1e9)  # not measured again
    shown = invoke("--out", str(tmp_path))
    assert "(Planned before.)" in shown
    assert "There was time" not in shown
    again = Results.load(tmp_path / "results.json")
    assert again.protocol.seeds == 5
    assert [r for r in again.records if r.settings.repetition < 4] == first.records


def test_what_was_measured_for_a_budget_that_is_refused_is_kept(tmp_path, measured, monkeypatch):
    measured(0.5)
    refused = CliRunner().invoke(group, [*ARGS, "--out", str(tmp_path), "--budget", "1s"])
    assert "a budget of 1 s is too short" in str(refused.exception)
    monkeypatch.setattr(budget, "measure", None)  # not measured again
    assert "Planned for 90 s" in invoke("--out", str(tmp_path))
    assert Results.load(tmp_path / "results.json").is_complete


def test_too_few_repetitions_are_not_reported(tmp_path, measured):
    measured(0.5, repetitions=2)
    shown = invoke("--out", str(tmp_path), exit_code=1)
    assert "the time was up with 2 repetitions complete, too few to compare by" in shown
    assert not (tmp_path / "report.html").exists()
    measured(1e9)
    assert "Planned before" in invoke("--out", str(tmp_path))
    measured(0.5)
    assert "Planned before" not in invoke("--out", str(tmp_path), "--fresh")


def test_what_was_measured_counts(tmp_path):
    """With processes: the runs of the measurement are the comparison's first."""
    shown = invoke("--optimizers", "gd", "--seeds", "2", "--budget", "20m", "--out", str(tmp_path))
    assert "4 of 132 runs are there already" in shown  # a batch: defaults and first trials of both repetitions
    results = Results.load(tmp_path / "results.json")
    assert results.is_complete
    assert results.protocol.trials == 64
