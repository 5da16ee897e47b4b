"""Which optimizers differ: against known tests, against all groups, and on what fooled others."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

scipy_stats = pytest.importorskip("scipy.stats", reason="the lab needs SciPy")

from ravine.lab import separation
from ravine.lab.separation import adjusted, group_p, least_repetitions, level, pair_p
from ravine.lab.statistics import pairs, scores


def permutation_p(x, y, kind):
    def statistic(x, y, axis):
        return np.abs(x.sum(axis) - y.sum(axis))

    return scipy_stats.permutation_test(
        (x, y), statistic, permutation_type=kind, alternative="greater", n_resamples=np.inf, vectorized=True
    ).pvalue


@pytest.mark.parametrize(("n", "kind"), [(3, "independent"), (5, "independent"), (7, "independent"), (10, "samples")])
def test_the_pairs_test_is_scipys_permutation_test(n, kind):
    random = np.random.default_rng(n)
    for _ in range(3):
        x, y = random.normal(size=n), random.normal(0.5, 1.0, size=n)
        assert pair_p(x, y, finished=False) == pytest.approx(permutation_p(x, y, kind), rel=1e-9)
        x, y = np.round(x), np.round(y)  # ties
        assert pair_p(x, y, finished=False) == pytest.approx(permutation_p(x, y, kind), rel=1e-9)


@pytest.mark.parametrize("n", [5, 10])
def test_a_pair_is_never_surer_than_students_test(n):
    random = np.random.default_rng(n)
    exact_alone = 0
    for _ in range(30):
        x, y = random.normal(0, 0.02, n), random.normal(0.6, 1.0, n)
        student = scipy_stats.ttest_rel(x, y) if n >= 10 else scipy_stats.ttest_ind(x, y, equal_var=False)
        assert pair_p(x, y) == pytest.approx(max(student.pvalue, pair_p(x, y, finished=False)))
        exact_alone += pair_p(x, y) > pair_p(x, y, finished=False)
    assert exact_alone > 0


def test_many_repetitions_are_compared_by_drawn_swaps():
    random = np.random.default_rng(4)
    x = random.normal(size=20)
    y = x + random.normal(0.1, 0.2, size=20)
    assert pair_p(x, y, finished=False) == pytest.approx(scipy_stats.ttest_rel(x, y).pvalue, rel=0.3)
    assert pair_p(x, x + 1.0) >= 1 / (separation.DRAWN + 1)


def test_the_groups_test_is_an_f_test_of_ranks_in_blocks():
    random = np.random.default_rng(5)
    x = random.normal(size=(3, 6)) + np.array([[0], [0.5], [1]])
    ranks = scipy_stats.rankdata(x).reshape(x.shape)
    rows, columns = ranks.mean(1, keepdims=True), ranks.mean(0, keepdims=True)
    f = (6 * ((rows - 9.5) ** 2).sum() / 2) / (((ranks - rows - columns + 9.5) ** 2).sum() / 10)
    assert group_p(x) == pytest.approx(scipy_stats.f.sf(f, 2, 10))
    assert group_p(np.ones((4, 5))) == 1.0
    assert group_p(np.repeat([[1.0], [2.0], [3.0]], 5, axis=1)) == 0.0


def every_group(table, finished):
    """Closed testing as it is defined: the largest corrected p-value of all groups that hold a pair."""
    k = len(table)
    p = {}
    for size in range(2, k + 1):
        for group in itertools.combinations(range(k), size):
            raw = pair_p(*table[list(group)], finished[list(group)].all()) if size == 2 else group_p(table[list(group)])
            p[group] = raw if size >= k - 1 else 1 - (1 - raw) ** (k / size)
    return {
        (i, j): max(v for group, v in p.items() if {i, j} <= set(group)) for i, j in itertools.combinations(range(k), 2)
    }


@pytest.mark.parametrize("n", [5, 10])
def test_neighbours_in_order_are_the_least_clear_of_all_groups(n):
    """Not a theorem: here it holds for every decision, in 40 comparisons of six."""
    random, separated = np.random.default_rng(n), 0
    for _ in range(40):
        table = random.normal(0, 1, (6, n)) + random.permutation([0, 0, 0, 2, 2.5, 5])[:, None]
        finished = np.ones(6, bool)
        got = adjusted(table, finished)
        for (i, j), p in every_group(table, finished).items():
            assert (got[i, j] <= 0.05) == (p <= 0.05)
            separated += p <= 0.05
    assert separated > 100


def test_how_few_repetitions_can_separate_anything():
    assert [least_repetitions(k) for k in (2, 3, 4, 9, 12, 13, 20, 47)] == [4, 4, 5, 5, 5, 6, 6, 6]
    for k, n in ((2, 3), (9, 4), (20, 5)):
        losses = {str(i): [10.0**i] * n for i in range(k)}
        assert not any(p.separated for p in pairs(losses))
    for k, n in ((2, 4), (9, 5), (20, 6), (9, 10), (20, 10)):
        losses = {str(i): [10.0**i * (1 + 0.01 * j) for j in range(n)] for i in range(k)}
        assert all(p.separated for p in pairs(losses)), (k, n)
    assert level(3) == 0.05
    assert level(9) == pytest.approx(1 - 0.95 ** (2 / 9))


def test_one_of_nine_that_always_diverges_is_separated_from_all():
    random = np.random.default_rng(6)
    losses = {str(i): list(np.exp(random.normal(-2, 0.15, 5))) for i in range(8)} | {"lost": [math.inf] * 5}
    found = pairs(losses)
    assert all(p.separated for p in found if p.b == "lost")
    assert not any(p.separated for p in found if p.b != "lost")


@pytest.mark.parametrize("start", [None, 2.3])
def test_four_times_far_worse_and_once_diverged_is_separated(start):
    good = [0.1, 0.11, 0.09, 0.1, 0.12]
    (pair,) = pairs({"good": good, "bad": [2.0, 2.1, 1.9, 2.2, math.inf]})
    assert pair.separated
    made = scores({"good": good, "bad": [2.0, 2.1, 1.9, 2.2, math.inf]})
    assert made.table[1].max() > made.table[0].max()


def test_a_diverged_run_outweighs_all_others_in_the_order():
    made = scores({"rash": [1e-6, 1e-6, 1e-6, math.inf], "sure": [0.5, 0.6, 0.5, 0.6], "lost": [math.inf] * 4})
    assert list(np.argsort(made.table.mean(axis=1))) == [1, 0, 2]
    assert scores({"a": [math.inf] * 3, "b": [math.inf] * 3}).table.tolist() == [[0.0] * 3] * 2


def test_order_test_and_ratio_have_one_direction():
    """Once, the order went by the mean and the test by the mean logarithm: separated, and 42% "higher" below zero."""
    random = np.random.default_rng(7)
    for _ in range(200):
        a, b = np.exp(random.normal(0, 1.5, 12)), np.exp(random.normal(0.3, 0.2, 12))
        made = scores({"a": a, "b": b})
        (pair,) = pairs({"a": a, "b": b})
        assert (made.table[0].mean() < made.table[1].mean()) == (pair.ratio.value > 1)


def test_ties_are_never_sure():
    assert pairs({"a": [0.5] * 3, "b": [0.25] * 3})[0].p == pytest.approx(0.1)
    assert pairs({"a": [0.5] * 5, "b": [0.25] * 5})[0].p == pytest.approx(2 / 252)
    assert pairs({"a": [0.5] * 5, "b": [0.5] * 5})[0].p == 1.0
    assert pairs({"a": [0.0] * 5, "b": [0.0] * 5})[0].p == 1.0


KINDS = {
    "normal": lambda r, k, n: r.normal(0, 0.15, (k, n)) + r.normal(0, 0.1, (1, n)),
    "heavy tails": lambda r, k, n: 0.1 * r.standard_t(1.5, (k, n)),
    "rounded": lambda r, k, n: np.round(r.normal(0, 0.15, (k, n)), 1),
    "error counts": lambda r, k, n: np.log(np.maximum(r.binomial(114, 0.03, (k, n)), 0.5)),
    "unequal spreads": lambda r, k, n: r.normal(0, 1, (k, n)) * np.geomspace(0.03, 0.5, k)[:, None],
    "half diverge": lambda r, k, n: np.where(r.random((k, n)) < 0.5, np.inf, r.normal(0, 0.15, (k, n))),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("k", "n"), [(2, 5), (9, 3), (9, 5), (9, 10)])
def test_equals_are_separated_in_few_comparisons(kind, k, n):
    """The short form of `make lab-null`: at most 5%, so of 100 at most 12 but for one time in a thousand."""
    random = np.random.default_rng(8)
    false = sum(separations(KINDS[kind](random, k, n)).any() for _ in range(100))
    assert false <= 12


def test_differences_are_found():
    random = np.random.default_rng(9)
    found = 0
    for _ in range(40):
        table = random.normal(0, 0.15, (9, 5))
        table[4:] += 0.6
        losses = _losses(table)
        first, *_ = pairs({"0": losses["0"], "8": losses["8"]})
        assert first.ratio.value > 1
        found += separations(table)[0, 4:].sum()
    assert found >= 0.85 * 40 * 5


def _losses(table):
    return {str(i): list(np.exp(row)) for i, row in enumerate(table)}


def separations(table):
    """Which pairs are separated, from log losses."""
    made = scores(_losses(table))
    return adjusted(made.table, made.finished) <= 0.05


def test_ranks_are_scipys():
    from scipy.stats import rankdata

    scores = np.array([[0.5, math.inf, 0.25], [0.5, -1.0, math.inf], [0.5, 2.0, 0.25]])
    np.testing.assert_array_equal(separation._ranks(scores), rankdata(scores).reshape(3, 3))
