"""Functions of the user's own: the gradient is right, and the surface says where it came from."""

import numpy as np
import pytest

from ravine.simulate import from_function, run
from ravine.simulate.functions import find

POINTS = np.random.default_rng(6).uniform(-2, 2, (7, 2))


def arctan_gradient(points):
    x, y = np.moveaxis(points, -1, 0)
    return np.stack([y / (1 + x * x), np.arctan(x)], axis=-1)


def test_arithmetic_is_traced():
    made = from_function(lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2)
    assert made.gradient_by == "symbolic"
    assert made.graph is not None
    x, y = POINTS.T
    expected = np.stack([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)], axis=-1)
    np.testing.assert_allclose(made.gradient(POINTS), expected, rtol=1e-12, atol=1e-10)


def test_numpy_beyond_the_table_is_differenced():
    made = from_function(lambda x, y: np.arctan(x) * y)
    assert made.gradient_by == "differences"
    np.testing.assert_allclose(made.gradient(POINTS), arctan_gradient(POINTS), atol=1e-9)


def test_jax():
    jnp = pytest.importorskip("jax.numpy")
    made = from_function(lambda x, y: jnp.arctan(x) * y)
    assert made.gradient_by == "jax"
    np.testing.assert_allclose(made.gradient(POINTS), arctan_gradient(POINTS), rtol=1e-14, atol=1e-15)
    assert made.value(POINTS).dtype == np.float64


def test_torch():
    torch = pytest.importorskip("torch")
    made = from_function(lambda x, y: torch.arctan(x) * y)
    assert made.gradient_by == "torch"
    np.testing.assert_allclose(made.gradient(POINTS), arctan_gradient(POINTS), rtol=1e-14, atol=1e-15)


def test_given_gradients_and_refusals():
    made = from_function(lambda x: np.arctan(x), gradient=lambda x: 1 / (1 + x * x))
    assert made.gradient_by == "given"
    assert made.gradient([1.0]) == [0.5]
    with pytest.raises(TypeError, match="can't be had by symbolic"):
        from_function(lambda x: np.arctan(x), gradient="symbolic")
    with pytest.raises(ValueError, match="did you mean 'symbolic'"):
        from_function(lambda x: x, gradient="symbollic")
    with pytest.raises(ValueError, match="pairs"):
        from_function(lambda x, y: x, view=[(0, 1)])
    with pytest.raises(TypeError, match="can't be had by differences: division"):
        from_function(lambda x: 1 / 0)


def test_a_surface_from_a_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def valley(x, y, *, k=3.0):\n    return x * x + k * abs(y)\nnumber = 3\n")
    found = find(f"{file}:valley")
    assert found.with_parameters(k=5.0).value([1.0, -2.0]) == 11.0
    assert run("gd", found, start=[1.0, 0.5], steps=1, lr=0.5).x[-1].tolist() == [0.0, -1.0]
    assert find("beale").name == "beale"
    with pytest.raises(ValueError, match="did you mean 'valley'"):
        find(f"{file}:vally")
    with pytest.raises(ValueError, match="no such file"):
        find("nowhere.py:f")
    file.with_name("bad.py").write_text("x = 1\ny = nothing\n")
    with pytest.raises(ValueError, match=r"bad\.py, line 2: NameError"):
        find(f"{file.with_name('bad.py')}:f")
