"""Clipping by norm: of each gradient, and of all together, in every front end and in the frameworks' own words."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import ravine
from ravine import dialects, recipe, recipes
from ravine.dialects import keras, keras_legacy

torch = pytest.importorskip("torch", reason="torch is not installed")

import ravine.torch

SHAPES = ((3, 4), (4,))
BOUND = 1.5


def gradients(t: int) -> list[np.ndarray]:
    """Some shorter than the bound, some longer."""
    rng = np.random.default_rng(t)
    return [(rng.normal(size=s) * (0.1, 1.0, 5.0)[t % 3]).astype(np.float32) for s in SHAPES]


def clipped(grads: list[np.ndarray], bound: float = BOUND) -> list[np.ndarray]:
    norm = np.sqrt(sum(np.sum(np.square(g, dtype=np.float64)) for g in grads))
    return [(g * (bound / max(norm, bound))).astype(np.float32) for g in grads]


def started() -> list[Any]:
    return [torch.nn.Parameter(torch.ones(s)) for s in SHAPES]


def stepped(optimizer: Any, params: list[Any], scale: float = 1.0, together: bool = False) -> list[np.ndarray]:
    for t in range(6):
        grads = clipped(gradients(t)) if together else gradients(t)
        for p, g in zip(params, grads, strict=True):
            p.grad = torch.tensor(g * scale)
        optimizer.step()
    return [p.detach().numpy() for p in params]


RULES = ("gd", "adam", "nesterov", "decoupled_weight_decay(lion)", "adafactor")
WAYS = {
    "a rule": lambda name, params: ravine.torch.from_recipe(params, f"clip_global_norm({name})", clip_global_norm=1.5),
    "an option": lambda name, params: recipe(name).torch(params, clip_global_norm=1.5),
    "two groups": lambda name, params: recipe(name).torch([{"params": [p]} for p in params], clip_global_norm=1.5),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", RULES)
def test_torch_clips_all_gradients_together(name: str, way: str) -> None:
    first, second = started(), started()
    ours = stepped(WAYS[way](name, first), first)
    plain = stepped(recipe(name).torch(second), second, together=True)
    for own, other in zip(ours, plain, strict=True):
        np.testing.assert_allclose(own, other, rtol=3e-6)


def test_it_is_what_torch_users_do() -> None:
    """torch adds 1e-6 to the norm."""
    first, second = started(), started()
    ours = stepped(ravine.torch.SGD(first, lr=0.1, momentum=0.9, clip_global_norm=BOUND), first)
    theirs = torch.optim.SGD(second, lr=0.1, momentum=0.9)
    theirs.register_step_pre_hook(lambda *_: torch.nn.utils.clip_grad_norm_(second, BOUND) and None)
    for own, other in zip(ours, stepped(theirs, second), strict=True):
        np.testing.assert_allclose(own, other, rtol=3e-6)


def test_one_parameter_is_all_there_is() -> None:
    """recipe.update has one array in sight; so the two transforms are the same there, and torch's numbers too."""
    both = [recipe(f"{n}(adam)", lr=0.1, **{n: 1.5}) for n in ("clip_norm", "clip_global_norm")]
    p = torch.nn.Parameter(torch.ones(4))
    optimizer = both[1].torch([p])
    xs, states = [np.ones(4, np.float32)] * 2, [r.init(np.ones(4, np.float32)) for r in both]
    for t in range(6):
        g = gradients(t)[1]
        p.grad = torch.tensor(g)
        optimizer.step()
        for k, own in enumerate(both):
            xs[k], states[k] = own.update(g, states[k], xs[k])
    np.testing.assert_array_equal(xs[0], xs[1])
    np.testing.assert_allclose(p.detach().numpy(), xs[0], rtol=1e-6)


def test_a_scale_is_divided_by_before() -> None:
    """torch.amp.GradScaler's gradients are of their own size when they are clipped."""
    first, second = started(), started()
    optimizer = ravine.torch.Adam(first, clip_global_norm=BOUND)
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(8.0), torch.tensor(0.0)
    plain = stepped(ravine.torch.Adam(second, clip_global_norm=BOUND), second)
    for own, other in zip(stepped(optimizer, first, scale=8.0), plain, strict=True):
        np.testing.assert_array_equal(own, other)


def test_copies_and_checkpoints_keep_it() -> None:
    for optimizer in (
        ravine.torch.AdamW(started(), clip_global_norm=BOUND),
        keras.Adam(global_clipnorm=BOUND).torch(started()),
    ):
        assert copy.deepcopy(optimizer).param_groups[0]["clip_global_norm"] == BOUND
        optimizer.load_state_dict(optimizer.state_dict())
        assert optimizer.param_groups[0]["clip_global_norm"] == BOUND
    loaded = ravine.torch.AdamW(started(), clip_global_norm=BOUND)
    loaded.load_state_dict(torch.optim.AdamW(started()).state_dict())
    assert loaded.param_groups[0]["clip_global_norm"] == BOUND


WRONG = {
    "negative": (lambda: ravine.torch.SGD(started(), clip_global_norm=-1.0), "must be positive, got -1.0"),
    "text": (lambda: ravine.torch.SGD(started(), clip_global_norm="1"), "must be a number, got '1'"),
    "inside": (lambda: recipe("weight_decay(clip_global_norm(adam))"), "it must be outermost"),
    "parts": (
        lambda: recipes(a=recipe("clip_global_norm(adam)"), b=recipe("gd")).torch({"a": [], "b": []}),
        "is for all parts together",
    ),
    "two": (lambda: keras.Adam(clipnorm=1.0, clipvalue=1.0), "only one of clipnorm, clipvalue, global_clipnorm can"),
    "legacy": (lambda: keras_legacy.Adam(clipnorm=1.0, global_clipnorm=1.0), "only one of clipnorm, global_clipnorm"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_can_not_be_clipped_is_said(case: str) -> None:
    make, words = WRONG[case]
    with pytest.raises((ValueError, TypeError), match=words):
        make()


def test_groups_with_bounds_of_their_own_are_refused() -> None:
    params = started()
    optimizer = ravine.torch.SGD([{"params": params[:1], "clip_global_norm": 1.0}, {"params": params[1:]}])
    with pytest.raises(ValueError, match=r"the groups have 1\.0, None"):
        stepped(optimizer, params)


@pytest.mark.parametrize("outer", ["maximize", "decoupled_weight_decay", "lr_decay", "stored_at_look_ahead", "stacked"])
def test_what_leaves_the_norm_as_it_is_may_be_outside(outer: str) -> None:
    rule = ravine.rule(f"{outer}(clip_global_norm(momentum))")
    assert rule.unclipped == ravine.rule(f"{outer}(momentum)")


def test_keras_has_three_ways_to_clip() -> None:
    assert keras.SGD(0.1, clipnorm=2.0) == recipe("clip_norm(gd)", lr=0.1, clip_norm=2.0)
    assert keras.SGD(0.1, global_clipnorm=2.0) == recipe("clip_global_norm(gd)", lr=0.1, clip_global_norm=2.0)
    assert keras.SGD(0.1, clipvalue=2.0) == recipe("clip_value(gd)", lr=0.1, clip_value=2.0)
    decayed = keras.AdamW(0.1, global_clipnorm=2.0)
    assert decayed.rule.name == "clip_global_norm(decoupled_weight_decay(adam_eps_hat))"
    assert decayed.to("keras").call == "keras.optimizers.AdamW(learning_rate=0.1, global_clipnorm=2.0)"


def test_optax_clips_before_it_steps() -> None:
    optax = pytest.importorskip("optax", reason="optax is not installed")
    import jax.numpy as jnp

    line = "optax.chain(optax.clip_by_global_norm(1.5), optax.adamw(0.1, weight_decay=0.01))"
    constructor, given = dialects.parse(line)
    ours: Any = constructor(**given)
    assert ours == recipe(
        "clip_global_norm(decoupled_weight_decay(adam))", lr=0.1, weight_decay=0.01, clip_global_norm=1.5
    )
    assert ours.to("optax").grade == "exact"
    again, same = dialects.parse(ours.to("optax").call)
    assert again(**same) == ours
    mask = {"w": True, "b": False}
    parts = recipes(decayed=ours, rest=ours.replace(weight_decay=0.0))
    masked = optax.chain(optax.clip_by_global_norm(1.5), optax.adamw(0.1, weight_decay=0.01, mask=mask))
    pairs = [(ours.optax(), eval(line, {"optax": optax})), (parts.optax(mask), masked)]
    for ways in pairs:
        ends = []
        for tx in ways:
            x = {n: jnp.ones(s) for n, s in zip(mask, SHAPES, strict=True)}
            state = tx.init(x)
            for t in range(6):
                updates, state = tx.update(dict(zip(mask, map(jnp.asarray, gradients(t)), strict=True)), state, x)
                x = optax.apply_updates(x, updates)
            ends.append(x)
        for n in mask:
            np.testing.assert_allclose(ends[0][n], ends[1][n], rtol=2e-5)  # optax's 1 − βᵗ is float32


def test_a_set_clips_all_its_parts_together() -> None:
    one = recipe("clip_global_norm(adam)", clip_global_norm=BOUND)
    (w, b), second = started(), started()
    ours = stepped(recipes(a=one, b=one.replace(lr=0.001)).torch({"a": [w], "b": [b]}), [w, b])
    plain = stepped(recipe("adam").torch(second), second, together=True)
    for own, other in zip(ours, plain, strict=True):
        np.testing.assert_allclose(own, other, rtol=3e-6)
