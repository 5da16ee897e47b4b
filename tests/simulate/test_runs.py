"""Runs: each is the reference bit for bit, alone or among many; closed forms on quadratics."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ravine import recipe, rules
from ravine.simulate import Noise, final, from_function, run, surface
from ravine.simulate.plan import BLOCK
from ravine.trace.graph import PRODUCTS

RULES = sorted(rules())


@pytest.mark.parametrize("name", RULES)
def test_a_run_is_the_recipe_step_by_step(name):
    chosen, bowl = recipe(name), surface("oblong_bowl", tilt=0.5)
    result = run(chosen, bowl, steps=60)
    x = np.array(bowl.start)
    state = chosen.init(x)
    for t in range(60):
        g = bowl.gradient(x + chosen.look_ahead(state))
        np.testing.assert_array_equal(result.gradient[t], g)
        new, state = chosen.update(g, state, x)
        np.testing.assert_array_equal(result.step[t], new - x)
        np.testing.assert_array_equal(result.x[t + 1], new)
        for slot, value in state.slots.items():
            np.testing.assert_array_equal(result.slots[slot][t + 1], np.ravel(value) if np.ndim(value) else value)
        if chosen.rule.read_out_function is not None:
            np.testing.assert_array_equal(result.evaluated[0][t + 1], chosen.read_out(state, new))
        x = new
    np.testing.assert_array_equal(result.value, bowl.value(result.x))
    assert (result.evaluated is None) == (chosen.rule.read_out_function is None)


def test_many_are_evaluated_as_each_alone():
    lrs = np.array([0.01, 0.1])
    many = run("schedule_free_adamw", "oblong_bowl", steps=30, lr=lrs).evaluated
    alone = [run("schedule_free_adamw", "oblong_bowl", steps=30, lr=lr).evaluated for lr in lrs]
    for k in (0, 1):
        np.testing.assert_array_equal(many[0][:, k], alone[k][0])
        np.testing.assert_array_equal(many[1][:, k], alone[k][1])


@pytest.mark.parametrize("name", [n for n in RULES if not any(m.op in PRODUCTS for m in rules()[n].graph.nodes)])
def test_many_at_once_are_the_same_bits_as_each_alone(name):
    chosen = rules()[name]
    rng = np.random.default_rng(4)
    starts = rng.uniform(-2, 2, (2, 1, 2))
    hyper = {n: h.default * np.array([1.0, 0.75, 0.5]) for n, h in chosen.hyperparameters.items()}
    hyper = {n: v for n, v in hyper.items() if all(map(chosen.hyperparameters[n].range.__contains__, v))}
    for power in ("momentum_decay", "decay"):  # NumPy's pow for arrays has bits of its own
        hyper.pop(power, None)
    noise = Noise("heavy_tailed", 0.1, seed=7)
    streams = np.array([3, 1, 8])
    many = run(chosen, "rosenbrock", start=starts, steps=25, noise=noise, streams=streams, **hyper)
    ends, values = final(chosen, "rosenbrock", start=starts, steps=25, noise=noise, streams=streams, **hyper)
    assert many.x.shape == (26, 2, 3, 2)
    np.testing.assert_array_equal(ends, many.x[-1])
    np.testing.assert_array_equal(values, many.value[-1])
    for i in range(2):
        for j in range(3):
            each = {n: float(h[j]) for n, h in hyper.items()}
            alone = run(chosen, "rosenbrock", start=starts[i, 0], steps=25, noise=noise, streams=streams[j], **each)
            np.testing.assert_array_equal(many.x[:, i, j], alone.x)


def test_blocks_join_without_a_seam():
    starts = np.random.default_rng(5).uniform(-2, 2, (BLOCK + 3, 2))
    lr = np.geomspace(1e-4, 1e-2, BLOCK + 3)
    noise, streams = Noise(scale=0.5), np.arange(BLOCK + 3)
    ends, _ = final("adam", "beale", start=starts, steps=5, lr=lr, noise=noise, streams=streams)
    for i in (0, BLOCK - 1, BLOCK, BLOCK + 2):
        alone = run("adam", "beale", start=starts[i], steps=5, lr=float(lr[i]), noise=noise, streams=i)
        np.testing.assert_array_equal(ends[i], alone.x[-1])


def grows(rule, curvature, **hyper):
    """Whether a run on a one-dimensional quadratic ends further out than it was halfway."""
    bowl = from_function(lambda x, *, h=curvature: 0.5 * h * (x * x))
    result = run(rule, bowl, start=[1.0], steps=4000, **hyper)
    distance = np.abs(result.x[:, 0])
    return not np.max(distance[-500:]) < np.max(distance[:500])


@settings(max_examples=5, deadline=None)
@given(curvature=st.floats(0.1, 100))
def test_gradient_descent_is_stable_below_two_over_the_curvature(curvature):
    assert not grows("gd", curvature, lr=2 / curvature * 0.995)
    assert grows("gd", curvature, lr=2 / curvature * 1.005)


@settings(max_examples=5, deadline=None)
@given(curvature=st.floats(0.1, 100), mu=st.floats(0, 0.98))
def test_momentum_is_stable_below_two_times_one_plus_mu_over_the_curvature(curvature, mu):
    bound = 2 * (1 + mu) / curvature
    assert not grows("momentum", curvature, mu=mu, lr=bound * 0.995)
    assert grows("momentum", curvature, mu=mu, lr=bound * 1.005)


def test_steps_before_take_bias_corrections_away():
    plain = run("adam", "constant_slope", steps=3, steps_before=10**9)
    m, v = plain.slots["m"][1:, 0], plain.slots["v"][1:, 0]
    np.testing.assert_allclose(plain.step[:, 0], -0.001 * m / (np.sqrt(v) + 1e-8), rtol=1e-12)


def test_a_run_stops_when_told():
    result = run("gd", "constant_slope", lr=1.0, steps=50, until=lambda x: x[0] <= -3)
    assert result.steps == 3
    np.testing.assert_array_equal(result.x[:, 0], [0, -1, -2, -3])


def test_divergence_is_recorded_as_such():
    result = run("gd", "rosenbrock", lr=np.array([1e-3, 1.0]), steps=30)
    np.testing.assert_array_equal(result.has_diverged, [False, True])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": np.array([0.1, -1.0])}, "lr = -1.0 is not legal"),
        ({"lr": np.array([0.1, np.nan])}, "lr = nan is not legal"),
        ({"beta": 0.9}, "did you mean"),
        ({"steps": -1}, "steps must be a whole number"),
        ({"start": [1.0, 2.0, 3.0]}, "start must have 2 coordinates"),
        ({"start": [1.0, np.nan]}, "start must be finite"),
        ({"lr": np.ones(2), "eps": np.ones(3)}, "don't broadcast"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        run("adam", "beale", **arguments)
