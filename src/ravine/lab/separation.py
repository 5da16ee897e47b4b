"""Which optimizers differ: tests of pairs and of groups of them, corrected together. Knows no records."""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Any

import numpy as np

PAIRED_FROM = 10
"""From so many repetitions on a pair is compared within repetitions: below, the 2ⁿ ways to swap are too few for 5%."""
EXACT_PAIRED, DRAWN = 13, 20_000
"""Up to so many repetitions all swaps are counted, beyond so many drawn ones."""


def adjusted(scores: Any, finished: Any) -> Any:
    """p-values of all pairs, corrected together: shape (k, k), ones on the diagonal, from scores of shape (k, n), lower
    being better; `finished` (k,) tells whose scores are all of runs that finished.

    Closed testing (Marcus, Peritz & Gabriel 1976): a pair is separated only if each group that holds it is, a group of
    g of the k at the level 1 − (1 − 5%)^(g/k) (Welsch 1977). Of the groups of one size, those whose other members
    follow each other in the order by mean score: of these one is the least clear.
    """
    k, n = scores.shape
    found = np.ones((k, k))
    if n < 2:
        return found
    order = np.argsort(scores.mean(axis=1), kind="stable")
    known: dict[tuple[int, ...], float] = {}
    for a, b in itertools.combinations(range(k), 2):
        i, j = order[a], order[b]
        p = _corrected(pair_p(scores[i], scores[j], bool(finished[i] and finished[j])), 2, k)
        others = [c for c in range(k) if c not in (a, b)]
        for low, high in itertools.combinations(range(len(others) + 1), 2):
            if p > 0.05:  # no group can make it less
                break
            group = tuple(sorted((a, b, *others[low:high])))
            if group not in known:
                known[group] = _corrected(group_p(scores[order[list(group)]]), len(group), k)
            p = max(p, known[group])
        found[i, j] = found[j, i] = p
    return found


def level(k: int, alpha: float = 0.05) -> float:
    """What the p-value of a pair among k may be at most for the pair to be separated."""
    return alpha if k <= 3 else 1 - (1 - alpha) ** (2 / k)


def _corrected(p: float, size: int, k: int) -> float:
    """The p-value of a group of so many among k: with one left over there is no second group to err with."""
    return p if size >= k - 1 else -math.expm1(k / size * math.log1p(-p)) if p < 1 else 1.0


def pair_p(x: Any, y: Any, finished: bool = True) -> float:
    """The hypothesis that two have the same distribution of scores, shape (n,) each: the share of the ways to exchange
    them that give means as far apart as these (Fisher 1935, Pitman 1937). Exact, ties and outliers or not.

    Below ten repetitions all ways to divide the 2n runs, from ten on those within repetitions. Where all runs finished
    it is never below Student's p-value (Welch's below ten), which is not misled by unequal spreads.
    """
    n, apart = len(x), abs(float((x - y).sum()))
    if n < 2 or apart == 0:
        return 1.0
    paired = n >= PAIRED_FROM
    pooled = x - y if paired else np.concatenate([x, y])
    sums = np.abs(exchanges(n) @ pooled)
    exact = float(np.mean(sums >= apart - 1e-9 * np.abs(pooled).sum()))
    return max(exact, _student(x, y, paired)) if finished else exact


def _student(x: Any, y: Any, paired: bool) -> float:
    from scipy.special import stdtr

    n = len(x)
    if paired:
        variance, df = (x - y).var(ddof=1) / n, n - 1.0
    else:
        a, b = x.var(ddof=1) / n, y.var(ddof=1) / n
        variance = a + b
        df = variance**2 / ((a**2 + b**2) / (n - 1)) if variance > 0 else n - 1.0
    return float(2 * stdtr(df, -abs(x.mean() - y.mean()) / math.sqrt(variance))) if variance > 0 else 0.0


@cache
def exchanges(n: int) -> Any:
    """Rows of +1 and −1: the ways to divide the 2n runs of two, or from ten repetitions on to swap them within each."""
    if n < PAIRED_FROM:
        chosen = np.array(list(itertools.combinations(range(2 * n), n)))
        signs = -np.ones((len(chosen), 2 * n))
        np.put_along_axis(signs, chosen, 1.0, axis=1)
        return signs
    if n <= EXACT_PAIRED:
        return np.array(list(itertools.product((1.0, -1.0), repeat=n)))
    drawn = np.random.default_rng(n).choice((1.0, -1.0), size=(DRAWN, n))
    return np.vstack([np.ones(n), drawn])  # what was seen is one of the ways


def least_p(n: int) -> float:
    """The lowest p-value that two can have with n repetitions."""
    return 2 / math.comb(2 * n, n) if n < PAIRED_FROM else max(2.0**-n * 2, 1 / (DRAWN + 1))


def least_repetitions(k: int) -> int:
    """With fewer repetitions no two of k can be separated, however far apart they are."""
    return next(n for n in itertools.count(2) if least_p(n) <= level(k))


def group_p(scores: Any) -> float:
    """The hypothesis that several have the same distribution of scores, shape (g, n): the F-test of their ranks within
    the group, repetitions being blocks (Conover & Iman 1981, The American Statistician 35:3)."""
    from scipy.special import fdtrc

    g, n = scores.shape
    ranks = _ranks(scores)
    rows = ranks.mean(axis=1, keepdims=True)
    rest = ranks - rows - ranks.mean(axis=0) + ranks.mean()
    between, within = n * ((rows - ranks.mean()) ** 2).sum() / (g - 1), (rest**2).sum() / ((g - 1) * (n - 1))
    if between <= 1e-12:
        return 1.0
    return float(fdtrc(g - 1, (g - 1) * (n - 1), between / within)) if within > 1e-12 else 0.0


def _ranks(scores: Any) -> Any:
    """Ranks from 1 on, of equals their mean, in the shape of the scores. scipy.stats.rankdata gives the same, and takes
    most of the time of a comparison's thousands of groups."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[places].reshape(scores.shape)
