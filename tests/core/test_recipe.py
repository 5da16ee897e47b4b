"""Recipes: values that are compared, printed and stored, and the functional update."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import ravine

RNG = np.random.default_rng(3)


def test_a_recipe_is_a_value() -> None:
    a, b = ravine.recipe("adam", lr=0.1), ravine.recipe(ravine.rule("adam"), lr=0.1)
    assert a == b
    assert hash(a) == hash(b)
    assert a != a.replace(lr=0.2)
    assert a.replace(lr=0.2).hyper["lr"] == 0.2
    assert str(a) == "adam(lr=0.1, beta1=0.9, beta2=0.999, eps=1e-08)"
    with pytest.raises(TypeError):
        a.hyper["lr"] = 1.0  # type: ignore[index]
    with pytest.raises(AttributeError):
        a.rule = b.rule  # type: ignore[misc]


@pytest.mark.parametrize("name", [*ravine.rules(), "maximize(weight_decay(adam))"])
def test_json_round_trip(name: str) -> None:
    recipe = ravine.recipe(name, lr=math.pi)
    assert ravine.Recipe.from_json(recipe.to_json()) == recipe
    started = ravine.recipe("rmsprop", start={"s": 1.0})
    assert ravine.Recipe.from_json(started.to_json()) == started


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        '{"rule": "adam"}',
        "{}",
        '{"rule": 3, "hyper": {}}',
        '{"rule": "adam", "hyper": 3}',
        '{"rule": "adam", "hyper": []}',
        '{"rule": "adam", "hyper": {"lr": "x"}}',
        '{"rule": "adam", "hyper": {}, "start": [1]}',
    ],
)
def test_what_is_no_recipe(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a recipe|lr must be a number"):
        ravine.Recipe.from_json(text)


def test_json_never_runs_a_file(tmp_path: Path) -> None:
    """Whoever can write a recipe's text must not thereby choose what Python runs."""
    file = tmp_path / "mine.py"
    file.write_text("raise AssertionError('the file was run')\n")
    for name in (f"{file}:rule", f"weight_decay({file}:rule)"):
        with pytest.raises(ValueError, match=r"not a recipe: .* names a file"):
            ravine.Recipe.from_json(json.dumps({"rule": name, "hyper": {}}))


def test_a_hyperparameter_may_be_any_real_number() -> None:
    assert ravine.recipe("adam", lr=np.float32(0.5), eps=np.int64(1)) == ravine.recipe("adam", lr=0.5, eps=1.0)
    assert type(ravine.recipe("adam", lr=np.float32(0.5)).hyper["lr"]) is float
    assert ravine.recipe("rmsprop", start={"s": np.float32(1)}).start["s"] == 1.0


def test_a_function_that_is_no_rule_is_refused_when_a_recipe_is_made_of_it() -> None:
    @ravine.rule
    def constant_slot(g, m, *, lr=0.1):  # type: ignore[no-untyped-def]
        return -lr * g, 1.0

    with pytest.raises(TypeError, match="slot m depends on no array"):
        ravine.recipe(constant_slot)


def test_an_array_without_dimensions_stays_an_array() -> None:
    recipe = ravine.recipe("adam", lr=0.1)
    x, g = np.array(1.0), np.array(2.0)
    found, state = recipe.update(g, recipe.init(x), x)
    assert isinstance(found, np.ndarray)
    assert all(isinstance(s, np.ndarray) for s in state.slots.values())
    wanted, _ = recipe.update(g, state, found)
    recipe.update_(g, state, found)
    assert found == wanted


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("name", list(ravine.rules()))
def test_update_is_pure_and_keeps_types(name: str, dtype: str) -> None:
    recipe = ravine.recipe(name)
    x, g = (RNG.standard_normal((3, 4)).astype(dtype) for _ in range(2))
    state = recipe.init(x)
    before = json.dumps([x.tolist(), g.tolist(), {n: np.asarray(s).tolist() for n, s in state.slots.items()}])
    new_x, new_state = recipe.update(g, state, x)
    new_x, new_state = recipe.update(g, new_state, new_x)
    after = json.dumps([x.tolist(), g.tolist(), {n: np.asarray(s).tolist() for n, s in state.slots.items()}])
    assert before == after
    assert new_x.dtype == x.dtype
    assert new_state.t == 2
    for name, slot in recipe.rule.slots.items():
        assert isinstance(new_state.slots[name], float) if slot.is_scalar else new_state.slots[name].dtype == x.dtype


def test_narrow_types_are_computed_in_float32_and_rounded_once() -> None:
    recipe = ravine.recipe("adam", lr=0.1)
    x, g = (RNG.standard_normal(100).astype(np.float16) for _ in range(2))
    found, state = recipe.update(g, recipe.init(x), x)
    wide, wide_state = recipe.update(g.astype(np.float32), recipe.init(x.astype(np.float32)), x.astype(np.float32))
    np.testing.assert_array_equal(found, wide.astype(np.float16))
    np.testing.assert_array_equal(state.slots["v"], wide_state.slots["v"].astype(np.float16))


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_other_libraries_arrays_give_the_same_numbers(library: str) -> None:
    module = pytest.importorskip("torch" if library == "torch" else "jax.numpy")
    recipe = ravine.recipe("adam", lr=0.1)
    x, g = (RNG.standard_normal(40).astype(np.float32) for _ in range(2))
    wanted, _ = recipe.update(g, recipe.init(x), x)
    ax, ag = module.asarray(x), module.asarray(g)
    found, state = recipe.update(ag, recipe.init(ax), ax)
    assert type(found) is type(ax)
    assert type(state.slots["m"]) is type(ax)
    np.testing.assert_array_max_ulp(np.asarray(found), wanted, maxulp=0 if library == "torch" else 2)


def test_overrides_act_for_one_step() -> None:
    recipe = ravine.recipe("gd", lr=1.0)
    x, state = recipe.update(np.ones(1), recipe.init(np.zeros(1)), np.zeros(1), lr=0.5)
    assert x[0] == -0.5
    assert recipe.update(np.ones(1), state, x)[0][0] == -1.5


def test_slots_start_where_they_are_told() -> None:
    x = np.zeros(2)
    assert ravine.recipe("rmsprop", start={"s": 1.0}).init(x).slots["s"].tolist() == [1.0, 1.0]
    assert ravine.recipe("nadam").init(x).slots["product"] == 1.0
    with pytest.raises(ValueError, match="slot of rmsprop 'q'"):
        ravine.recipe("rmsprop", start={"q": 1.0})
    with pytest.raises(ValueError, match="finite"):
        ravine.recipe("rmsprop", start={"s": math.nan})


def test_wrong_arrays_are_refused() -> None:
    recipe = ravine.recipe("adam")
    x = np.zeros(3)
    state = recipe.init(x)
    with pytest.raises(TypeError, match="x must be an array of a floating type, got int64"):
        recipe.init(np.arange(3))
    with pytest.raises(TypeError, match="at most float64"):
        recipe.init(np.zeros(3, np.longdouble))
    with pytest.raises(ValueError, match="x is empty"):
        recipe.init(np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"g has shape \(2,\), but x has shape \(3,\)"):
        recipe.update(np.zeros(2), state, x)
    with pytest.raises(ValueError, match="slot m has shape"):
        recipe.update(np.zeros(2), state, np.zeros(2))
    with pytest.raises(ValueError, match="state has no slot 'm', which adam needs"):
        recipe.update(x, ravine.State(0, {}), x)
    with pytest.raises(TypeError, match="state must be a State, as init and update return it, got None"):
        recipe.update(x, None, x)  # type: ignore[arg-type]
    for t in (-1, 0.5, "1", math.nan):
        with pytest.raises(ValueError, match=f"the state's t must be a whole number of at least 0, got {t!r}"):
            recipe.update(x, ravine.State(t, state.slots), x)
    with pytest.raises(TypeError, match=r"slot m must be an array, got \[0\]"):
        recipe.update(x, ravine.State(0, {"m": [0], "v": [0]}), x)
    with pytest.raises(ValueError, match="lr = -1"):
        recipe.update(x, state, x, lr=-1.0)
    with pytest.raises(TypeError, match="must be a Rule or a rule's name"):
        ravine.recipe(3)  # type: ignore[arg-type]


def test_a_rule_cannot_change_its_inputs_in_place() -> None:
    @ravine.rule
    def in_place(g, m, *, lr=0.1):  # type: ignore[no-untyped-def]
        m *= 0.5
        m += g
        return -lr * m, m

    with pytest.raises(TypeError, match="can't change m in place"):
        ravine.recipe("in_place")
