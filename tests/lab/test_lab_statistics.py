"""How sure: each method against what is known of it, and the whole against nothing and against a planted difference."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from ravine.lab.statistics import mean_interval, pairs, rank_intervals

scipy_stats = pytest.importorskip("scipy.stats", reason="the lab needs SciPy")


def test_the_interval_equals_students_for_normal_values():
    values = np.random.default_rng(1).normal(3.0, 2.0, 40)
    got = mean_interval(list(values))
    low, high = scipy_stats.t.interval(0.95, 39, loc=values.mean(), scale=scipy_stats.sem(values))
    assert got.value == pytest.approx(values.mean())
    assert got.low == pytest.approx(low, abs=0.05)  # 40 resampled values are not quite normal
    assert got.high == pytest.approx(high, abs=0.05)


def test_the_interval_covers_the_mean_of_five_about_as_often_as_it_says():
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        _, low, high = mean_interval(list(random.normal(size=5)))
        covered += low <= 0 <= high
    assert covered >= 0.90 * 300  # three standard errors below 0.94; the plain percentile interval gets 0.83


def test_one_value_has_no_bounds():
    assert mean_interval([2.0]) == (2.0, -math.inf, math.inf)
    assert math.isnan(mean_interval([]).value)


def test_a_pair_is_compared_by_seed():
    """The seeds differ much, the two in each seed little but always: only pairing sees that."""
    a = [1.0, 2.0, 4.0, 8.0, 16.0]
    b = [1.21, 2.38, 4.83, 9.62, 19.1]
    (pair,) = pairs({"a": a, "b": b})
    expected = scipy_stats.ttest_rel(np.log(a), np.log(b)).pvalue
    assert pair.p == pytest.approx(expected)
    assert pair.separated
    assert scipy_stats.ttest_ind(np.log(a), np.log(b)).pvalue > 0.5
    assert pair.ratio.value == pytest.approx(np.exp(np.mean(np.log(b) - np.log(a))))
    assert 1.15 < pair.ratio.low < pair.ratio.value < pair.ratio.high < 1.25
    assert pair.wins.value == scipy_stats.mannwhitneyu(b, a).statistic / 25


def test_all_pairs_are_corrected_together():
    random = np.random.default_rng(3)
    losses = {str(i): list(np.exp(random.normal(0.4 * i, 0.3, 6))) for i in range(4)}
    found = pairs(losses)
    raw = [scipy_stats.ttest_rel(np.log(losses[p.a]), np.log(losses[p.b])).pvalue for p in found]
    order = np.argsort(raw)
    expected = np.minimum(1, np.maximum.accumulate(np.array(raw)[order] * np.arange(6, 0, -1)))
    assert np.array([p.p for p in found])[order] == pytest.approx(expected)


def test_runs_that_did_not_finish_count_as_such():
    good, bad = [0.1, 0.2, 0.3, 0.4, 0.5], [math.inf] * 5
    (pair,) = pairs({"good": good, "bad": bad})
    assert pair.p == pytest.approx(scipy_stats.fisher_exact([[5, 0], [0, 5]]).pvalue)
    assert pair.separated
    assert pair.wins == pytest.approx((1.0, 1.0, 1.0))
    assert math.isnan(pair.ratio.value)
    (pair,) = pairs({"good": good, "one lost": [0.01, 0.01, 0.01, 0.01, math.inf]})
    assert not pair.separated
    assert pair.wins.value == pytest.approx(0.2)
    (pair,) = pairs({"a": bad, "b": bad})
    assert (pair.p, pair.wins.value) == (1.0, 0.5)


def test_equal_losses_are_not_separated_and_a_constant_difference_is():
    (pair,) = pairs({"a": [0.5] * 5, "b": [0.5] * 5})
    assert (pair.p, pair.wins.value) == (1.0, 0.5)
    (pair,) = pairs({"a": [0.5] * 5, "b": [0.25] * 5})
    assert pair.p == 0.0


def test_losses_below_zero_are_compared_by_their_difference():
    a, b = [-1.0, -2.0, 0.5, 1.0], [0.1, -0.8, 1.4, 2.0]
    (pair,) = pairs({"a": a, "b": b})
    assert pair.is_difference
    assert pair.ratio.value == pytest.approx(1.05)
    assert pair.p == pytest.approx(scipy_stats.ttest_rel(a, b).pvalue)


def test_ranks_have_intervals():
    losses = {"best": [1.0, 1.1, 1.2], "noisy": [1.5, 9.0, 1.3], "middle": [3.0, 3.1, 2.9], "lost": [math.inf] * 3}
    ranks = rank_intervals(losses)
    assert {n: r.value for n, r in ranks.items()} == {"best": 1, "middle": 2, "noisy": 3, "lost": 4}
    assert ranks["best"] == (1, 1, 1)
    assert (ranks["noisy"].low, ranks["noisy"].high) == (2, 3)
    assert rank_intervals({"a": [1.0, 1.0], "b": [1.0, 1.0]})["a"].value == 1.5
    assert rank_intervals({}) == {}
    other = {"best": [9.0, 9.1], "noisy": [0.1, 0.2], "middle": [3.0, 3.1], "lost": [10.0, 11.0]}
    together = rank_intervals(losses, other, {n: [] for n in losses})
    assert {n: r.value for n, r in together.items()} == {"best": 2, "middle": 2, "noisy": 2, "lost": 4}
    assert (together["noisy"].low, together["noisy"].high) == (1.5, 2)


def test_copies_are_not_separated_and_a_handicap_is_found():
    """The short form of `make lab-null`: one repetition, four copies."""
    torch = pytest.importorskip("torch", reason="the lab needs torch")
    pytest.importorskip("sklearn", reason="the lab needs scikit-learn")
    sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
    import lab_null

    threads = torch.get_num_threads()
    result = lab_null.measure(map, "breast-cancer", "adam", steps=30, trials=4, seeds=8, copies=4, repetitions=1)
    torch.set_num_threads(threads)
    assert result["each"][0]["falsely_separated"] == []
    assert result["planted_found"] == 1
