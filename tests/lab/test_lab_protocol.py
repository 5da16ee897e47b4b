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
from ravine.lab.space import Span

PROTOCOL = Protocol(steps=10, trials=4, seeds=3, first_seed=5)
ADAM, SPACE = Contender("a", "adam", {"beta1": 0.8}), {"lr": [1e-4, 1.0]}


@pytest.mark.parametrize("trials", [1, 3, 8, 11])
def test_one_hyperparameter_is_tried_on_a_log_grid_turned_around_its_range(trials: int):
    points = [p["lr"] for p in Protocol(steps=1, trials=trials).trial_points(SPACE, 0)]
    assert len(points) == len(set(points)) == trials
    assert all(1e-4 <= p <= 1.0 for p in points)
    places = sorted((math.log10(p) + 4) / 4 for p in points)
    cells = 2 ** math.ceil(math.log2(trials))
    phases = [(place * cells) % 1 for place in places]
    assert phases == pytest.approx([phases[0]] * trials, abs=1e-9)
    if trials == cells:
        assert [math.floor(place * cells) for place in places] == list(range(cells))


def test_two_hyperparameters_spread_over_both():
    points = Protocol(steps=1, trials=8).trial_points({"lr": [1e-4, 1.0], "eps": [1e-8, 1.0]}, 0)
    assert len({p["lr"] for p in points}) == len({p["eps"] for p in points}) == 8


def test_each_repetition_turns_the_grid_otherwise_and_evenly():
    protocol, width = Protocol(steps=1, trials=8, seeds=200), 0.5
    turns = [min(math.log10(p["lr"]) + 4 for p in protocol.trial_points(SPACE, i)) / width for i in range(200)]
    assert len(set(turns)) == 200
    counts = Counter(int(4 * turn) for turn in turns)
    assert all(25 <= counts[i] <= 75 for i in range(4))  # four standard deviations around 50
    assert protocol.trial_points(SPACE, 7) == replace(protocol, seeds=8).trial_points(SPACE, 7)
    later = Protocol(steps=1, trials=8, first_seed=14)  # the seed decides, not the repetition's number
    assert later.trial_points(SPACE, 0) == protocol.trial_points(SPACE, 7)


@pytest.mark.parametrize("factor", [10**0.125, 10**0.25, 10**0.4, 3.0])
def test_a_shifted_range_is_tried_at_the_same_rates_but_at_its_ends(factor: float):
    """So where an optimizer's range lies decides nothing, as long as the good rates are inside."""
    protocol = Protocol(steps=1, trials=8)
    for repetition in range(20):
        rates = [
            sorted(p["lr"] for p in protocol.trial_points({"lr": [low, 1e4 * low]}, repetition))
            for low in (1e-4, 1e-4 * factor)
        ]
        inside = [[r for r in each if 1.0001e-4 * factor < r < 0.9999] for each in rates]
        assert len(inside[0]) >= 6
        assert inside[0] == pytest.approx(inside[1], rel=1e-9)


def test_each_hyperparameter_is_spread_on_its_own_scale():
    space = {"lr": [1e-4, 1.0, "log"], "beta": [0.9, 0.9999, "log of 1 - value"], "decay": [-1.0, 1.0, "linear"]}
    points = Protocol(steps=1, trials=8).trial_points(space, 0)
    for name, span in space.items():
        places = sorted(8 * Span(*span).share(p[name]) for p in points)
        assert places == pytest.approx([i + places[0] for i in range(8)]), name


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-12, 1e3), st.floats(1.001, 1e9), st.floats(0, 1), st.sampled_from([0.0, 1.0, 1 - 2**-53, 1e-17]))
def test_a_span_never_gives_a_value_outside_of_it(low: float, ratio: float, share: float, turn: float):
    span = Span(low, low * ratio)
    assert 0 <= span.rotated(share, turn) <= 1
    assert span.low <= span.at(span.rotated(share, turn)) <= span.high
    assert span.low <= span.at(1.0) <= span.high


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
        return (0.1 if s.trial == 2 else 0.2) if s.stage == TUNING else 1.0

    finals = [r for r in finish(PROTOCOL, ADAM, SPACE, [], loss) if r.settings.stage == FINAL]
    good = [PROTOCOL.trial_points(SPACE, i)[2]["lr"] for i in range(3)]
    assert [r.settings.hyper for r in finals] == [{"beta1": 0.8, "lr": rate} for rate in good]


def test_each_repetition_is_tuned_on_its_own():
    def loss(s):
        return 0.1 if s.trial == s.repetition else 0.2

    finals = [r for r in finish(PROTOCOL, ADAM, SPACE, [], loss) if r.settings.stage == FINAL]
    assert [r.settings.hyper["lr"] for r in finals] == [PROTOCOL.trial_points(SPACE, i)[i]["lr"] for i in range(3)]


def test_a_trial_that_diverged_is_not_chosen_but_where_all_did_the_divergence_is_scored():
    def loss(s):
        return math.inf if s.repetition == 0 or s.trial == 0 else 0.2 + 0.1 * s.trial

    finals = [r for r in finish(PROTOCOL, ADAM, SPACE, [], loss) if r.settings.stage == FINAL]
    points = [[p["lr"] for p in PROTOCOL.trial_points(SPACE, i)] for i in range(3)]
    assert [r.settings.hyper["lr"] for r in finals] == [points[0][0], points[1][1], points[2][1]]
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
    with pytest.raises(ValueError, match="unknown schedule 'cosin'; did you mean 'cosine'"):
        Protocol(steps=10, schedule="cosin")


def _loss(s):
    return 0.1 + abs(math.log10(s.hyper.get("lr", 0.001)) + 2) + 0.01 * s.seed
