"""`ravine.minimize` keeps SciPy's conventions, for every rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ravine

pytest.importorskip("scipy")


def bowl(x: Any) -> Any:
    return 0.5 * (x[..., 0] ** 2 + 10 * x[..., 1] ** 2)


def slope(x: Any) -> Any:
    return x * np.array([1.0, 10.0])


@pytest.mark.parametrize("name", list(ravine.rules()))
def test_every_rule_goes_down(name: str) -> None:
    result = ravine.minimize(bowl, [1.0, 1.0], name, jac=slope, steps=50)
    assert result.fun < bowl(np.ones(2))
    assert result.success
    assert result.status == 1
    assert result.nit == 50
    assert result.trajectory.shape == (51, 2)
    if ravine.rule(name).read_out_function is None:
        np.testing.assert_array_equal(result.trajectory[-1], result.x)
    np.testing.assert_array_equal(result.jac, slope(result.x))


def test_a_batch_of_starts_is_each_start_alone() -> None:
    starts = np.random.default_rng(0).standard_normal((4, 2))
    for name in ("adam", "nesterov", "rmsprop_nesterov"):
        together = ravine.minimize(bowl, starts, name, jac=slope, steps=30)
        assert together.trajectory.shape == (31, 4, 2)
        assert together.fun.shape == (4,)
        for i, start in enumerate(starts):
            alone = ravine.minimize(bowl, start, name, jac=slope, steps=30)
            np.testing.assert_array_equal(together.trajectory[:, i], alone.trajectory)


def test_the_gradient_may_come_with_the_value_or_from_differences() -> None:
    given = ravine.minimize(bowl, [1.0, 1.0], "adam", jac=slope, steps=20)
    both = ravine.minimize(lambda x: (bowl(x), slope(x)), [1.0, 1.0], "adam", jac=True, steps=20)
    differences = ravine.minimize(bowl, [1.0, 1.0], "adam", steps=20)
    np.testing.assert_array_equal(given.x, both.x)
    np.testing.assert_allclose(differences.x, given.x, rtol=1e-5)
    assert (given.nfev, given.njev) == (21, 21)
    assert (differences.nfev, differences.njev) == (21 * 3, 0)


def test_differences_are_as_accurate_as_forward_ones_can_be() -> None:
    """The error of exp(x/a) at a is h/2a of the gradient, and h is √epsilon = 1.5e-8 of the coordinate's size, a."""
    for a in (1.0, 1000.0):
        found = ravine.minimize(lambda x, a: np.exp(x[0] / a), [a], "gd", args=(a,), steps=0).jac[0]
        np.testing.assert_allclose(found, np.e / a, rtol=5e-8)


def test_look_ahead_rules_get_the_gradient_at_the_look_ahead_point() -> None:
    asked: list[float] = []

    def jac(x: Any) -> Any:
        asked.append(float(x[0]))
        return np.array([1.0])

    ravine.minimize(lambda x: x[0], [0.0], ravine.recipe("nesterov", lr=1.0, mu=0.5), jac=jac, steps=2)
    # x: 0, −1, −2.5; look-ahead points 0, −1 − 0.5
    assert asked == [0.0, 0.0, -1.0, -1.5, -2.5]


def test_float32_stays_and_integers_become_float64() -> None:
    assert ravine.minimize(bowl, np.ones(2, np.float32), "adam", jac=slope, steps=3).x.dtype == np.float32
    assert ravine.minimize(bowl, [1, 1], "adam", jac=slope, steps=3).x.dtype == np.float64


def test_it_stops_when_the_gradient_is_within_tol() -> None:
    result = ravine.minimize(bowl, [1.0, 1.0], "gd", jac=slope, steps=10_000, tol=1e-3, lr=0.05)
    assert result.status == 0
    assert result.success
    assert np.abs(result.jac).max() <= 1e-3
    assert result.nit < 10_000
    assert ravine.minimize(bowl, [0.0, 0.0], "gd", jac=slope).nit == 0  # exactly tol is within tol, zero too


@pytest.mark.parametrize("stop", ["true", "StopIteration"])
def test_the_callback_can_stop_it(stop: str) -> None:
    seen: list[Any] = []

    def callback(x: Any) -> bool:
        seen.append(x)
        if len(seen) == 5 and stop == "StopIteration":
            raise StopIteration
        return len(seen) == 5

    result = ravine.minimize(bowl, [1.0, 1.0], "adam", jac=slope, callback=callback)
    assert (result.nit, result.status, result.success) == (5, 3, False)
    np.testing.assert_array_equal(np.stack(seen), result.trajectory[1:])


@pytest.mark.parametrize("name", ["adam", "nesterov"])
def test_a_nan_is_a_status_and_says_at_which_step(name: str) -> None:
    def jac(x: Any) -> Any:
        return np.full(2, np.nan) if x[0] < 0.9 else slope(x)

    result = ravine.minimize(bowl, [1.0, 1.0], name, jac=jac, steps=500, lr=0.02)
    assert result.status == 2
    assert not result.success
    assert f"not finite at step {result.nit}" in result.message


def test_divergence_is_a_status() -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        result = ravine.minimize(bowl, [1.0, 1.0], "gd", jac=slope, steps=5000, lr=1.0)
    assert result.status == 2
    assert np.all(np.isfinite(result.trajectory[-2]))


def test_functions_cannot_change_the_trajectory() -> None:
    def meddling(x: Any) -> Any:
        value = bowl(x)
        x[:] = 99
        return value

    a = ravine.minimize(meddling, [1.0, 1.0], "adam", jac=slope, steps=5)
    b = ravine.minimize(bowl, [1.0, 1.0], "adam", jac=slope, steps=5)
    np.testing.assert_array_equal(a.trajectory, b.trajectory)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x0": []}, "x0 is empty"),
        ({"x0": [np.nan]}, "not finite"),
        ({"x0": ["a"]}, "x0 must be real numbers"),
        ({"steps": -1}, "steps must be a whole number"),
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"tol": -1.0}, "tol must be at least 0"),
        ({"jac": 3}, "jac must be a function"),
        ({"jac": lambda x: x[:1]}, r"gradient of shape \(2,\)"),
        ({"fun": lambda x: x}, r"fun must return values of shape \(\)"),
        ({"callback": 3}, "callback must be a function"),
        ({"fun": 3}, "fun must be a function"),
        ({"fun": lambda x: None}, "fun must return real numbers, got None"),
        ({"jac": lambda x: None}, "jac must return real numbers, got None"),
        ({"jac": True}, "with jac=True fun must return .value, gradient."),
        ({"tol": "small"}, "tol must be at least 0, got 'small'"),
        ({"method": "adamm"}, "did you mean 'adam'"),
    ],
)
def test_wrong_arguments(change: dict[str, Any], message: str) -> None:
    arguments = {"fun": bowl, "x0": [1.0, 1.0], "method": "adam", "jac": slope} | change
    with pytest.raises((ValueError, TypeError), match=message):
        ravine.minimize(**arguments)
