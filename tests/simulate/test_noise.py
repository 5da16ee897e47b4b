"""Noise: the generator gives the documented bits, each kind the distribution it promises."""

import math

import numpy as np
import pytest

from ravine.simulate import Noise, run
from ravine.simulate.noise import KINDS, bits, uniform


def test_bits_are_those_of_the_documented_recipe():
    def slow(*counters):
        h = 0
        for n in counters:
            z = (h + n + 0x9E3779B9) % 2**32
            z = (z ^ (z >> 16)) * 0x21F0AAAD % 2**32
            z = (z ^ (z >> 15)) * 0xD35A2D97 % 2**32
            h = z ^ (z >> 15)
        return h

    for counters in [(0,), (1,), (0, 0, 1, 0, 0), (7, 3, 11, 1, 1), (2**32 - 1, 5)]:
        assert int(bits(*counters)[0]) == slow(*counters)
    assert [int(bits(*c)[0]) for c in [(0,), (0, 0, 1, 0, 0)]] == [3294826546, 2380088159]
    assert uniform(0)[0] == (3294826546 + 0.5) / 2**32


def test_bits_are_uniform_and_independent_of_their_neighbours():
    u = uniform(3, np.arange(200)[:, None], np.arange(1000))
    counts, _ = np.histogram(u, bins=64, range=(0, 1))
    assert np.sum((counts - u.size / 64) ** 2) / (u.size / 64) < 112  # chi-square, 63 degrees: p = 0.0001
    for a, b in [(u[1:], u[:-1]), (u[:, 1:], u[:, :-1])]:
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / math.sqrt(a.size)


def draws(kind, **options):
    sample = Noise(kind, seed=11, **options).sampler(np.arange(20_000), 2)
    return np.stack([sample(t) for t in range(1, 9)])


def test_gaussian():
    z = draws("gaussian", scale=2.0) / 2
    n = z.size
    assert abs(np.mean(z)) < 4 / math.sqrt(n)
    assert abs(np.var(z) - 1) < 4 * math.sqrt(2 / n)
    assert abs(np.mean(z**4) - 3) < 4 * math.sqrt(96 / n)


def test_heavy_tailed_is_students_t_with_two_degrees():
    z = draws("heavy_tailed", scale=1.0)
    for x in (-5.0, -1.0, 0.0, 0.5, 3.0):
        expected = 0.5 + x / (2 * math.sqrt(2 + x * x))  # its distribution function
        assert abs(np.mean(z < x) - expected) < 4 * math.sqrt(expected * (1 - expected) / z.size)


@pytest.mark.parametrize("batch", [1, 8, 64])
def test_minibatches_visit_every_example_once_an_epoch(batch):
    sample = Noise("minibatch", scale=1.0, batch=batch).sampler(np.array([0, 5]), 2)
    epochs = [np.stack([sample(t) for t in range(1 + e, 1 + e + 64 // batch)]) for e in (0, 64 // batch)]
    for epoch in epochs:
        np.testing.assert_allclose(epoch.sum(axis=0), 0, atol=1e-13)
        if batch == 1:
            np.testing.assert_allclose(np.sort(epoch[:, 1, 0]), math.sqrt(3) * (2 * np.arange(64) - 63) / 64)
    assert batch == 64 or not np.allclose(epochs[0], epochs[1])


def test_a_seed_and_a_stream_fix_the_run():
    for kind in KINDS:
        noise = Noise(kind, 0.3, seed=1)
        one = run("adam", "beale", steps=20, noise=noise)
        two = run("adam", "beale", steps=20, noise=noise, streams=np.array([0, 0, 1]))
        np.testing.assert_array_equal(one.x, two.x[:, 1])
        assert not np.array_equal(two.x[:, 0], two.x[:, 2])
        assert not np.array_equal(one.x, run("adam", "beale", steps=20, noise=Noise(kind, 0.3, seed=2)).x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "gausian"}, "did you mean 'gaussian'"),
        ({"scale": -1.0}, "must be finite and ≥ 0"),
        ({"seed": -1}, "from 0 to"),
        ({"kind": "minibatch", "batch": 7}, "must divide the 64 examples"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Noise(**arguments)
