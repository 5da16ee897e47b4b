"""What Optuna decides: the next point to try, and what to stop; and that its own tools read the storage."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from dataclasses import replace

import pytest

optuna = pytest.importorskip("optuna", reason="the lab needs Optuna")

from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import finish, header, make_up, record

from ravine.lab.contender import Contender
from ravine.lab.entry import entries
from ravine.lab.protocol import TPE, Protocol, missing
from ravine.lab.records import DIVERGED, FINAL, FINISHED, PRUNED, TUNING, Record, Settings
from ravine.lab.search import judge, parameters, suggest
from ravine.lab.space import COMPLEMENT, EVEN, LOG, Span
from ravine.lab.store import Store
from ravine.lab.summary import summary

SPACE = {"lr": [1e-4, 1.0, LOG], "beta1": [0.0, 0.99, COMPLEMENT], "decay": [-1.0, 1.0, EVEN]}
PROTOCOL = Protocol(steps=10, trials=7, seeds=3, search=TPE)
ADAM = Contender("a", "adam", {"eps": 1e-6})


def loss(s: Settings) -> float:
    """Best at lr 0.1 and beta1 0.9; too high a rate diverges."""
    rate = s.hyper.get("lr", 1e-3)
    return math.inf if rate > 0.5 else 0.1 + abs(math.log10(rate) + 1) + abs(s.hyper.get("beta1", 0.9) - 0.9)


def trial(number: int, value: float | None = 0.5, **hyper: float) -> Record:
    chosen = {"lr": 0.01, "beta1": 0.9, "decay": 0.0, **hyper}
    return record(Settings("t", "a", "adam", chosen, 0, 10, TUNING, 0, number), value)


def test_a_point_in_optunas_terms():
    values, distributions = parameters(SPACE, {"lr": 0.01, "beta1": 0.99, "decay": 0.5, "eps": 1e-6})
    assert values == {"lr": 0.01, "1 - beta1": pytest.approx(0.01), "decay": 0.5}
    assert [(d.low, d.high, d.log) for d in distributions.values()] == [
        (1e-4, 1.0, True),
        (pytest.approx(0.01), 1.0, True),
        (-1.0, 1.0, False),
    ]
    assert parameters(SPACE, {"lr": 2.0, "beta1": 0.9, "decay": 0.0}) == ({}, {})
    assert parameters(SPACE, {"lr": 0.1, "beta1": 0.9}) == ({}, {})


def test_a_suggestion_is_in_the_space_and_depends_on_nothing_but_what_is_given():
    earlier = [trial(0, 0.5), trial(1, math.inf, lr=0.9), trial(2, None, lr=0.2), trial(3, 0.3, beta1=0.5)]
    found = suggest(SPACE, 3, earlier)
    assert all(Span(*SPACE[n]).low <= v <= Span(*SPACE[n]).high for n, v in found.items())
    assert list(found) == list(SPACE)
    assert suggest(SPACE, 3, earlier[::-1]) == found
    assert suggest(SPACE, 4, earlier) != found
    assert suggest(SPACE, 3, [trial(0, 0.1), *earlier[1:]]) != found
    assert suggest(SPACE, 3, [trial(i, math.inf) for i in range(4)]).keys() == SPACE.keys()


def test_suggestions_gather_where_the_loss_is_low():
    earlier = [trial(i, abs(math.log10(lr) + 3), lr=lr) for i, lr in enumerate([1e-4, 1e-3, 1e-2, 0.1, 0.9])]
    found = [suggest(SPACE, seed, earlier)["lr"] for seed in range(20)]
    assert sum(lr < 0.01 for lr in found) >= 15


def test_half_of_the_trials_are_spread_and_the_others_asked_for_one_by_one():
    records: list[Record] = []
    ready, later = missing(PROTOCOL, "t", ADAM, SPACE, records)
    assert sorted({s.trial for s in ready if s.stage == TUNING}) == [0, 1, 2, 3]
    assert len(ready) + later == PROTOCOL.runs(SPACE) == 27
    records = [record(s, loss(s)) for s in ready if s.repetition == 0]
    (fifth,) = (s for s in missing(PROTOCOL, "t", ADAM, SPACE, records)[0] if s.repetition == 0)
    assert (fifth.trial, fifth.hyper["eps"], fifth.rivals) == (4, 1e-6, 0)
    assert {n: fifth.hyper[n] for n in SPACE} != PROTOCOL.trial_points(SPACE, 0)[0]
    whole = finish(PROTOCOL, ADAM, SPACE, records, loss)
    assert len(whole) == 27
    assert missing(PROTOCOL, "t", ADAM, SPACE, whole) == ([], 0)
    for repetition in range(3):
        tried = [r for r in whole if r.settings.stage == TUNING and r.settings.repetition == repetition]
        (final,) = (r for r in whole if r.settings.stage == FINAL and r.settings.repetition == repetition)
        assert final.settings.hyper == min(tried, key=lambda r: (r.loss, r.settings.trial)).settings.hyper


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_the_order_in_which_runs_end_changes_nothing(data: st.DataObject):
    protocol = replace(PROTOCOL, seeds=2, prune=data.draw(st.booleans()))
    expected = {r.settings for r in map(hashable, finish(protocol, ADAM, SPACE, [], loss))}
    order = random.Random(data.draw(st.integers(0, 1000)))
    records: list[Record] = []
    while ready := missing(protocol, "made-up", ADAM, SPACE, records)[0]:
        records += [record(s, loss(s)) for s in order.sample(ready, order.randint(1, len(ready)))]
        order.shuffle(records)
    assert {r.settings for r in map(hashable, records)} == expected
    kept = [r for r in records if data.draw(st.booleans())]
    again = finish(protocol, ADAM, SPACE, kept, loss)
    assert {r.settings for r in map(hashable, again)} == expected


def hashable(made: Record) -> Record:
    return replace(made, settings=replace(made.settings, hyper=tuple(made.settings.hyper.items())))


def test_those_that_may_be_stopped_wait_for_the_others():
    protocol = Protocol(steps=10, trials=5, seeds=2, prune=True)
    space = {"lr": SPACE["lr"]}
    ready, later = missing(protocol, "t", ADAM, space, [])
    assert {(s.trial, s.rivals) for s in ready if s.stage == TUNING} == {(0, 0), (1, 0), (2, 0)}
    assert len(ready) + later == protocol.runs(space) == 14
    records = [record(s, loss(s)) for s in ready if s.trial != 2 or s.repetition == 0]
    ready = missing(protocol, "t", ADAM, space, records)[0]
    assert {(s.repetition, s.trial, s.rivals) for s in ready} == {(0, 3, 3), (0, 4, 3), (1, 2, 0)}
    records += [record(s, None) for s in ready]
    finals = [s for s in missing(protocol, "t", ADAM, space, records)[0] if s.repetition == 0]
    assert [(s.stage, s.rivals) for s in finals] == [(FINAL, 0)]
    assert finals[0].hyper == min(records, key=lambda r: (r.loss, r.settings.trial)).settings.hyper


def line(number: int, slope: float, status: str = FINISHED) -> Record:
    losses = [2 - slope * step / 20 for step in range(21)]
    return Record(trial(number).settings, status, {"step": list(range(21)), "loss": losses}, timing=[0.0] * 21)


@pytest.mark.parametrize(
    ("slopes", "slope", "expected"),
    [
        ([1.0, 0.5, 0.8], 0.7, 5),  # a quarter of 20 steps goes by first
        ([1.0, 0.5, 0.6], 0.7, None),
        ([1.0], 0.1, None),  # one is not enough
    ],
)
def test_a_run_below_the_median_of_its_rivals_is_stopped(slopes, slope, expected):
    is_to_stop = judge([line(i, s) for i, s in enumerate(slopes)] + [line(9, 1.5, DIVERGED)], 20)
    stopped = [s for s, value in enumerate(line(8, slope).curve["loss"]) if is_to_stop(s, value)]
    assert (stopped[0] if stopped else None) == expected
    assert 20 not in stopped  # at its end it has finished


def test_a_pruned_run_is_neither_finished_nor_diverged_nor_failed():
    def some(s):
        return None if s.stage == TUNING and s.trial == 3 else 0.1 * (1 + s.trial % 3) + s.seed / 100

    results = make_up("adam,gd", some, protocol=Protocol(steps=10, trials=4, seeds=2, prune=True))
    row = summary(results).rows[0]
    assert (row.pruned, row.diverged, row.failed, row.scored_finished) == (2, 0, 0, 2)
    assert math.isnan(row.robust_decades)
    assert len(row.tuning_curve) == 4
    assert row.tuning_curve[3] == row.tuning_curve[2]
    pruned = [r for r in results.records if r.status == PRUNED]
    assert all(math.isinf(r.loss) and math.isnan(r.accuracy) for r in pruned)
    again = [Record.from_dict(json.loads(json.dumps(r.to_dict()))) for r in pruned]
    assert again == pruned


def test_optunas_own_tools_read_the_storage(tmp_path):
    url = f"sqlite:///{tmp_path / 'runs.sqlite3'}"
    protocol = Protocol(steps=10, trials=6, seeds=2, prune=True)
    (entry,) = entries(header("adam", protocol=protocol, tune=["lr", "beta1"]))
    store = Store(url)
    study = store.enter(entry)
    ended = {}
    while claim := store.claim({study: entry}):
        s = claim.settings
        made = record(s, None if s.rivals and s.trial == 4 else math.inf if s.trial == 1 else loss(s))
        assert len(store.rivals(claim)) == s.rivals
        store.finish(claim, made)
        ended[claim.trial_id] = made
    found = optuna.load_study(study_name=entry.study, storage=url)
    assert len(found.trials) == len(ended) == protocol.runs(entry.contender["space"])
    states = {FINISHED: "COMPLETE", DIVERGED: "FAIL", PRUNED: "PRUNED"}
    for each in found.trials:
        made = ended[each._trial_id]
        hyper = {**entry.contender["defaults"], **made.settings.hyper}
        assert each.state.name == states[made.status]
        assert each.params == {"lr": hyper["lr"], "1 - beta1": pytest.approx(1 - hyper["beta1"])}
        assert each.distributions["1 - beta1"].log
        steps, losses = made.curve["step"], made.curve["loss"]
        assert each.intermediate_values.keys() == set(steps)
        assert [each.intermediate_values[s] for s in steps] == pytest.approx(losses, nan_ok=True)
        if made.status == FINISHED:
            assert each.value == made.loss
    assert {made.status for made in ended.values()} == {FINISHED, DIVERGED, PRUNED}
    assert set(optuna.importance.get_param_importances(found)) == {"lr", "1 - beta1"}
    command = [
        sys.executable,
        "-c",
        "from optuna.cli import main; main()",
        "trials",
        "--storage",
        url,
        "--study-name",
        entry.study,
        "-f",
        "json",
    ]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert sum(row["state"] == "PRUNED" for row in json.loads(shown)) == 2
