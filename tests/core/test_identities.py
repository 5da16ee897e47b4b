"""What theory says of the rules: equalities between them, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

import ravine
from evidence import STEPS, follow, stream

RNG = np.random.default_rng(0)


def steps(name: str, gradients: np.ndarray, **hyper: float) -> np.ndarray:
    """The steps a rule takes from rest on given gradients."""
    recipe = ravine.recipe(name, **hyper)
    x = np.zeros_like(gradients[0])
    state, points = recipe.init(x), [x]
    for g in gradients:
        x, state = recipe.update(g, state, x)
        points.append(x)
    return np.diff(points, axis=0)


def test_adam_without_momentum_is_rmsprop_corrected_for_bias() -> None:
    g = RNG.standard_normal((60, 5))
    found = steps("adam", g, lr=0.1, beta1=0.0, beta2=0.9, eps=0.0)
    rmsprop = steps("rmsprop_torch", g, lr=0.1, rho=0.9, eps=0.0)
    correction = np.sqrt(1 - 0.9 ** np.arange(1, 61))[:, None]
    np.testing.assert_allclose(found, rmsprop * correction, rtol=1e-9)


def test_averaged_momentum_is_heavy_ball_with_a_smaller_learning_rate() -> None:
    averaged = follow(ravine.rule("momentum_ema"), {"lr": 0.5, "beta": 0.8}, drop=1.0).points
    ball = follow(ravine.rule("momentum"), {"lr": 0.5 * (1 - 0.8), "mu": 0.8}, drop=1.0).points
    np.testing.assert_allclose(averaged, ball, rtol=1e-12, atol=1e-13)


def test_look_ahead_nesterov_stored_at_the_look_ahead_point_is_the_usual_form() -> None:
    ahead = follow(ravine.rule("nesterov"), {"lr": 0.1, "mu": 0.9}, drop=1.0).points
    usual = follow(ravine.rule("nesterov_torch"), {"lr": 0.1, "mu": 0.9}, drop=1.0).points
    np.testing.assert_allclose(ahead, usual, rtol=1e-12, atol=1e-12)


def test_nesterov_really_looks_ahead() -> None:
    """On f = x²/2 the method with gradients at x + μΔ has the closed recurrence x' = (1 − lr)(x + μΔ)."""
    recipe = ravine.recipe("nesterov", lr=0.3, mu=0.5)
    result = ravine.minimize(lambda x: x[0] ** 2 / 2, [1.0], recipe, jac=lambda x: x, steps=20)
    x = [1.0, 0.7]
    for _ in range(19):
        x.append((1 - 0.3) * (x[-1] + 0.5 * (x[-1] - x[-2])))
    np.testing.assert_allclose(result.trajectory[:, 0], x, rtol=1e-12)


def test_adam_moves_at_speed_lr_under_a_constant_gradient() -> None:
    for slope in (3.0, -0.02):
        found = steps("adam", np.full((100, 1), slope), lr=0.01, eps=0.0)
        np.testing.assert_allclose(found, -0.01 * np.sign(slope), rtol=1e-10)


@pytest.mark.parametrize("mu", [0.5, 0.9])
def test_rmsprop_with_momentum_accelerates_to_lr_over_one_minus_mu(mu: float) -> None:
    found = steps("rmsprop_momentum", np.full((600, 1), 3.0), lr=0.01, rho=0.9, mu=mu, eps=0.0)
    assert found[-1, 0] == pytest.approx(-0.01 / (1 - mu), rel=1e-9)


def test_adam_with_eps_hat_is_adam_when_eps_is_zero() -> None:
    g = stream()
    found = steps("adam_eps_hat", g[:, :4], eps=0.0)
    np.testing.assert_allclose(found, steps("adam", g[:, :4], eps=0.0), rtol=1e-10)


def test_amsgrad_is_adam_while_v_grows() -> None:
    g = np.cumsum(np.abs(RNG.standard_normal((STEPS, 3))), axis=0)
    np.testing.assert_array_equal(steps("amsgrad", g), steps("adam", g))


def test_lion_moves_every_coordinate_by_lr() -> None:
    found = steps("lion", RNG.standard_normal((30, 4)), lr=0.125)
    np.testing.assert_array_equal(np.abs(found), 0.125)


def test_torch_momentum_keeps_lr_outside_the_buffer() -> None:
    """After lr drops tenfold with no further gradient, the next steps differ tenfold: 9 times in the difference."""
    push = [np.ones(1)] + [np.zeros(1)] * 3
    taken = {}
    for name in ("momentum", "momentum_torch"):
        recipe = ravine.recipe(name, lr=1.0, mu=0.9)
        x, state, points = np.zeros(1), recipe.init(np.zeros(1)), [0.0]
        for t, g in enumerate(push):
            x, state = recipe.update(g, state, x, lr=1.0 if t < 2 else 0.1)
            points.append(float(x[0]))
        taken[name] = np.diff(points)
    np.testing.assert_allclose(taken["momentum"][2:], 10 * taken["momentum_torch"][2:], rtol=1e-12)


def test_centred_rmsprop_ignores_a_constant_gradient_scale_when_noise_is_small() -> None:
    """The centred root measures spread, so a steady gradient with little noise gives far longer steps."""
    g = 1.0 + 0.01 * RNG.standard_normal((400, 1))
    plain, centred = (steps(n, g, rho=0.9, eps=1e-12)[-1, 0] for n in ("rmsprop", "rmsprop_centered"))
    assert abs(centred) > 20 * abs(plain)
