"""The same budget for everybody, and nothing run twice."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import made_up_record, make_up

from ravine.lab.contender import Contender
from ravine.lab.protocol import Protocol, best_trial, remaining
from ravine.lab.records import FINAL, TUNING

PROTOCOL = Protocol(steps=10, trials=4, seeds=3, tuning_seeds=2, first_seed=5)
CONTENDERS = [Contender("a", "adam"), Contender("b", "gd"), Contender("fixed", "adam", {"lr": 0.1})]
SPACES = {"a": {"lr": [1e-4, 1.0]}, "b": {"lr": [1e-2, 1e2]}, "fixed": {}}


@pytest.mark.parametrize("trials", [1, 3, 8, 11])
def test_one_hyperparameter_is_tried_on_a_log_grid(trials: int):
    points = [p["lr"] for p in Protocol(steps=1, trials=trials).trial_points({"lr": [1e-4, 1.0]})]
    assert len(points) == len(set(points)) == trials
    places = sorted((math.log10(p) + 4) / 4 for p in points)
    cells = 2 ** math.ceil(math.log2(trials))
    assert all(abs((place * cells) % 1 - 0.5) < 1e-9 for place in places)
    if trials == cells:
        assert [math.floor(place * cells) for place in places] == list(range(cells))


def test_two_hyperparameters_spread_over_both():
    points = Protocol(steps=1, trials=8).trial_points({"lr": [1e-4, 1.0], "eps": [1e-8, 1.0]})
    assert len({p["lr"] for p in points}) == len({p["eps"] for p in points}) == 8


def test_everybody_has_the_same_seeds_and_steps():
    results = make_up("adam,gd", lambda s: 1.0, protocol=PROTOCOL)
    for name in ("adam", "gd"):
        assert Counter(r.settings.seed for r in results.tuning(name)) == {5: 4, 6: 4}
        assert [r.settings.seed for r in results.finals(name)] == [7, 8, 9]
    assert {r.settings.steps for r in results.records} == {10}


def test_the_best_trial_is_scored_and_fresh_seeds_do_not_select():
    def loss(s):
        good = s.hyper["lr"] == 1e-4 * 10 ** (4 * 0.625)
        return (0.1 if good else 0.2) if s.stage == TUNING else 1.0

    records = _finish([], loss)
    finals = [r for r in records if r.settings.stage == FINAL and r.settings.contender == "a"]
    assert {r.settings.hyper["lr"] for r in finals} == {1e-4 * 10 ** (4 * 0.625)}


def test_a_trial_that_diverged_on_one_seed_is_not_chosen():
    def loss(s):
        return math.inf if s.trial == 0 and s.seed == 6 else 0.1 if s.trial == 0 else 0.2 + 0.1 * s.trial

    tuning = [r for r in _finish([], loss) if r.settings.contender == "a" and r.settings.stage == TUNING]
    assert best_trial(tuning).settings.trial == 1


def test_where_every_trial_diverged_the_divergence_is_scored_too():
    records = _finish([], lambda s: math.inf if s.contender == "a" else 1.0)
    finals = [r for r in records if r.settings.contender == "a" and r.settings.stage == FINAL]
    assert len(finals) == 3
    assert all(r.status == "diverged" for r in finals)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_going_on_from_any_part_gives_the_same_runs_once(data: st.DataObject):
    whole = _finish([], _loss)
    kept = [r for r in whole if data.draw(st.booleans())]
    again = _finish(kept, _loss)
    assert Counter(r.settings.key for r in again) == Counter(r.settings.key for r in whole)
    if all(r in kept for r in whole if r.settings.stage == TUNING):
        assert sorted(map(str, again)) == sorted(map(str, whole))


def test_the_number_of_runs_left_is_right():
    ready, later = remaining(PROTOCOL, "t", CONTENDERS, SPACES, [])
    assert len(ready) + later == len(_finish([], _loss)) == 2 * PROTOCOL.runs + (2 + 3)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"trials": 0}, {"seeds": 1}, {"tuning_seeds": 0}, {"first_seed": -1}])
def test_mistakes_are_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name.replace('_', '-')} must be at least"):
        Protocol(**{"steps": 10, **wrong})


def _loss(s):
    return 0.1 + abs(math.log10(s.hyper["lr"]) + 2) + 0.01 * s.seed


def _finish(records, loss):
    records = list(records)
    while ready := remaining(PROTOCOL, "t", CONTENDERS, SPACES, records)[0]:
        records += [made_up_record(s, loss(s)) for s in ready]
    return records
