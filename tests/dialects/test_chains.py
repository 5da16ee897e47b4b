"""optax's chains and wrappers: read from text, run as the real ones do, and written where one link is not enough."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ravine import Recipe, dialects
from ravine.dialects import chains

LIVE = [
    "optax.chain(optax.add_decayed_weights(0.01), optax.sgd(0.1, momentum=0.9))",
    "optax.chain(optax.clip(0.5), optax.adam(0.01))",
    "optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.01))",
    "optax.chain(optax.clip_by_global_norm(max_norm=1.0), optax.add_decayed_weights(0.1), optax.sgd(0.1))",
    "optax.chain(optax.clip(0.5), optax.add_decayed_weights(0.1), optax.rmsprop(0.01, momentum=0.9))",
    "optax.chain(optax.add_decayed_weights(0.1), optax.clip(0.5), optax.adam(0.01))",
    "optax.chain(optax.scale(-1.0), optax.adagrad(0.1))",
    "optax.chain(optax.scale_by_adam(b1=0.8), optax.scale(-0.01))",
    "optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(0.1), optax.scale_by_learning_rate(0.01))",
    "optax.chain(optax.scale_by_rms(0.9, 1e-6), optax.scale(-0.01))",
    "optax.chain(optax.scale_by_stddev(0.9, 1e-3, initial_scale=0.1), optax.scale(-0.01))",
    "optax.chain(optax.scale_by_rms(), optax.scale(-0.01), optax.trace(0.9))",
    "optax.chain(optax.trace(decay=0.9, nesterov=True), optax.scale(-0.1))",
    "optax.chain(optax.scale_by_lion(), optax.scale(-0.01))",
    "optax.chain(optax.scale_by_rss(0.1), optax.scale(-0.1))",
    "optax.chain(optax.scale_by_amsgrad(), optax.scale(-0.1), optax.scale(0.1))",
    "optax.chain(optax.scale_by_adamax(), optax.scale_by_learning_rate(learning_rate=0.01))",
    "optax.inject_hyperparams(optax.adamw)(learning_rate=0.01, weight_decay=0.1)",
    "optax.apply_if_finite(optax.chain(optax.clip(0.5), optax.adam(0.01)), max_consecutive_errors=3)",
    "optax.MultiSteps(optax.adam(0.01), every_k_schedule=1).gradient_transformation()",
    "optax.chain(optax.chain(optax.zero_nans(), optax.clip(0.5)), optax.sgd(0.1))",
]


def made(line: str) -> Recipe:
    constructor, given = dialects.parse(line)
    return constructor(**given)


SLOW = ("zero_nans", "MultiSteps", "apply_if_finite")  # other links, and control flow that JAX takes seconds to compile


@pytest.mark.parametrize("line", [line for line in LIVE if not any(name in line for name in SLOW)])
def test_a_chain_is_followed(line: str) -> None:
    """Ten steps of the real chain, and of the recipe; optax's 1 − βᵗ is float32."""
    optax = pytest.importorskip("optax", reason="optax is not installed")
    import jax.numpy as jnp

    tx, ours = eval(line, {"optax": optax}), made(line)
    start = np.array([1.0, -2.0, 0.5], np.float32)
    x, theirs = start, jnp.asarray(start)
    mine, state = ours.init(x), tx.init(theirs)
    for t in range(10):
        g = np.random.default_rng(t).normal(size=3).astype(np.float32)
        x, mine = ours.update(g, mine, x)
        updates, state = tx.update(jnp.asarray(g), state, theirs)
        theirs = optax.apply_updates(theirs, updates)
    np.testing.assert_allclose(x, theirs, rtol=2e-5)
    assert np.all(np.abs(x - start) > 1e-3)


@pytest.mark.parametrize("line", LIVE)
def test_a_chain_is_read_as_it_is_written(line: str) -> None:
    first = dialects.canonical(line)
    assert dialects.canonical(first) == first
    assert dialects.is_line(line)
    if "zero_nans" not in line:
        assert made(first) == made(line)


WRITTEN = {
    dialects.torch.SGD(lr=0.1, momentum=0.9, weight_decay=0.01): (
        "optax.chain(optax.add_decayed_weights(0.01), optax.sgd(learning_rate=0.1, momentum=0.9))"
    ),
    dialects.torch.Adam(weight_decay=0.1, maximize=True): (
        "optax.chain(optax.scale(-1.0), optax.add_decayed_weights(0.1), optax.adam(learning_rate=0.001))"
    ),
    dialects.keras.Adadelta(1.0, clipvalue=0.5): (
        "optax.chain(optax.clip(0.5), optax.adadelta(learning_rate=1.0, rho=0.95, eps=1e-07))"
    ),
    dialects.torch.Adadelta(weight_decay=0.1): "optax.adadelta(learning_rate=1.0, weight_decay=0.1)",
}


@pytest.mark.parametrize("chosen", WRITTEN, ids=str)
def test_a_recipe_is_written_as_a_chain_where_it_takes_one(chosen: Recipe) -> None:
    spelled = chosen.to("optax")
    assert (spelled.call, spelled.grade) == (WRITTEN[chosen], "exact")
    assert made(spelled.call) == chosen


BESIDE = {
    "optax.chain(optax.adaptive_grad_clip(0.1), optax.adamw(1e-3))": ("optax.adaptive_grad_clip(0.1)",),
    "optax.MultiSteps(optax.adam(0.01), every_k_schedule=4)": ("optax.MultiSteps(..., every_k_schedule=4)",),
    "optax.chain(optax.zero_nans(), optax.clip(1.0), optax.sgd(0.1))": ("optax.zero_nans()",),
}


@pytest.mark.parametrize("line", BESIDE)
def test_what_no_recipe_does_is_kept_apart(line: str) -> None:
    constructor, _ = dialects.parse(line)
    assert isinstance(constructor, chains.Chain)
    assert constructor.beside == BESIDE[line]


REFUSED = {
    "optax.chain(optax.clip(1.0))": "there is no optimizer among clip",
    "optax.chain(optax.adam(0.1), optax.scale(0.5))": r"optax.scale\(0.5\) stands behind optax.adam",
    "optax.chain(optax.scale(0.5), optax.adam(0.1))": "is no transform of a recipe",
    "optax.chain(optax.clip(1.0), optax.clip_by_global_norm(1.0), optax.adam(0.1))": "so it must be outermost",
    "optax.chain(optax.clip(1.0), optax.centralize(), optax.adam(0.1))": "stands behind clip, and no",
    "optax.chain(optax.scale_by_adam())": "there must be the learning rate",
    "optax.chain(optax.scale_by_adam(), optax.scale(0.1))": "there must be the learning rate",
    "optax.chain(optax.scale_by_adam(), optax.centralize(), optax.scale(-0.1))": "centralize.* is no optimizer",
    "optax.chain(optax.sgd(0.1), optax.add_decayed_weights(0.1))": "stands behind optax.sgd",
    "optax.chain(clipping, optax.adam(0.1))": "a chain's links must be calls, got clipping",
    "optax.chain(optax.scale_by_adam(learning_rate=0.1), optax.scale(-1))": "unknown argument",
    "optax.chain(optax.add_decayed_weights(), optax.adam(0.1))": "needs a number",
    "optax.chain(optax.add_decayed_weights(args.wd), optax.adam(0.1))": "give its value, as args.wd=NUMBER",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_can_not_be_read_is_said(line: str) -> None:
    with pytest.raises(ValueError, match=REFUSED[line]):
        made(line)


def test_a_schedule_may_stand_in_a_chain() -> None:
    links = "optax.scale_by_adam(), optax.scale_by_schedule(optax.linear_schedule(0.1, 0.0, 9)), optax.scale(-1)"
    line = f"optax.chain({links})"
    constructor, given = dialects.parse(line)
    rate: Any = given["learning_rate"]
    assert (constructor.name, rate(0), rate(9)) == ("adam", 0.1, 0.0)
    assert dialects.canonical(line) == "optax.adam(learning_rate=optax.linear_schedule(0.1, 0.0, 9))"
