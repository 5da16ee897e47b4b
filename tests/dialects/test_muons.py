"""The Muons of the frameworks: what differs, and lr from one to another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ravine import Recipe, dialects
from ravine.dialects.compare import compare
from ravine.dialects.terms import differences
from ravine.userfile import load

ROOT = Path(__file__).parents[2]
SHAPES = [(6, 3), (3, 6), (4, 4)]


PAGE = load(ROOT / "tools" / "muon_page.py")


def test_the_page_is_current() -> None:
    assert PAGE.page() == (ROOT / "docs" / "muon.md").read_text(encoding="utf-8"), "run `make docs`"


def trajectory(chosen: Recipe, shape: tuple[int, int], is_transposed: bool) -> np.ndarray:
    """The points of a run, as outputs × inputs."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=shape)
    x = x.T if is_transposed else x
    state, points = chosen.init(x), []
    for _ in range(12):
        g = rng.normal(size=shape)
        x, state = chosen.update(g.T if is_transposed else g, state, x)
        points.append(x.T if is_transposed else x)
    return np.stack(points)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_page_s_factors_turn_one_into_the_other(shape: tuple[int, int]) -> None:
    """With lr multiplied and λ divided by them, Keras's runs as torch's do, but for ε, and in its own layout."""
    muons = {m.name: m for m in PAGE.MUONS}
    plain, keras = muons["torch.optim.Muon"], muons["keras.optimizers.Muon"]
    as_adamw = muons['torch.optim.Muon(adjust_lr_fn="match_rms_adamw")']
    wanted = trajectory(dialects.torch.Muon(lr=0.02, weight_decay=0.1), shape, False)
    for other, make in (
        (as_adamw, lambda lr, λ: dialects.torch.Muon(lr=lr, weight_decay=λ, adjust_lr_fn="match_rms_adamw")),
        (keras, lambda lr, λ: dialects.keras.Muon(lr, weight_decay=λ)),
    ):
        factor = plain.scale(*shape) / other.scale(*shape)
        found = trajectory(make(0.02 * factor, 0.1 / factor), shape, other.is_transposed)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
        wrong = trajectory(make(0.02, 0.1), shape, other.is_transposed)
        assert np.abs(wrong - wanted).max() > 0.01


def test_optax_s_differs_in_early_directions_alone() -> None:
    ours, theirs = dialects.torch.Muon(lr=0.02, weight_decay=0.0), dialects.optax.contrib.muon(0.02)
    rng = np.random.default_rng(5)
    x = rng.normal(size=(4, 4))
    a, b = ours.init(x), theirs.init(x)
    gaps = []
    for _ in range(120):
        g = rng.normal(size=(4, 4))
        first, a = ours.update(g, a, x)
        second, b = theirs.update(g, b, x)
        gaps.append(np.linalg.norm(first - second) / 0.02)
    assert gaps[0] < 1e-6  # all of it is the gradient
    assert max(gaps[1:5]) > 0.05
    assert max(gaps[-10:]) < 0.02


def test_terms_are_named() -> None:
    found = differences(dialects.torch.Muon(lr=0.1).rule, dialects.keras.Muon().rule)
    assert found["scaling"] == ("√(max(1, r / c))", "√(max(r, c))")
    assert found["momentum kept as"] == ("an average of gradients", "a sum of gradients")
    assert "orthogonalized" not in found
    plain = differences(dialects.torch.Muon(lr=0.1).rule, dialects.torch.Muon(lr=0.1, nesterov=False).rule)
    assert list(plain) == ["orthogonalized"]
    layout = differences(dialects.torch.Muon(lr=0.1).rule, dialects.optax.contrib.muon(0.1).rule)
    assert layout["scaling"] == ("√(max(1, r / c))", "√(max(1, c / r))")
    assert layout["correction for the start"] == ("none", "of m and g")


def test_the_scaling_is_what_matters_most_between_torch_and_keras() -> None:
    found = compare(dialects.torch.Muon(lr=0.001, weight_decay=0.0), dialects.keras.Muon(0.001, weight_decay=0.0))
    assert found.responsible is not None
    assert found.responsible.term in ("scaling", "all of the equation")


def test_contrib_is_found_in_a_line_of_a_program() -> None:
    constructor, given = dialects.parse("tx = optax.contrib.muon(0.02, consistent_rms=0.2)")
    assert str(constructor) == "optax.contrib.muon"
    assert constructor(**given) == dialects.optax.contrib.muon(0.02, consistent_rms=0.2)
    assert dialects.torch.Muon(lr=0.02, adjust_lr_fn="match_rms_adamw", weight_decay=0.0).to("torch").call == (
        "torch.optim.Muon(params, lr=0.02, weight_decay=0.0, adjust_lr_fn='match_rms_adamw')"
    )
    assert dialects.keras.Muon(ns_steps=7).to("keras").call == "keras.optimizers.Muon(ns_steps=7)"
    assert dialects.optax.contrib.muon(0.02).to("optax").call == "optax.contrib.muon(learning_rate=0.02)"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: dialects.torch.Muon(lr=0.1, adjust_lr_fn="keras"), "Adjust learning rate function keras"),
        (lambda: dialects.keras.Muon(rms_rate=None), "rms_rate must be a number"),
        (lambda: dialects.keras.Muon(nesterov=False), "nesterov=False is not supported"),
        (lambda: dialects.optax.contrib.muon(0.1, ns_coeffs="dion"), "must be three numbers"),
        (lambda: dialects.optax.contrib.muon(0.1, preconditioning="aol"), "Frobenius"),
        (lambda: dialects.find("optax.contrib.moun"), "did you mean 'contrib.muon'"),
    ],
)
def test_what_no_rule_has_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
