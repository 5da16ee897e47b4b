"""`ravine.scipy.method` through SciPy's own front door."""

from __future__ import annotations

import numpy as np
import pytest

optimize = pytest.importorskip("scipy.optimize", reason="SciPy is not installed")

import ravine
from ravine import dialects, recipe
from ravine.scipy import method

X0 = [-1.2, 1.0]


def test_it_is_ravines_minimize() -> None:
    chosen = recipe("rmsprop_momentum", lr=1e-3)
    found = optimize.minimize(
        optimize.rosen, X0, method=method(chosen), jac=optimize.rosen_der, options={"maxiter": 300}
    )
    expected = ravine.minimize(optimize.rosen, X0, chosen, jac=optimize.rosen_der, steps=300)
    np.testing.assert_array_equal(found.trajectory, expected.trajectory)
    assert found.nit == 300
    assert found.fun < optimize.rosen(X0)


def test_value_and_gradient_at_once_arguments_and_tolerance() -> None:
    def both(x: np.ndarray, centre: float) -> tuple[float, np.ndarray]:
        return float(np.sum((x - centre) ** 2)), 2 * (x - centre)

    found = optimize.minimize(
        both, np.zeros(3), args=(2.0,), jac=True, method=method("momentum", lr=0.1, mu=0.5), tol=1e-6
    )
    np.testing.assert_allclose(found.x, 2.0, atol=1e-6)
    assert found.status == 0
    assert found.nit < 1000


def test_gtol_is_the_tolerance_where_both_are_given() -> None:
    def stop(**options: float) -> float:
        found = optimize.minimize(
            lambda x: x @ x, X0, jac=lambda x: 2 * x, method=method("gd", lr=0.1), tol=1e-9, options=options
        )
        assert found.status == 0
        return float(np.abs(found.jac).max())

    assert 1e-3 / 2 < stop(gtol=1e-3) <= 1e-3
    assert stop() <= 1e-9


def test_differences_where_no_gradient_is_given() -> None:
    found = optimize.minimize(lambda x: float(np.sum(x**2)), [1.0, -2.0], method=method("gd", lr=0.1))
    np.testing.assert_allclose(found.x, 0, atol=1e-6)


def test_a_callback_stops_it(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[np.ndarray] = []

    def stop(x: np.ndarray) -> bool:
        seen.append(x)
        return len(seen) == 5

    found = optimize.minimize(
        optimize.rosen,
        X0,
        method=method(dialects.keras.Adam()),
        jac=optimize.rosen_der,
        callback=stop,
        options={"disp": True},
    )
    assert found.nit == 5
    assert "the callback stopped it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bounds": [(0, 1), (0, 1)]}, "bounds"),
        ({"constraints": {"type": "eq", "fun": sum}}, "constraints"),
        ({"hess": optimize.rosen_hess}, "hess"),
        ({"options": {"maxitr": 3}}, "did you mean 'maxiter'"),
        ({"options": {"maxiter": -1}}, "at least 0"),
    ],
)
def test_what_it_can_not_do_is_refused_by_name(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        optimize.minimize(optimize.rosen, X0, method=method("adam"), jac=optimize.rosen_der, **arguments)
