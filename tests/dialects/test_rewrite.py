"""`recipe.to(framework)`: what it says is held against trajectories."""

from __future__ import annotations

import pytest

from ravine import Recipe, dialects, recipe
from ravine.dialects import keras, optax, tensorflow, torch
from ravine.dialects.compare import effect
from ravine.dialects.identities import CONSTANT, EXACT, IMPOSSIBLE
from recorded import all_traces

RECIPES = [*dict.fromkeys(t.recipe for t in all_traces()), recipe("momentum_ema"), recipe("adam", eps=0.0)]


@pytest.mark.parametrize("chosen", RECIPES, ids=str)
def test_the_grade_is_true_of_the_trajectories(chosen: Recipe) -> None:
    """Exact: they never part. Exact while lr is constant: they part when lr drops, and only then."""
    for framework in dialects.FRAMEWORKS:
        found = chosen.to(framework)
        if found.grade == IMPOSSIBLE:
            assert found.reasons
            assert not found.call
            continue
        there = found.constructor(**found.arguments)
        if found.grade == EXACT:
            assert effect(chosen, there).first == 0
        else:
            assert effect(chosen, there, drop=1.0).first == 0
            assert effect(chosen, there).first == 31


@pytest.mark.parametrize("framework", list(dialects.FRAMEWORKS))
def test_every_recipe_of_a_dialect_is_spelled_in_it(framework: str) -> None:
    for chosen in dict.fromkeys(t.recipe for t in all_traces() if t.framework == framework):
        found = chosen.to(framework)
        assert found.grade == EXACT
        assert effect(found.constructor(**found.arguments), chosen).first == 0


IN_FULL = [
    (
        tensorflow.RMSPropOptimizer(0.045, decay=0.9, momentum=0.9, epsilon=1.0),
        "optax",
        "optax.rmsprop(learning_rate=0.045, eps=1.0, initial_scale=1.0, momentum=0.9)",
        EXACT,
    ),
    (keras.SGD(0.1, momentum=0.9), "torch", "torch.optim.SGD(params, lr=0.1, momentum=0.9)", CONSTANT),
    (
        torch.SGD(lr=0.1, momentum=0.9, nesterov=True),
        "keras",
        "keras.optimizers.SGD(learning_rate=0.1, momentum=0.9, nesterov=True)",
        CONSTANT,
    ),
    (
        torch.RMSprop(momentum=0.9),
        "optax",
        "optax.rmsprop(learning_rate=0.01, decay=0.99, eps_in_sqrt=False, momentum=0.9)",
        CONSTANT,
    ),
    (recipe("momentum_ema", lr=0.5, beta=0.5), "torch", "torch.optim.SGD(params, lr=0.25, momentum=0.5)", EXACT),
    (torch.Adam(), "optax", "optax.adam(learning_rate=0.001)", EXACT),
    (torch.AdamW(), "optax", "optax.adamw(learning_rate=0.001, weight_decay=0.01)", EXACT),
    (keras.AdamW(), "keras", "keras.optimizers.AdamW()", EXACT),
    (keras.Adam(), "tensorflow", "tf.compat.v1.train.AdamOptimizer(epsilon=1e-07)", EXACT),
    (keras.Nadam(), "torch", "torch.optim.NAdam(params, lr=0.001, eps=1e-07, momentum_decay=1.0)", EXACT),
    (optax.adamw(0.1, weight_decay=0), "torch", "torch.optim.Adam(params, lr=0.1)", EXACT),
    (torch.Adam(eps=0.0), "keras", "keras.optimizers.Adam(epsilon=0.0)", EXACT),
    (torch.SGD(lr=0.1, maximize=True), "torch", "torch.optim.SGD(params, lr=0.1, maximize=True)", EXACT),
    (torch.Adam(betas=(0.8, 0.99)), "torch", "torch.optim.Adam(params, betas=(0.8, 0.99))", EXACT),
]


@pytest.mark.parametrize(("chosen", "framework", "call", "grade"), IN_FULL)
def test_the_call_as_text(chosen: Recipe, framework: str, call: str, grade: str) -> None:
    found = chosen.to(framework)
    assert (found.call, found.grade) == (call, grade)


IN_THE_WAY = [
    (torch.Adam(), "keras", "ε is outside the root, after the bias correction"),
    (keras.RMSprop(), "torch", "ε is inside the root"),
    (tensorflow.RMSPropOptimizer(0.1), "keras", "s starts at 1, in keras.RMSprop at 0"),
    (recipe("weight_decay(nadam)", weight_decay=0.1), "optax", "β₁ is warmed up"),
    (keras.AdamW(), "tensorflow", "has no decoupled weight decay"),
    (torch.SGD(lr=0.1, momentum=0.9, dampening=0.5), "keras", "dampening is 0.5"),
    (torch.NAdam(), "keras", "momentum_decay is 0.004, keras.Nadam has it fixed at 1"),
    (torch.NAdam(), "optax", "β₁ is warmed up"),
    (torch.RAdam(), "keras", "no optimizer of the kind radam"),
    (recipe("amsgrad"), "optax", "maximum is of v, in optax.amsgrad it is of the corrected v"),
    (recipe("rmsprop_nesterov"), "keras", "momentum is Nesterov's, in keras.RMSprop it is heavy ball"),
    (recipe("rmsprop_nesterov"), "tensorflow", "momentum is Nesterov's"),
    (recipe("lr_decay(adam)", lr_decay=0.1), "torch", "torch.Adam has no decay of lr"),
    (recipe("decoupled_weight_decay(gd)", weight_decay=0.1), "torch", "torch.SGD has no decoupled weight decay"),
    (torch.Adagrad(), "tensorflow", "eps is 1e-10, tensorflow.AdagradOptimizer has it fixed at 0"),
    (keras.RMSprop(clipvalue=1.0), "torch", "clipping by value"),
    (recipe("weight_decay(maximize(gd))", weight_decay=0.1), "torch", "torch.SGD does maximize before coupled weight"),
]


@pytest.mark.parametrize(("chosen", "framework", "reason"), IN_THE_WAY)
def test_the_term_in_the_way(chosen: Recipe, framework: str, reason: str) -> None:
    found = chosen.to(framework)
    assert found.grade == IMPOSSIBLE
    assert reason in " ".join(found.reasons)
    assert reason in str(found)


def test_an_epsilon_of_zero_stands_in_no_way() -> None:
    found = optax.amsgrad(0.1).to("torch")
    assert found.reasons == ("maximum is of the corrected v, in torch.Adam it is of v",)


def test_an_unknown_framework_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'tensorflow'"):
        torch.Adam().to("tensorflw")
