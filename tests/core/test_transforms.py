"""Transforms compose, trace into one graph with the rule, and refuse what makes no sense."""

from __future__ import annotations

import numpy as np
import pytest

import ravine
from ravine import transforms


def test_a_chain_is_one_rule_with_all_hyperparameters() -> None:
    rule = ravine.rule("maximize(clip_value(weight_decay(adam)))")
    assert list(rule.hyperparameters) == ["lr", "beta1", "beta2", "eps", "weight_decay", "clip_value"]
    assert rule.transforms == ("maximize", "clip_value", "weight_decay")
    assert list(rule.slots) == ["m", "v"]
    assert ravine.rule(rule.name).name == rule.name


def test_order_matters_as_it_reads() -> None:
    x, g = np.array([10.0]), np.array([1.0])
    hyper = {"lr": 1.0, "weight_decay": 1.0, "clip_value": 1.0}
    clip_then_decay = ravine.rule("clip_value(weight_decay(gd))").apply(x, g, (), 1, hyper)[0]
    decay_then_clip = ravine.rule("weight_decay(clip_value(gd))").apply(x, g, (), 1, hyper)[0]
    assert clip_then_decay == -11.0
    assert decay_then_clip == -1.0


def test_clipping_keeps_both_sides_within_the_bound() -> None:
    recipe = ravine.recipe("clip_value(gd)", lr=1.0, clip_value=0.5)
    x, g = np.zeros(4), np.array([-3.0, -0.25, 0.25, 3.0])
    np.testing.assert_array_equal(recipe.update(g, recipe.init(x), x)[0], [0.5, 0.25, -0.25, -0.5])


def test_adamw_is_adam_with_decoupled_decay() -> None:
    adamw, made = ravine.rule("adamw"), transforms.decoupled_weight_decay(ravine.rule("adam"))
    assert adamw.graph.outputs == made.graph.outputs
    assert adamw.hyperparameters["weight_decay"].default == 0.01


def test_a_decay_before_the_step_is_seen_by_a_rule_that_reads_the_parameter() -> None:
    made, plain = ravine.recipe("weight_decay_first(lamb_keras)", lr=0.1, weight_decay=2.0), ravine.recipe("lamb_keras")
    x, g = np.array([[3.0, -1.0], [0.5, 2.0]]), np.array([[1.0, -2.0], [0.1, 0.0]])
    shrunk, _ = plain.update(g, plain.init(x), 0.8 * x, lr=0.1)
    np.testing.assert_allclose(made.update(g, made.init(x), x)[0], shrunk, rtol=1e-15)
    first, after = (transforms.TRANSFORMS[n](ravine.rule("adam")) for n in ("weight_decay_first", AFTER))
    assert first.graph.step is after.graph.step


AFTER = "decoupled_weight_decay"


def test_a_rule_without_look_ahead_is_stored_as_it_is() -> None:
    adam = ravine.rule("adam")
    assert transforms.stored_at_look_ahead(adam) is adam


def test_what_cannot_be_wrapped() -> None:
    with pytest.raises(ValueError, match="already has a hyperparameter weight_decay"):
        transforms.weight_decay(ravine.rule("adamw"))
    with pytest.raises(TypeError, match=r"wraps a rule, got 'adam': ravine.rule\('weight_decay\(adam\)'\)"):
        transforms.weight_decay("adam")  # type: ignore[arg-type]

    @ravine.rule
    def no_lr(g, *, rate=0.1):  # type: ignore[no-untyped-def]
        return -rate * g

    with pytest.raises(ValueError, match="no_lr has none"):
        transforms.decoupled_weight_decay(no_lr)
