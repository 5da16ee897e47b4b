"""Gradients so large that their square overflows, so steady that their variance is a rounding error, and zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ravine
from ravine.transforms import stored_at_look_ahead

LARGEST = float(np.finfo(np.float32).max)
CENTRED = [n for n in ravine.rules() if n.endswith("centered")]


def run(name: str, gradients: np.ndarray, **hyper: float) -> tuple[list[Any], list[dict[str, Any]]]:
    """Points and states, in the gradients' type."""
    recipe = ravine.recipe(stored_at_look_ahead(ravine.rule(name)), **hyper)
    x = np.zeros_like(gradients[0])
    state, points, states = recipe.init(x), [x], []
    for g in gradients:
        x, state = recipe.update(g, state, x)
        points.append(x)
        states.append(state.slots)
    return points, states


@pytest.mark.parametrize("peak", [3e19, 1.5e20])
@pytest.mark.parametrize("name", ravine.rules())
def test_state_overflows_only_where_its_exact_value_does(name: str, peak: float) -> None:
    g = np.ones((12, 2))
    g[3] = -peak
    _, exact = run(name, g)
    _, found = run(name, g.astype(np.float32))
    fits = [all(np.all(np.abs(value) < LARGEST) for value in slots.values()) for slots in exact]
    for t, slots in enumerate(exact):
        if not all(fits[: t + 1]):
            break
        for slot, value in slots.items():
            np.testing.assert_allclose(found[t][slot], value, rtol=1e-4, err_msg=f"{slot} after step {t + 1}")


@pytest.mark.parametrize("name", ["adam", "amsgrad"])
def test_adam_steps_on_after_a_gradient_whose_corrected_square_overflows(name: str) -> None:
    g = np.ones((12, 2))
    g[3] = 1.5e20
    exact, _ = run(name, g)
    found, _ = run(name, g.astype(np.float32))
    np.testing.assert_allclose(np.diff(found, axis=0), np.diff(exact, axis=0), rtol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "rho", "steps"), [(np.float32, 0.9, 300), (np.float64, 0.9, 400), (np.float32, 0.99, 2000)]
)
@pytest.mark.parametrize("name", CENTRED)
def test_a_steady_gradient_gives_no_nan(name: str, dtype: Any, rho: float, steps: int) -> None:
    g = np.random.default_rng(0).standard_normal(500).astype(dtype)
    points, states = run(name, np.broadcast_to(g, (steps, *g.shape)), rho=rho)
    assert np.isfinite(points[-1]).all()
    s, a = states[-1]["s"].astype(np.float64), states[-1]["a"].astype(np.float64)
    assert (s < a * a).any()  # or this test would say nothing


@pytest.mark.parametrize("name", ravine.rules())
def test_gradients_of_zero_do_no_harm(name: str) -> None:
    """As those of a unit that is dead, or of a factor of LoRA in the first step; then others come."""
    recipe = ravine.recipe(stored_at_look_ahead(ravine.rule(name)))
    for shape in ((3, 2), (2,)):
        x = np.ones(shape, np.float32)
        state = recipe.init(x)
        for size in (0.0, 0.0, 1e-3, 0.0, 1.0):
            x, state = recipe.update(np.full_like(x, size), state, x)
        assert np.isfinite(x).all()
