"""The scenarios' numbers: closed forms where there are any, the stated orderings elsewhere."""

import functools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from outcomes import of_file as outcome
from ravine import recipe
from ravine.cli.simulate import show
from ravine.simulate import gallery, run
from ravine.simulate.outcome import Claim, Outcome, Table, cell
from ravine.simulate.scenarios import SCENARIOS, accumulate, bias, bowl, knobs, maps, paths
from ravine.simulate.scenarios.bowl import START, axes_of, settling, turned
from ravine.simulate.scenarios.paths import labelled
from ravine.simulate.scenarios.turn import measure

NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.]*\w)")


def column(table, heading):
    """A table's column as a mapping from its first cells."""
    at = list(table.columns).index(heading)
    return {row[0]: row[at] for row in table.rows}


def holds(o, words):
    """Whether the one claim with these words holds."""
    (claim,) = [c for c in o.claims if words in c.text]
    return claim.holds


# Accumulating momentum.


@pytest.mark.parametrize("lr", [1e-4, 0.01, 1.0])
@pytest.mark.parametrize("slope", [0.01, 1.0, -300.0])
def test_adam_moves_at_speed_lr_from_the_first_step(lr, slope):
    o = accumulate(lr=lr, slope=slope, steps=50)
    r = o.runs["adam"]
    speed = np.abs(r.slots["m"][1:, 0] * 0 + r.step[:, 0])
    # Closed form |g|/(|g| + ε) · lr; x, of up to 50 lr, is rounded, and so is its difference.
    np.testing.assert_allclose(speed, lr * abs(slope) / (abs(slope) + 1e-8), rtol=1e-12, atol=0)


@pytest.mark.parametrize("mu", [0.0, 0.5, 0.9, 0.95])
def test_momentum_on_rescaled_gradients_has_the_limit_lr_over_one_minus_mu(mu):
    o = accumulate(mu=mu, steps=700)
    assert column(o.tables[0], "limit")["rmsprop_momentum"] == pytest.approx(1 / (1 - mu))
    last = np.abs(o.runs["rmsprop_momentum"].step[-1, 0]) / 0.01
    # What is left of the start is (number of steps)·0.95^700 < 1e-12; ε takes 5e-8 off.
    assert last == pytest.approx(1 / (1 - mu), rel=1e-7)
    assert np.abs(o.runs["momentum"].step[-1, 0]) / 0.01 == pytest.approx(1 / (1 - mu), rel=1e-11)


def test_the_limits_in_the_table_are_reached():
    table = accumulate(mu=0.8, slope=-3.0, steps=1000).tables[0]
    for name, limit in column(table, "limit").items():
        last = column(table, "step 100")[name]
        assert last == pytest.approx(limit, rel=2e-4), name  # NAdam's warm-up still has 1e-4 to go


def test_momentum_builds_up_as_a_geometric_series():
    r = accumulate(lr=0.01, mu=0.9).runs["momentum"]
    t = np.arange(1, 101)
    np.testing.assert_allclose(-r.step[:, 0], 0.01 * (1 - 0.9**t) / (1 - 0.9), rtol=1e-11)


def test_the_first_rescaled_gradients_are_longer_and_the_limit_comes_from_above():
    r = accumulate(steps=100).runs["rmsprop"]
    t = np.arange(1, 101)
    np.testing.assert_allclose(-r.step[:, 0], 0.01 / np.sqrt(1 - 0.9**t + 1e-7), rtol=1e-11)
    assert not holds(accumulate(), "from below")
    assert holds(accumulate(mu=0.0), "toward")


def test_too_few_steps_are_no_verdict_and_it_is_said_how_many_it_takes():
    o = accumulate(mu=0.99, steps=50)
    claim = next(c for c in o.claims if "toward" in c.text)
    assert (claim.holds, claim.mark) == (None, "?")
    needed = int(re.search(r"it takes (\d+)", claim.evidence)[1])
    assert holds(accumulate(mu=0.99, steps=needed), "toward")
    speeds = np.abs(accumulate(mu=0.99, steps=needed + 500).runs["rmsprop_momentum"].step[:, 0]) / 0.01 / 100
    assert np.all(np.abs(speeds[needed - 1 :] - 1) < 0.05)
    assert abs(speeds[needed - 2] - 1) >= 0.05
    assert json.loads(o.to_json())["claims"][1]["holds"] is None
    assert "? RMSprop with momentum" in gallery.page([(gallery.EXHIBITS[0], o)])
    from_one = run(recipe("rmsprop_momentum", start={"s": 1.0}, lr=0.01), "constant_slope", steps=300)
    assert np.max(np.abs(from_one.step)) <= 0.1  # an average that starts at one, as TensorFlow 1's, has no excess


# Changing direction.


@pytest.fixture(scope="module")
def turned_around():
    return outcome("turn.gif")


def test_every_rule_overshoots_turns_and_returns(turned_around):
    table = turned_around.table("at learning rates of their own")
    rates = {"gd": 8e-5, "momentum": 8e-5, "nesterov": 0.008, "rmsprop": 0.02, "rmsprop_momentum": 0.001}
    rates |= {"rmsprop_nesterov": 0.008, "adadelta": 1.0, "adam": 0.01}
    assert column(table, "lr") == rates
    down, overshoot, back = (column(table, h) for h in ("steps down", "overshoot", "steps to return"))
    assert all(back.values())
    # gd goes 8e-5 a step; its 25,000 steps end within rounding of the floor, so it crosses by less than a step.
    assert down["gd"] in (25_000, 25_001)
    assert 0 < overshoot["gd"] <= 8e-5
    assert down["adam"] in (200, 201)
    # From rest, lr·t on the way down: momentum comes to speed lr/(1−μ), having lost lr·μ/(1−μ)² on the way.
    assert down["momentum"] == pytest.approx((2 + 8e-5 * 0.9 / 0.1**2) / (8e-5 / 0.1), abs=1)


def test_the_stated_orderings_hold_at_the_stated_settings(turned_around):
    for words in ("slower to turn", "much slower to come back"):
        assert holds(turned_around, words)
    for claim in turned_around.claims[2:4]:
        assert claim.holds, claim.text


def test_the_orderings_at_equal_lr_come_from_the_memory_and_not_from_adam(turned_around):
    rows = turned_around.table("with equal memory").rows
    back = {(r[0], r[1]): r[5] for r in rows}
    assert back["adam", 0.999] > 2 * back["rmsprop_momentum", 0.9]
    assert abs(back["adam", 0.9] - back["rmsprop_momentum", 0.9]) <= 2


def test_where_the_statements_hold(turned_around):
    rows = turned_around.table("where the statements about Adam hold").rows
    held = {(beta2, rho): [row[3:] for row in rows if row[:2] == (beta2, rho)] for beta2, rho, *_ in rows}
    assert all(row[2] for row in [r[3:] for r in rows])  # less far at equal lr: everywhere
    assert [row[0] for row in held[0.999, 0.999]] == [False, False, True, True, True]
    assert all(row[:2] == (True, True) for row in held[0.999, 0.9])
    assert all(row[:2] == (True, False) for row in held[0.9, 0.9])
    assert [row[3] for row in held[0.999, 0.9]] == [True, True, True, False, True]
    assert not any(row[3] for row in held[0.999, 0.999])


def test_adams_greater_reach_at_lr_over_one_minus_mu_needs_a_long_descent(turned_around):
    at_equal, at_ten_times = turned_around.claims[-2:]
    assert at_equal.holds
    assert not at_ten_times.holds
    assert "25 of 41" in at_ten_times.evidence


def test_a_turn_is_measured_at_the_first_crossing():
    r = run("gd", "kinked_valley", start=[0.45], lr=1.0, steps=20)  # to −0.55, then back by 0.1 a step
    assert measure(r) == (1, pytest.approx(0.55), 0, 6)
    with pytest.raises(ValueError, match="did not reach the valley's floor"):
        measure(run("gd", "kinked_valley", lr=1e-3, steps=5))


# Bias correction.


def test_without_correction_the_first_steps_have_their_closed_form():
    o = bias(sigma=0.0, steps=300)
    t = np.arange(1, 301)
    expected = (1 - 0.9**t) / np.sqrt(1 - 0.999**t)
    np.testing.assert_allclose(-o.runs["uncorrected"].step[:, 0] / 0.01, expected, rtol=1e-6)
    np.testing.assert_allclose(-o.runs["corrected"].step[:, 0] / 0.01, 1.0, rtol=1e-7)
    averages = o.tables[0].rows[0]
    assert averages[1:5] == pytest.approx((0.1, 1.0, 0.001, 1.0))


def test_uncorrected_steps_are_too_long_unless_the_first_memory_is_much_the_longer():
    assert holds(bias(), "too long")
    assert not holds(bias(beta1=0.99, beta2=0.9), "too long")
    assert all(c.holds for c in outcome("bias.gif").claims)


def test_both_runs_of_the_bias_scenario_see_the_same_gradients():
    o = outcome("bias.gif")
    np.testing.assert_array_equal(o.runs["corrected"].gradient, o.runs["uncorrected"].gradient)


# The oblong bowl.


other_bowl = functools.cache(bowl)


@pytest.mark.parametrize(("condition", "tilt"), [(20.0, 0.0), (150.0, 1.0)])
def test_the_bowls_bound_from_both_sides(condition, tilt):
    o = other_bowl(condition=condition, tilt=tilt) if tilt else outcome("bowl.gif")
    assert o.claims[0].text.startswith("gd is stable below")
    assert o.claims[0].holds
    # A curvature h shrinks the distance by |1 − lr·h| a step: 1 along, `condition` across.
    good = {row[0]: row[4:6] for row in o.table("runs").rows}["gd, good"]
    assert good == pytest.approx((1 - 1.8 / condition, 0.8), rel=1e-9)


def test_momentum_damps_faster_where_the_root_of_mu_is_the_smaller_factor():
    o = outcome("bowl.gif")
    assert holds(o, "μ = 0.5")
    assert not holds(o, "μ = 0.9")
    factors = {row[0]: row[4:6] for row in o.table("runs").rows}
    for mu in (0.5, 0.9):
        # Complex roots: √μ a step, by measured maxima of an oscillation, so only to a few per cent.
        assert factors[f"momentum, μ {mu}"] == pytest.approx((math.sqrt(mu),) * 2, rel=0.08)


def test_rmsprop_and_adam_do_not_see_the_condition_number_of_a_straight_bowl():
    race = {row[0]: row[1:] for row in outcome("bowl.gif").table("race").rows}
    for name in ("rmsprop", "rmsprop_momentum", "adam"):
        straight, steeper, turned_bowl, turned_steeper = race[name]
        assert straight == steeper
        assert turned_steeper > 1.5 * turned_bowl  # turned, they do
    assert race["gd"][1] > 5 * race["gd"][0]
    assert race["gd"] == pytest.approx(race["gd"][:2] * 2, abs=1)  # gd does not care which way the bowl lies
    assert holds(outcome("bowl.gif"), "does not depend on the condition")
    assert not holds(other_bowl(condition=150.0, tilt=1.0), "does not depend on the condition")


def test_rescaled_first_steps_are_equal_in_both_axes():
    ratio = column(outcome("bowl.gif").table("runs"), "|Δy|/|Δx| at step 1")
    assert ratio["gd, good"] == pytest.approx(20 * 1.5 / 4.5)
    assert ratio["rmsprop"] == pytest.approx(1, rel=1e-6)
    assert ratio["adam"] == pytest.approx(1, rel=1e-6)
    assert holds(outcome("bowl.gif"), "Adam does both")


def test_turning_there_and_back():
    along, across = axes_of(turned(START, 0.7), 0.7)
    assert (along, across) == pytest.approx(START)


def test_settling_counts_to_the_last_time_outside():
    r = run("gd", "oblong_bowl", start=[0.45, 0.0], lr=0.5, steps=6)  # halves: 0.45, 0.225, 0.1125, 0.05625
    assert settling(r) == 3
    swinging = run("momentum", "oblong_bowl", start=[1.0, 0.0], lr=0.1, mu=0.9, steps=300)
    outside = [t for t, x in enumerate(swinging.x) if np.hypot(*x) >= 0.1]
    assert outside != list(range(len(outside)))  # it goes in and comes out again
    assert settling(swinging) == outside[-1] + 1
    assert settling(run("gd", "oblong_bowl", lr=1e-4, steps=6)) == math.inf
    assert settling(run("gd", "oblong_bowl", start=[0.0, 0.0], steps=2)) == 0


# Knobs and maps.


def test_what_each_knob_does():
    o = outcome("knobs.gif")
    assert all(c.holds for c in o.claims), [c for c in o.claims if not c.holds]


def test_a_map_holds_what_single_runs_give():
    o = maps(rules=("momentum", "adam"), size=5, steps=40)
    assert list(column(o.tables[0], "rule")) == ["momentum, μ", "adam, β₁"]
    lr, mu, best = (column(o.tables[0], h)["momentum, μ"] for h in ("at lr", "at momentum", "best"))
    alone = run("momentum", "oblong_bowl", lr=lr, mu=mu, steps=40)
    assert best == pytest.approx(float(alone.value[-1] / alone.value[0]), rel=1e-12)


def test_a_map_moves_from_the_first_step_to_the_last_one():
    from matplotlib.figure import Figure

    o = maps(rules=("momentum",), size=6, steps=30)
    figure = Figure(figsize=o.size)
    moving = o.draw(figure)
    (mesh,) = [a for a in moving.artists if hasattr(a, "get_array")]
    lr, mu = np.geomspace(1e-4, 10, 6), 1 - np.geomspace(1, 0.01, 6)
    for t in (1, 30):
        moving(t)
        r = run("momentum", "oblong_bowl", steps=t, lr=lr[None, :], mu=mu[:, None])
        expected = r.value[-1] / r.value[0]
        shown = np.ma.filled(mesh.get_array().reshape(6, 6), 2.0)
        np.testing.assert_array_equal(shown < 1, expected < 1)
        np.testing.assert_allclose(shown[expected < 1], np.clip(expected[expected < 1], 1e-8, 1), rtol=1e-12)


def test_momentums_edge_on_the_map_is_its_bound():
    o = maps(rules=("momentum",), size=60)
    (claim,) = o.claims
    assert claim.holds, claim.evidence
    assert not maps(rules=("momentum",), surface="beale", size=5, steps=10).claims


# Paths, and what is common to all.


def test_optimizers_are_called_by_their_names_or_their_values():
    found = labelled(["adam", "slow=adam[lr=1e-4]", "adam[lr=0.1,beta1=0.5]", recipe("gd", lr=0.3), "adam"])
    assert found == {
        "adam, lr 0.001": recipe("adam"),
        "slow": recipe("adam", lr=1e-4),
        "adam, lr 0.1, beta1 0.5": recipe("adam", lr=0.1, beta1=0.5),
        "gd, lr 0.3": recipe("gd", lr=0.3),
    }
    with pytest.raises(ValueError, match="two optimizers are called 'mine'"):
        labelled(["mine=adam", "mine=gd"])


def test_paths_run_what_is_asked():
    o = paths(optimizers=["gd[lr=0.01]"], surface="himmelblau", start=[1.0, 1.0], steps=7, noise="gaussian:2", seed=3)
    assert list(o.runs) == ["gd, lr 0.01"]
    assert o.runs["gd, lr 0.01"].x.shape == (8, 2)
    assert o.settings["noise"] == "gaussian, scale 2, seed 3"
    with pytest.raises(ValueError, match="at least one optimizer"):
        paths(optimizers=[])


@pytest.mark.parametrize(
    ("scenario", "arguments", "message"),
    [
        (accumulate, {"steps": 3}, "steps must be at least 20"),
        (bias, {"steps": 3}, "steps must be at least 10"),
        (bowl, {"condition": 1.0}, "condition must be at least 2"),
        (knobs, {"steps": 3}, "steps must be at least 40"),
        (maps, {"size": 1}, "size must be at least 2"),
        (maps, {"rules": ("gd",)}, "gd has no momentum"),
    ],
)
def test_mistakes_are_named(scenario, arguments, message):
    with pytest.raises(ValueError, match=message):
        scenario(**arguments)


def test_json_is_strict_and_cells_are_short():
    o = Outcome(
        name="n", title="t", story="s", settings={"a": np.float64(1.5)}, claims=[Claim("c", True, "e")],
        tables=[Table("t", ("a", "b"), [(math.inf, math.nan), (np.int64(3), None)])], draw=lambda f: None, last=1,
    )  # fmt: skip
    data = json.loads(o.to_json())
    assert data["tables"][0]["rows"] == [["inf", "nan"], [3, None]]
    assert data["settings"] == {"a": 1.5}
    assert [cell(v) for v in (None, 3, 0.123456, "x", True)] == ["–", "3", "0.1235", "x", "yes"]


@pytest.mark.parametrize("file", [e.file for e in gallery.EXHIBITS])
def test_every_table_fits_into_eighty_columns(file, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    show(outcome(file))
    assert max(map(cell_len, capsys.readouterr().out.splitlines())) <= 80


def test_every_scenario_is_in_the_gallery_and_the_page_is_up_to_date():
    assert {e.scenario for e in gallery.EXHIBITS} == set(SCENARIOS)
    docs = Path(__file__).parents[2] / "docs"
    shown = [(e, outcome(e.file)) for e in gallery.EXHIBITS]
    # NumPy's exp and cos differ by an ulp from processor to processor, and runs that jump about magnify it.
    written, now = (docs / "gallery.md").read_text(encoding="utf-8"), gallery.page(shown)
    assert NUMBER.sub("0", written) == NUMBER.sub("0", now), "run `make gallery`"
    numbers = [list(map(float, NUMBER.findall(page))) for page in (written, now)]
    np.testing.assert_allclose(*numbers, rtol=5e-3, err_msg="run `make gallery`")
    for exhibit in gallery.EXHIBITS:
        size = (docs / "gallery" / exhibit.file).stat().st_size
        assert 10_000 < size < 1_000_000
    assert not re.search(r"\bnan\b", gallery.page(shown))
