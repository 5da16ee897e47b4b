"""The same budget for everybody, and nothing run twice."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import finish, make_up

from ravine.lab.contender import Contender
from ravine.lab.protocol import Protocol, missing
from ravine.lab.records import DEFAULTS, FINAL, TUNING
from ravine.lab.space import Span, search_space
from ravine.rule import rule

PROTOCOL = Protocol(steps=10, trials=4, seeds=3, first_seed=5)
ADAM, SPACE = Contender("a", "adam", {"beta1": 0.8}), {"lr": [1e-4, 1.0]}
GOOD = 1e-4 * 10 ** (4 * 0.625)


@pytest.mark.parametrize("trials", [1, 3, 8, 11])
def test_one_hyperparameter_is_tried_on_a_log_grid(trials: int):
    points = [p["lr"] for p in Protocol(steps=1, trials=trials).trial_points(SPACE)]
    assert len(points) == len(set(points)) == trials
    places = sorted((math.log10(p) + 4) / 4 for p in points)
    cells = 2 ** math.ceil(math.log2(trials))
    assert all(abs((place * cells) % 1 - 0.5) < 1e-9 for place in places)
    if trials == cells:
        assert [math.floor(place * cells) for place in places] == list(range(cells))


def test_two_hyperparameters_spread_over_both():
    points = Protocol(steps=1, trials=8).trial_points({"lr": [1e-4, 1.0], "eps": [1e-8, 1.0]})
    assert len({p["lr"] for p in points}) == len({p["eps"] for p in points}) == 8


def test_the_points_of_the_learning_rate_are_those_of_ever():
    """Recorded comparisons depend on them, bit for bit."""
    space = search_space(rule("adam"), {})
    expected = [
        *(5.623413251903491e-05, 0.005623413251903491, 0.05623413251903491, 0.0005623413251903491),
        *(0.001778279410038923, 0.1778279410038923, 0.01778279410038923, 0.0001778279410038923),
    ]
    protocol = Protocol(steps=1, trials=8)
    assert [p["lr"] for p in protocol.trial_points(space)] == expected
    assert [p["lr"] for p in protocol.trial_points({"lr": [space["lr"].low, space["lr"].high]})] == expected


def test_each_hyperparameter_is_spread_on_its_own_scale():
    space = {"lr": [1e-4, 1.0, "log"], "beta": [0.9, 0.9999, "log of 1 - value"], "decay": [-1.0, 1.0, "linear"]}
    points = Protocol(steps=1, trials=8).trial_points(space)
    for name, span in space.items():
        places = sorted(8 * Span(*span).share(p[name]) for p in points)
        assert places == pytest.approx([i + 0.5 for i in range(8)]), name


def test_everybody_has_the_same_seeds_and_steps_and_no_seed_has_two_uses():
    results = make_up("adam,gd", lambda s: 1.0, protocol=PROTOCOL)
    for name in ("adam", "gd"):
        assert Counter(r.settings.seed for r in results.of(name, TUNING)) == {5: 4, 7: 4, 9: 4}
        assert [r.settings.seed for r in results.of(name, FINAL)] == [6, 8, 10]
        assert [r.settings.seed for r in results.of(name, DEFAULTS)] == [6, 8, 10]
    assert {(r.settings.steps, r.settings.schedule) for r in results.records} == {(10, "linear")}
    assert results.is_complete


def test_the_best_trial_is_scored_and_fresh_seeds_do_not_select():
    def loss(s):
        return (0.1 if s.hyper["lr"] == GOOD else 0.2) if s.stage == TUNING else 1.0

    finals = [r for r in finish(PROTOCOL, ADAM, SPACE, [], loss) if r.settings.stage == FINAL]
    assert [r.settings.hyper for r in finals] == [{"beta1": 0.8, "lr": GOOD}] * 3


def test_each_repetition_is_tuned_on_its_own():
    points = [p["lr"] for p in PROTOCOL.trial_points(SPACE)]

    def loss(s):
        return 0.1 if s.trial == s.repetition else 0.2

    finals = [r for r in finish(PROTOCOL, ADAM, SPACE, [], loss) if r.settings.stage == FINAL]
    assert [r.settings.hyper["lr"] for r in finals] == points[:3]


def test_a_trial_that_diverged_is_not_chosen_but_where_all_did_the_divergence_is_scored():
    def loss(s):
        return math.inf if s.repetition == 0 or s.trial == 0 else 0.2 + 0.1 * s.trial

    finals = [r for r in finish(PROTOCOL, ADAM, SPACE, [], loss) if r.settings.stage == FINAL]
    points = [p["lr"] for p in PROTOCOL.trial_points(SPACE)]
    assert [r.settings.hyper["lr"] for r in finals] == [points[0], points[1], points[1]]
    assert [r.status for r in finals] == ["diverged", "finished", "finished"]


def test_what_has_nothing_to_tune_is_scored_as_it_is():
    records = finish(PROTOCOL, replace(ADAM, fixed={"lr": 0.1}), {}, [], lambda s: 1.0)
    assert Counter(r.settings.stage for r in records) == {FINAL: 3, DEFAULTS: 3}
    assert {tuple(r.settings.hyper.items()) for r in records} == {(("lr", 0.1),)}


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_going_on_from_any_part_gives_the_same_runs_once(data: st.DataObject):
    whole = finish(PROTOCOL, ADAM, SPACE, [], _loss)
    kept = [r for r in whole if data.draw(st.booleans())]
    again = finish(PROTOCOL, ADAM, SPACE, kept, _loss)
    assert Counter(r.settings.key for r in again) == Counter(r.settings.key for r in whole)
    assert all(again.count(r) == 1 for r in kept)


def test_the_number_of_runs_left_is_right():
    ready, later = missing(PROTOCOL, "t", ADAM, SPACE, [])
    assert len(ready) + later == len(finish(PROTOCOL, ADAM, SPACE, [], _loss)) == PROTOCOL.runs(SPACE) == 18
    assert PROTOCOL.runs({}) == 6


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"trials": 0}, {"seeds": 1}, {"first_seed": -1}])
def test_mistakes_are_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name.replace('_', '-')} must be at least"):
        Protocol(**{"steps": 10, **wrong})
    with pytest.raises(ValueError, match="unknown schedule 'cosine'"):
        Protocol(steps=10, schedule="cosine")


def _loss(s):
    return 0.1 + abs(math.log10(s.hyper.get("lr", 0.001)) + 2) + 0.01 * s.seed
