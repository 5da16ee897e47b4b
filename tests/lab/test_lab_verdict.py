"""What a comparison says in sentences and numbers: no more than its runs show."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from made_up import make_up
from rich.console import Console

pytest.importorskip("matplotlib", reason="the lab draws with Matplotlib")

from ravine.lab import power
from ravine.lab.protocol import Protocol
from ravine.lab.records import FINAL
from ravine.lab.report import formats, html, words
from ravine.lab.report.verdict import can_show, verdict
from ravine.lab.separation import adjusted
from ravine.lab.statistics import Interval, scores
from ravine.lab.summary import summary


def said_of(results):
    return verdict(results, summary(results))


def noisy(**means):
    """Losses that vary by 15% around each contender's mean, at random but the same each time."""

    def loss(s):
        random = np.random.default_rng([s.seed, len(s.contender), ord(s.contender[0])])
        return means[s.contender] * math.exp(random.normal(0, 0.15))

    return loss


def eight(optimizers, loss, **protocol):
    return make_up(optimizers, loss, protocol=Protocol(**{"steps": 10, "trials": 2, "seeds": 8, **protocol}))


def test_a_difference_is_claimed_only_where_the_seeds_separate():
    said = said_of(eight("adam,gd,rmsprop", noisy(adam=0.1, gd=0.3, rmsprop=0.1)))
    assert said[1] in ("These 8 seeds don't separate it from rmsprop.", "These 8 seeds don't separate it from adam.")
    assert said[2].startswith("They do separate it from gd (")
    assert said[2].endswith(" times as high).")
    alike = eight("adam,gd,rmsprop", noisy(adam=0.1, gd=0.1, rmsprop=0.1))
    assert said_of(alike)[1] == "But these 8 seeds don't separate it from any of the others."
    lowest, said, *_ = said_of(eight("adam,gd", noisy(adam=0.1, gd=0.1)))
    assert said == f"But these 8 seeds don't separate it from {'gd' if lowest.startswith('adam') else 'adam'}."


def test_where_nobody_finished_all_it_says_so_and_where_one_never_did():
    def loss(s):
        return math.inf if s.stage == FINAL and s.repetition == s.contender.count("g") else 1.0

    assert "No optimizer finished all" in said_of(make_up("adam,gd", loss))[0]

    def lost(s):
        return math.inf if s.contender == "gd" else 0.1 + s.seed / 1000

    said = " ".join(said_of(eight("adam,gd", lost)))
    assert "These 8 seeds separate it from gd (finished 0 of 8)." in said
    assert "gd finished none of its 8 scored runs." in said


def test_an_unfinished_comparison_ranks_nobody():
    from ravine.cli.progress import table

    whole = eight("gd,adam,rmsprop", noisy(adam=0.1, gd=0.3, rmsprop=0.2))
    part = replace(whole, records=whole.records[:-1])
    made = summary(part)
    assert [r.name for r in made.rows] == ["gd", "adam", "rmsprop"]  # as entered
    assert [r.name for r in summary(whole).rows] == ["adam", "rmsprop", "gd"]
    assert made.pairs == made.steps == ()
    assert all(math.isnan(r.rank.value) for r in made.rows)
    said = "This comparison is not complete: 95 of 96 runs are there. Nobody is ranked till then."
    assert verdict(part, made) == [said]
    console = Console(file=io.StringIO(), width=100)
    console.print(table(part, made))
    for text in (html.page(part), formats.markdown(part, made), console.file.getvalue()):
        assert "ended lowest" not in text
        assert "Sorted" not in text
    assert said in html.page(part)


def test_one_alone_is_not_compared():
    assert said_of(eight("adam", noisy(adam=0.1)))[0].endswith("there is none to compare it with.")
    lost = said_of(eight("adam", lambda s: math.inf))
    assert lost == ["adam finished 0 of its 8 scored runs; there is none to compare."]


def test_the_verdict_tells_its_power():
    said = said_of(eight("adam,gd,rmsprop", noisy(adam=0.1, gd=0.3, rmsprop=0.1)))[-1]
    assert said.startswith("With losses that vary as here, 8 repetitions separate losses that are ")
    assert "in four of five comparisons; 10% would take about " in said
    many = ",".join(f"o{i}=gd[lr={i + 1}]" for i in range(20))
    said = said_of(make_up(many, lambda s: 1.0 + s.hyper["lr"], protocol=Protocol(steps=10, seeds=5)))
    assert said[-1] == "5 repetitions can't separate 20 optimizers, however far apart: that takes at least 6."
    assert (
        can_show(9, 4, None) == "4 repetitions can't separate 9 optimizers, however far apart: that takes at least 5."
    )
    assert can_show(9, 5, None) == ""


@pytest.mark.parametrize(("k", "n"), [(2, 5), (9, 5), (9, 10), (3, 20)])
def test_what_is_said_to_be_visible_is_seen_in_four_of_five(k, n):
    """Half of the contenders are that much worse than the others: the least and the most of them."""
    spread = power.assumed(0.15)
    table = np.random.default_rng(1).normal(0, 0.15, (60, k, n))
    table[:, k // 2 :] += power.visible(spread, k, n)
    seen = [adjusted(t, np.ones(k, bool))[0, k // 2 :] <= 0.05 for t in table]
    assert 0.65 <= np.mean(seen) <= 0.97


def test_as_many_repetitions_are_needed_as_show_the_difference():
    spread = power.assumed(0.15)
    for k, difference in ((2, 0.1), (9, 0.1), (9, 0.5)):
        n = power.needed(spread, k, difference)
        assert power.visible(spread, k, n) <= difference < power.visible(spread, k, n - 1)
    assert power.needed(spread, 2, 1e-6) == power.MOST
    few = power.spread(scores({"a": [1.0, 2.0], "b": [2.0, 4.0], "c": [1.0, 4.0]}).of, "a")
    assert few.paired == pytest.approx(math.log(2) / math.sqrt(2) / 2)
    assert power.spread({"a": [1.0, 2.0]}, "a") is None
    assert power.spread({"a": [1.0, 1.0], "b": [1.0, 1.0]}, "a") is None


def test_the_target_may_be_given_and_steps_to_it_are_compared():
    def loss(s):
        return {"adam": 0.1, "gd": 1.2}[s.contender] * (1 + s.seed / 1000)

    made = summary(eight("adam,gd", loss, target=1.5))
    assert made.target == 1.5
    rows = {r.name: r for r in made.rows}
    assert rows["adam"].steps_to_target.value == pytest.approx(5)
    assert rows["gd"].steps_to_target.value == pytest.approx(10)
    assert made.steps_pair("adam", "gd").separated
    results = eight("adam,gd", loss, target=1.5)
    assert "adam needed the fewest steps to the target, 5, separated from gd." in said_of(results)
    assert "as given" in words.notes(results, made)
    assert "The target was given." in " ".join(words.method(results))
    assert summary(eight("adam,gd", loss)).target != 1.5
    with pytest.raises(ValueError, match="target must be a finite loss"):
        Protocol(steps=1, target=math.nan)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Interval(0.124, 0.119, 0.131), "0.124 (0.119 to 0.131)"),
        (Interval(2.31e-8, 2.1e-8, 2.52e-8), "2.31e-08 (2.10e-08 to 2.52e-08)"),
        (Interval(3.2e-7, -math.inf, math.inf), "3.20e-07"),
        (Interval(0.08, 0.0012, 5.3), "0.08 (0.0012 to 5.3)"),
        (Interval(0.0, 0.0, 0.0), "0 (0 to 0)"),
        (Interval(-1.5, -1.7, -1.3), "-1.50 (-1.70 to -1.30)"),
        (Interval(0.8451542, 0.8451542 - 1e-16, 0.8451542 + 1e-16), "0.84515 (0.84515 to 0.84515)"),
        (Interval(3.2e-7, 3.2e-7, 3.2e-7), "3.20e-07 (3.20e-07 to 3.20e-07)"),
    ],
)
def test_every_loss_has_digits(value, text):
    assert words.interval(value) == text
