"""How sure: each method against what is known of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ravine.lab.statistics import Look, geometric_interval, mean_interval, pairs, ranks, scores

scipy_stats = pytest.importorskip("scipy.stats", reason="the lab needs SciPy")


def test_the_interval_is_students():
    values = np.random.default_rng(1).normal(3.0, 2.0, 5)
    low, high = scipy_stats.t.interval(0.95, 4, loc=values.mean(), scale=scipy_stats.sem(values))
    assert mean_interval(list(values)) == pytest.approx((values.mean(), low, high))
    positive = np.exp(values)
    assert geometric_interval(list(positive)) == pytest.approx(np.exp((values.mean(), low, high)))
    assert scipy_stats.gmean(positive) == pytest.approx(geometric_interval(list(positive)).value)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_interval_covers_as_often_as_it_says_of_few_values_too(n):
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(1000):
        _, low, high = mean_interval(list(random.normal(size=n)))
        covered += low <= 0 <= high
    assert covered >= 925  # 950 less 3.6 standard errors; a bootstrap got 48, 75 and 93%


def test_one_value_has_no_bounds():
    assert mean_interval([2.0]) == (2.0, -math.inf, math.inf)
    assert math.isnan(mean_interval([]).value)


def test_from_ten_repetitions_on_a_pair_is_compared_by_seed():
    """The seeds differ much, the two in each seed little but always: only pairing sees that."""
    a = [2.0**i for i in range(10)]
    b = [v * (1.2 + 0.01 * (i % 3)) for i, v in enumerate(a)]
    (pair,) = pairs({"a": a, "b": b})
    assert pair.p == pytest.approx(2 / 2**10)
    assert pair.separated
    assert pair.ratio.value == pytest.approx(np.exp(np.mean(np.log(b) - np.log(a))))
    assert 1.19 < pair.ratio.low < pair.ratio.value < pair.ratio.high < 1.23
    assert pair.wins.value == scipy_stats.mannwhitneyu(b, a).statistic / 100
    (pair,) = pairs({"a": a[:9], "b": b[:9]})
    assert not pair.separated


def test_runs_that_did_not_finish_count_as_such():
    good, bad = [0.1, 0.2, 0.3, 0.4, 0.5], [math.inf] * 5
    (pair,) = pairs({"good": good, "bad": bad})
    assert pair.p == pytest.approx(2 / 252)
    assert pair.separated
    assert pair.wins == pytest.approx((1.0, 1.0, 1.0))
    assert math.isnan(pair.ratio.value)
    (pair,) = pairs({"good": good, "one lost": [0.01, 0.01, 0.01, 0.01, math.inf]})
    assert not pair.separated
    assert pair.wins.value == pytest.approx(0.2)
    (pair,) = pairs({"a": bad, "b": bad})
    assert (pair.p, pair.wins.value) == (1.0, 0.5)


def test_looking_more_than_once_is_paid_for():
    losses = {"a": [1.0 + 0.01 * i for i in range(20)], "b": [1.3 - 0.01 * i for i in range(20)]}
    (once,), (last,) = pairs(losses), pairs(losses, [Look(5, 0.2), Look(10, 0.3), Look(20, 0.5)])
    assert 0 < once.p < 0.5
    assert last.p == pytest.approx(2 * once.p)
    assert pairs({"a": [1.0] * 5, "b": [1.0] * 5}, [Look(5, 0.2)])[0].p == 1.0


def test_losses_below_zero_are_compared_by_their_difference():
    a, b = [-1.0, -2.0, 0.5, 1.0], [0.1, -0.8, 1.4, 2.0]
    (pair,) = pairs({"a": a, "b": b})
    assert pair.is_difference
    assert pair.ratio.value == pytest.approx(1.05)
    assert 0.2 < pair.p < 0.5


def test_ranks_are_what_the_separated_pairs_leave_open():
    losses = {
        "best": [1.0, 1.1, 1.2, 1.05, 1.15],
        "noisy": [1.5, 9.0, 1.3, 1.1, 2.0],
        "middle": [3.0, 3.1, 2.9, 3.2, 3.3],
        "lost": [math.inf] * 5,
    }
    found = ranks(scores(losses), pairs(losses))
    assert {n: r.value for n, r in found.items()} == {"best": 1, "noisy": 2, "middle": 3, "lost": 4}
    assert {n: (r.low, r.high) for n, r in found.items()} == {
        "best": (1, 2),
        "noisy": (1, 3),
        "middle": (2, 3),
        "lost": (4, 4),
    }
    equal = {"a": [1.0] * 5, "b": [1.0] * 5}
    assert ranks(scores(equal), pairs(equal)) == {"a": (1.5, 1, 2), "b": (1.5, 1, 2)}
