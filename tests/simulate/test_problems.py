"""Surfaces over data: the data are the published ones, losses and gradients the textbook's, batches as promised."""

import numpy as np
import pytest

import ravine
from ravine.simulate import PROBLEMS, Noise, run, surface
from ravine.simulate.exponential import exponential
from ravine.simulate.problems import PETALS, PIXELS, SCALED, SLICE, SPECIES


def test_the_data_are_those_that_scikit_learn_has():
    datasets = pytest.importorskip("sklearn.datasets", reason="the data are compared with scikit-learn's")
    irises = datasets.load_iris()
    assert np.array_equal(PETALS, np.column_stack([irises.data[:, 2:], irises.target]))
    digits = datasets.load_digits()
    chosen = np.flatnonzero(np.isin(digits.target, (1, 7)))[:150]
    bottom, corner = digits.images[chosen, 7, 4], digits.images[chosen, 1, 1]
    assert np.array_equal(PIXELS, np.column_stack([bottom, corner, digits.target[chosen]]))


def losses(output, wanted, classes):
    """Losses and their derivatives by the output, as textbooks have them."""
    if not classes:
        return (output - wanted) ** 2 / 2, output - wanted
    return np.logaddexp(0, -wanted * output), -wanted / (1 + np.exp(wanted * output))


def model(name, x, y, u, v):
    """Each model's output, and what it changes by with x and with y, written out."""
    match name:
        case "petal_line":
            return x * u + y, u, np.ones_like(u)
        case "petal_kinds":
            u, v = u - u.mean(), v - v.mean()
            return x * u + y * v, u, v
        case "rare_pixel":
            u = u - u.mean()
            return x * u + y * v, u, v
    weights, *by = np.array(SLICE).T
    w = weights + x * by[0] + y * by[1]
    inputs = np.stack([u, v, np.ones_like(u)])
    hidden = np.tanh(w[:6].reshape(2, 3) @ inputs)

    def along(d):
        inner = (1 - hidden**2) * (d[:6].reshape(2, 3) @ inputs)
        return d[6:8] @ hidden + d[8] + w[6:8] @ inner

    return w[6:8] @ hidden + w[8], along(by[0]), along(by[1])


@pytest.mark.parametrize("name", PROBLEMS)
def test_loss_and_gradient_are_the_textbook_s(name):
    chosen = surface(name)
    rows, wanted = chosen.examples.rows, chosen.examples.rows[:, -1]
    for point in np.random.default_rng(1).uniform(*np.transpose(chosen.view), (20, 2)):
        output, by_x, by_y = model(name, *point, rows[:, 0], rows[:, 1])
        loss, slope = losses(output, wanted, chosen.examples.classes)
        assert chosen.value(point) == pytest.approx(loss.mean(), rel=1e-12)
        np.testing.assert_allclose(
            chosen.gradient(point), [(slope * by_x).mean(), (slope * by_y).mean()], rtol=1e-9, atol=1e-12
        )


UNITS = ([0, 1, 2], [3, 4, 5], [6, 7, 8])


def trained(seed, penalty=0.002, steps=3000):
    """The network's nine weights after training all of them, and two random directions as long in each unit."""
    wanted = np.where(SPECIES == 1, 1.0, -1.0)

    def gradient(w):
        hidden = np.tanh(SCALED @ np.array([w[0:2], w[3:5]]).T + w[[2, 5]])
        back = -wanted / (1 + np.exp(wanted * (hidden @ w[6:8] + w[8]))) / len(wanted)
        inner = back[:, None] * w[6:8] * (1 - hidden**2)
        parts = [np.r_[inner[:, k] @ SCALED, inner[:, k].sum()] for k in (0, 1)]
        return np.concatenate([*parts, np.r_[back @ hidden, back.sum()]]) + penalty * w

    random = np.random.default_rng(seed)
    w = random.normal(size=9)
    adam = ravine.recipe("adam", lr=0.05)
    state = adam.init(w)
    for _ in range(steps):
        w, state = adam.update(gradient(w), state, w)
    assert np.abs(gradient(w)).max() < 1e-6
    directions = []
    for _ in range(2):
        d = random.normal(size=9)
        for unit in UNITS:
            d[unit] *= np.linalg.norm(w[unit]) / np.linalg.norm(d[unit])
        directions.append(d)
    return np.stack([w, *directions], axis=1)


def test_the_slice_goes_through_a_trained_network():
    np.testing.assert_allclose(SLICE, trained(seed=5), atol=0.00501)


def test_a_batch_of_all_is_the_whole_gradient_and_an_epoch_has_each_once():
    chosen = surface("petal_line")
    whole = run("gd", chosen, steps=5, lr=0.05)
    np.testing.assert_array_equal(run("gd", chosen, steps=5, lr=0.05, noise=Noise("batches", 150)).x, whole.x)
    still = run("gd", chosen, steps=60, lr=0.0, noise=Noise("batches", 7, seed=2))  # 22 steps an epoch, the last of 3
    sizes = np.array([7] * 21 + [3])
    for epoch in (0, 1):
        part = still.gradient[22 * epoch : 22 * (epoch + 1)]
        np.testing.assert_allclose((part * sizes[:, None]).sum(axis=0) / 150, whole.gradient[0], rtol=1e-12)
    assert len(np.unique(still.gradient[:44, 0])) == 44  # in another order


def test_each_stream_has_batches_of_its_own_as_if_it_were_alone():
    noise = Noise("batches", 10, seed=4)
    both = run("adam", "rare_pixel", steps=40, streams=[0, 9, 0], noise=noise)
    alone = run("adam", "rare_pixel", steps=40, streams=9, noise=noise)
    np.testing.assert_array_equal(both.x[:, 1], alone.x)
    np.testing.assert_array_equal(both.x[:, 0], both.x[:, 2])
    assert not np.array_equal(both.x[:, 0], both.x[:, 1])


def test_batches_are_refused_where_there_is_no_data():
    with pytest.raises(ValueError, match="the surface beale has none; such have: petal_line, petal_kinds"):
        run("gd", "beale", noise=Noise("batches", 5))


def test_the_exponential_is_right_to_two_units_and_never_overflows():
    x = np.concatenate([np.random.default_rng(0).uniform(-50, 50, 100_000), np.linspace(-699, 699, 9999)])
    with np.errstate(all="ignore"):
        exact = np.exp(x.astype(np.longdouble)).astype(float)
    assert np.max(np.abs(exponential(x) - exact) / np.spacing(exact)) <= 2
    assert exponential(np.array(0.0)) == 1.0
    assert np.all(np.isfinite(exponential(np.array([1e300, np.inf, -np.inf]))))
    assert np.isnan(exponential(np.array(np.nan)))
