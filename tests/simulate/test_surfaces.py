"""Surfaces: the gradient is that of the value, the facts stated about each are so."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ravine.simulate import PROBLEMS, SURFACES, surface
from ravine.simulate.expression import TRANSCENDENTAL, Program, apply, derivative, variable
from ravine.simulate.surface import trace
from ravine.trace.graph import OPERATIONS as RULE_OPERATIONS

NAMES = sorted(SURFACES)


def complex_step(output, name, values):
    """The derivative by one input from a step along the imaginary axis: no cancellation, so exact to rounding."""
    step = 1e-30
    inputs = {n: complex(v, step if n == name else 0.0) for n, v in values.items()}
    return Program([output])(inputs)[0].imag / step


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(PROBLEMS)))
def test_gradient_is_the_derivative_of_the_value(name):
    chosen = surface(name)
    rng = np.random.default_rng(1)
    for point in rng.uniform(*np.transpose(chosen.domain), (20, chosen.dimension)):
        if name == "kinked_valley":
            expected = [1.0 if point[0] > 0 else -0.1]
        else:
            values = {**dict(zip("xy", point, strict=False)), **chosen.parameters}
            expected = [complex_step(chosen.graph.value, n, values) for n in "xy"[: chosen.dimension]]
        np.testing.assert_allclose(chosen.gradient(point), expected, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_minima_are_minima(name):
    chosen = surface(name)
    (low, *_), (high, *_) = np.transpose(chosen.domain)
    cloud = np.random.default_rng(2).uniform(low, high, (20_000, chosen.dimension))
    if chosen.minimum is None:
        assert not chosen.minima
        return
    assert np.all(chosen.value(cloud) >= chosen.minimum)
    for point in chosen.minima:
        assert chosen.value(point) == pytest.approx(chosen.minimum, abs=1e-13)
        if name != "kinked_valley":
            np.testing.assert_allclose(chosen.gradient(point), 0.0, atol=1e-12)
    for start, (low, high) in zip(chosen.start, chosen.view, strict=True):
        assert low <= start <= high


def test_only_rastrigin_needs_more_than_exact_arithmetic():
    assert [n for n in NAMES if not SURFACES[n].is_exact] == ["rastrigin"]


def test_rules_get_no_transcendental_functions():
    assert not set(TRANSCENDENTAL) & set(RULE_OPERATIONS)


@given(condition=st.floats(1, 1e4), tilt=st.floats(-5, 5))
def test_oblong_bowl_has_the_curvatures_it_promises(condition, tilt):
    bowl = surface("oblong_bowl", condition=condition, tilt=tilt)
    hessian = bowl.gradient(np.eye(2))  # a quadratic's gradient at a unit vector is a column of its Hessian
    np.testing.assert_allclose(np.linalg.eigvalsh(hessian), [1, condition], rtol=1e-9)
    long_axis = np.array([1.0, tilt]) / np.hypot(1, tilt)
    np.testing.assert_allclose(hessian @ long_axis, long_axis, atol=1e-11 * condition)


def test_points_keep_their_shape():
    points = np.random.default_rng(3).normal(size=(4, 3, 2))
    assert surface("beale").value(points).shape == (4, 3)
    assert surface("beale").gradient(points).shape == (4, 3, 2)
    np.testing.assert_array_equal(surface("beale").gradient(points)[1, 2], surface("beale").gradient(points[1, 2]))
    slope = surface("constant_slope", slope=2.0)
    np.testing.assert_array_equal(slope.gradient(np.zeros((5, 1))), np.full((5, 1), 2.0))


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="did you mean 'rosenbrock'"):
        surface("rosenbrok")
    with pytest.raises(ValueError, match="did you mean 'condition'"):
        surface("oblong_bowl", conditon=3.0)
    with pytest.raises(ValueError, match="condition must be a finite number"):
        surface("oblong_bowl", condition=np.inf)
    with pytest.raises(ValueError, match="2 coordinates in the last axis, got shape \\(3,\\)"):
        surface("beale").value(np.zeros(3))


FUNCTIONS = {
    "sin": np.sin,
    "cos": np.cos,
    "exp": np.exp,
    "log": lambda x: np.log(x * x + 1),
    "tanh": lambda x: apply("tanh", x),
    "sqrt": lambda x: np.sqrt(x * x + 2),
    "powers": lambda x: x**5 - np.square(x) / (3 + x**2) - (-x) ** 3,
    "quotient": lambda x: 1 / (1 + np.exp(-x)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@given(x=st.floats(-3, 3))
def test_every_differentiation_rule(name, x):
    value = FUNCTIONS[name](variable("x")).node
    slope = Program([derivative(value, variable("x").node)])({"x": x})[0]
    assert slope == pytest.approx(complex_step(value, "x", {"x": x}), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("function", "at", "slope"),
    [
        (np.abs, -2.0, -1.0),
        (np.abs, 0.0, 0.0),
        (lambda x: np.maximum(x, 2 * x), -1.0, 1.0),
        (lambda x: np.maximum(x, 2 * x), 1.0, 2.0),
        (lambda x: np.minimum(x, 2 * x), 1.0, 1.0),
        (lambda x: np.sign(x) * x, -3.0, -1.0),
        (lambda x: 5.0, 1.0, 0.0),
    ],
)
def test_slopes_beside_kinks(function, at, slope):
    graph = trace(lambda x: function(x))
    assert Program(graph.gradient)({"x": np.array(at)})[0] == slope


def test_what_has_no_symbolic_form_is_refused():
    with pytest.raises(TypeError, match="arctan has no symbolic form"):
        np.arctan(variable("x"))
    with pytest.raises(TypeError, match="whole powers"):
        variable("x") ** 0.5
    with pytest.raises(TypeError, match="function of x, or of x and y"):
        trace(lambda x, y, z: x)
