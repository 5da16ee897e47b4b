"""One comparison at several sizes of the task: which sizes, what changes along them, and what is said of it."""

from __future__ import annotations

import importlib
import json
import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")

from click.testing import CliRunner
from made_up import make_up

from ravine.cli import group
from ravine.lab import ladder
from ravine.lab.ladder import changes, is_predicted, rungs, weights
from ravine.lab.protocol import Protocol
from ravine.lab.records import FINAL
from ravine.lab.report.ladder import Ladder

command = importlib.import_module("ravine.cli.compare")
SIZES = (16, 32, 64)


def made(losses, names="adam,gd", seeds=6, noise=0.02, task_seed=0):
    """Results at SIZES: `losses[name]` are the losses at each size; noise is multiplicative."""
    many = {}
    for i, size in enumerate(SIZES):
        drawn = np.random.default_rng([task_seed, i])
        table = {n: drawn.normal(0, noise, seeds) for n in names.split(",")}

        def loss(s, i=i, table=table):
            return losses[s.contender][i] * math.exp(table[s.contender][s.repetition])

        many[size] = make_up(names, loss, protocol=Protocol(steps=10, trials=2, seeds=seeds))
    return many


def shown(many, tuning="retune"):
    return Ladder("width", tuning, many, {s: f"width-{s}" for s in many})


def test_sizes_are_factors_of_the_tasks_value_or_values():
    assert rungs("digits", "width=4,1,0.5")[1] == {
        32: "digits[width=32]",
        64: "digits[width=64]",
        256: "digits[width=256]",
    }
    assert list(rungs("digits[width=10,layers=2]", "width=1,2")[1].values()) == [
        "digits[layers=2,width=10]",
        "digits[layers=2,width=20]",
    ]
    assert rungs("digits", "width:=16,8") == ("width", {8: "digits[width=8]", 16: "digits[width=16]"})
    assert list(rungs("digits", "label_noise:=0.1,0.2")[1]) == [0.1, 0.2]
    assert rungs("digits-gan", "width=1,2")[0] == "width"  # a training loop


def test_sizes_of_a_training_loop_of_the_users(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def train(make_optimizer, seed, report, depth, width=8, kind='a'): pass")
    assert list(rungs(str(file), "width=1,3")[1]) == [8, 24]
    assert list(rungs(str(file), "depth:=1,3")[1]) == [1, 3]
    with pytest.raises(ValueError, match=r"depth of task .* has no value to multiply"):
        rungs(str(file), "depth=1,3")
    with pytest.raises(ValueError, match=r"kind of task .* is 'a'"):
        rungs(str(file), "kind=1,3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("widht=1,2", "unknown option .* 'widht'; did you mean 'width'"),
        ("width", "a ladder is written OPTION=1,2,4"),
        ("width=", "two or more different numbers above 0; got 'width='"),
        ("width=1", "two or more different numbers"),
        ("width=1,1", "two or more different numbers"),
        ("width=0,1", "two or more different numbers"),
        ("width=1,inf", "two or more different numbers"),
        ("width=1,nan", "two or more different numbers"),
        ("width=1,x", "two or more different numbers"),
        ("width=0.3,1", "width is a whole number; 'width=0.3,1' makes it 19.2"),
        ("label_noise=1,2", "has the value 0.0 to multiply: give values, as label_noise:="),
    ],
)
def test_what_is_no_ladder_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        rungs("digits", text)


def test_a_task_without_options_is_refused(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def train(make_optimizer, seed, report): pass")
    with pytest.raises(ValueError, match="has no options of its own"):
        rungs(str(file), "width=1,2")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--budget", "10m"], "--budget fits one comparison"),
        (["--lengths", "1,2"], "--ladder runs at one length"),
        (["--protocol", "thorough"], "--ladder runs at one length"),
        (["--seeds", "auto"], "give --seeds a number"),
        (["--suite"], "--suite runs its tasks at one size"),
    ],
)
def test_what_does_not_fit_a_ladder_is_refused(more, message, tmp_path):
    done = CliRunner().invoke(group, ["compare", "--out", str(tmp_path), "--ladder", "width=1,2", *more])
    assert message in str(done.exception)
    done = CliRunner().invoke(group, ["compare", "--out", str(tmp_path), "--ladder-tuning", "transfer"])
    assert "--ladder-tuning is for a --ladder" in str(done.exception)


def test_weights_are_a_line_by_least_squares():
    sizes = [2, 4, 16, 64]
    y = np.array([0.3, 0.1, -0.4, 2.0])
    slope, miss = weights(sizes)
    assert slope @ y == pytest.approx(np.polyfit(np.log2(sizes), y, 1)[0])
    before = np.polyfit(np.log2(sizes[:-1]), y[:-1], 1)
    assert miss @ y == pytest.approx(y[-1] - np.polyval(before, np.log2(sizes[-1])))
    assert list(weights([1, 4])[0]) == [-0.5, 0.5]
    assert list(weights([1, 4])[1]) == [-1, 1]


def test_a_trend_is_found_with_its_size_and_a_level_difference_has_none():
    (grows,) = changes(made({"adam": (1, 1, 1), "gd": (1.2, 1.44, 1.728)}))
    assert (grows.a, grows.b) == ("adam", "gd")
    assert grows.trend.low < 1.2 < grows.trend.high
    assert grows.trend.high / grows.trend.low < 1.1
    assert grows.has_trend
    assert not grows.is_missed
    assert grows.ahead == ("adam", "adam", "adam")
    assert is_predicted([grows])
    (level,) = changes(made({"adam": (1, 0.7, 0.5), "gd": (1.2, 0.84, 0.6)}))
    assert not level.has_trend
    assert level.trend.low < 1 < level.trend.high
    (bends,) = changes(made({"adam": (1, 1, 1), "gd": (1.2, 1.2, 2.0)}))
    assert bends.is_missed
    assert bends.beyond.low < 2 / 1.2 < bends.beyond.high


def test_intervals_hold_the_truth_and_equals_have_no_trend_as_often_as_they_should():
    true = (1.1, 1.1 * 1.05, 1.1 * 1.05**2)
    found = [changes(made({"adam": (1, 1, 1), "gd": true}, seeds=5, noise=0.1, task_seed=i))[0] for i in range(120)]
    trends = [c.trend if c.a == "adam" else ladder.Interval(*(1 / v for v in c.trend)) for c in found]
    inside = np.mean([min(t[1:]) <= 1.05 <= max(t[1:]) for t in trends])
    assert 0.88 <= inside <= 0.995  # 95% in 120 tries: 0.911 to 0.989
    names = "adam,gd,rmsprop"
    equal = [made(dict.fromkeys(names.split(","), (1, 1, 1)), names, 5, 0.1, 1000 + i) for i in range(120)]
    assert np.mean([any(c.has_trend for c in changes(m)) for m in equal]) <= 0.11  # 5% in 120 tries: up to 10.8%


def test_verdicts_that_turn_around_are_said():
    many = made({"adam": (1, 1, 1), "gd": (0.7, 1, 1.4)})
    (change,) = changes(many)
    assert change.ahead == ("gd", "", "adam")
    assert change.is_reversed
    assert is_predicted([change]) is False
    said = " ".join(shown(many).text)
    assert "Tuned anew at each size." in said
    assert (
        "The smallest size does not predict the largest: of 1 pair that width 16 separates, width 64 separates none"
        in said
    )
    assert "adam and gd (16: gd ahead, 32: not separated, 64: adam ahead)" in said
    assert "With each doubling of width: gd over adam's ×1.4" in said
    assert "None of this says what comes after width 64." in said


def test_the_smallest_predicts_what_it_told_or_nothing():
    said = " ".join(shown(made({"adam": (1, 1, 1), "gd": (1.3, 1.3, 1.3)}), "transfer").text)
    assert "Tuned at width 16 only" in said
    assert "how well the hyperparameters transfer" in said
    assert "predicts what it told: width 64 separates the 1 pair that" in said
    assert "No verdict changes" in said
    assert "tell no trend of a difference with width from none" in said
    said = " ".join(shown(made({"adam": (1, 1, 1), "gd": (1, 1.01, 1.5)}, noise=0.05)).text)
    assert (
        "predicts nothing: width 16 separates no pair of the 1. Separated at width 64 and not at width 16: 1 pair."
        in said
    )


def test_too_few_repetitions_are_said_to_tell_nothing():
    said = shown(made({"adam": (1, 1, 1), "gd": (1, 2, 4)}, seeds=3)).text
    assert said[1].startswith("3 repetitions can tell neither")
    assert "at least 4" in said[1]
    assert said[2] == "So width 16 predicts nothing of width 64."


def test_runs_that_did_not_finish_have_no_trend():
    many = made({"adam": (1, 1, math.inf), "gd": (1.3, 1.3, 1.3), "rmsprop": (1.6, 1.6, 1.6)}, "adam,gd,rmsprop")
    found = {frozenset((c.a, c.b)): c for c in changes(many)}
    broken, whole = found[frozenset(("adam", "gd"))], found[frozenset(("gd", "rmsprop"))]
    assert math.isnan(broken.trend.value)
    assert broken.trend_p == 1
    assert broken.is_reversed
    assert whole.trend.value == pytest.approx(1, abs=0.05)
    assert "2 pairs have no trend: runs did not finish." in shown(many).text
    assert json.loads(json.dumps(shown(many).to_dict(), allow_nan=False))["pairs"][-1]


def test_one_optimizer_alone_has_no_differences():
    alone = shown(made({"adam": (1, 1, 1)}, "adam"))
    assert "nothing to compare" in alone.text[1]
    assert len(alone.tables()) == 1
    assert alone.to_dict()["pairs"] == []


def test_losses_that_are_not_positive_are_compared_by_differences():
    many = made({"adam": (-1, -1, -1), "gd": (0.5, 1, 1.5)})
    (change,) = changes(many)
    assert change.is_difference
    assert change.trend.value == pytest.approx(0.5, abs=0.05)
    assert "gd less adam's +0." in " ".join(shown(many).text)


def test_files(tmp_path):
    found = shown(made({"adam": (1, 1, 1), "gd": (0.7, 1, 1.4)})).write(tmp_path)
    assert [p.name for p in found] == ["ladder.html", "ladder.md", "ladder.json", "ladder.png"]
    data = json.loads((tmp_path / "ladder.json").read_text())
    assert data["smallest_predicts_largest"] is False
    assert data["sizes"] == [16, 32, 64]
    assert data["pairs"][0]["is_reversed"]
    assert data["pairs"][0]["trend"]["value"] > 1.3
    text = (tmp_path / "ladder.md").read_text()
    assert "| optimizer | width 16 | width 32 | width 64 |" in text
    assert "does not predict" in text
    page = (tmp_path / "ladder.html").read_text()
    assert "does not predict" in page
    assert 'href="width-16/report.html"' in page
    assert "<svg" in page


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("ladder")
    args = "compare breast-cancer[batch_size=8] --optimizers adam,gd[lr=0.1] --trials 2 --seeds 2 --steps 4 --workers 1"
    args += f" --ladder batch_size=1,2 --ladder-tuning transfer --out {out}"
    done = CliRunner().invoke(group, args.split())
    assert done.exit_code == 0, (done.output, done.exception)
    return out, args, done.output


def test_the_command_transfers_what_each_repetition_chose(climbed):
    from ravine.lab.results import Results

    out, _, said = climbed
    small, large = (Results.load(out / f"batch_size-{n}" / "results.json") for n in (8, 16))
    assert large.task["spec"] == "breast-cancer[batch_size=16]"
    chosen = [r.settings.hyper for r in small.of("adam", FINAL)]
    assert [r.settings.hyper for r in large.of("adam", FINAL)] == chosen
    assert chosen[0] != chosen[1]
    assert not large.of("adam", "tuning")
    assert len(large.records) == 8
    assert large.is_complete
    assert small.is_complete
    assert "Tuned at batch_size 8 only" in said
    assert "wrote" in said
    page = (out / "batch_size-16" / "report.html").read_text()
    assert "Nothing was tuned here" in page
    assert "In each repetition an optimizer is tuned" not in page


def test_more_repetitions_only_add_runs(climbed):
    from ravine.lab.contender import parse
    from ravine.lab.entry import entries
    from ravine.lab.ladder import transferred
    from ravine.lab.results import Results

    out, _, _ = climbed
    small, large = (Results.load(out / f"batch_size-{n}" / "results.json") for n in (8, 16))
    contenders = parse("adam,gd[lr=0.1]")
    more = replace(small, protocol=replace(small.protocol, seeds=9))
    again = [c.describe() for c in transferred(contenders, more)]
    studies = [e.study for e in entries(replace(large, contenders=again, protocol=more.protocol))]
    assert studies == [e.study for e in entries(large)]
    other = replace(small, protocol=replace(small.protocol, trials=3))
    tuned_otherwise = [c.describe() for c in transferred(contenders, other)]
    assert [e.study for e in entries(replace(large, contenders=tuned_otherwise))] != studies
