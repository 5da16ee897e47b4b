"""Recipes with narrow state: pure, in place and as a torch optimizer, the same bits."""

from __future__ import annotations

import numpy as np
import pytest

import ravine
from ravine.engines.fused import arrays
from ravine.engines.storage.step import Stored


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("state", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("rounding", ["stochastic", "nearest"])
def test_in_place_is_pure_is_torch(state: str, rounding: str, dtype: str) -> None:
    recipe = ravine.recipe("nadam", lr=0.01)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((65, 70)).astype(dtype)
    mine, given = x.copy(), recipe.init(x, state, rounding=rounding, seed=9)
    own = recipe.init(x, state, rounding=rounding, seed=9)
    gradients = [rng.standard_normal(x.shape).astype(dtype) for _ in range(4)]
    for g in gradients:
        x, given = recipe.update(g, given, x)
        own = recipe.update_(g, own, mine)
    np.testing.assert_array_equal(mine, x)
    for name, slot in given.slots.items():
        np.testing.assert_array_equal(np.asarray(own.slots[name]), np.asarray(slot))
        assert isinstance(slot, Stored) is (state != "float32" and name != "product")
    torch = pytest.importorskip("torch")
    if dtype == "float32":
        p = torch.nn.Parameter(torch.from_numpy(np.random.default_rng(0).standard_normal((65, 70)).astype(dtype)))
        optimizer = recipe.torch([p], state=state, state_rounding=rounding, rounding_seed=9)
        for g in gradients:
            p.grad = torch.from_numpy(g)
            optimizer.step()
        np.testing.assert_array_equal(p.detach().numpy(), x)


@pytest.mark.parametrize("state", ["bfloat16", "int8"])
@pytest.mark.parametrize("name", ["lamb", "adafactor"])
def test_rules_of_whole_matrices_in_place_are_pure(name: str, state: str) -> None:
    """By the fused stages where the state has no scales and nothing is multiplied, else by the reference."""
    recipe = ravine.recipe(name)
    rng = np.random.default_rng(0)
    for shape in ((65, 70), (5000,), (), (2, 70, 40)):
        x = np.asarray(rng.standard_normal(shape)).astype("float32")
        mine, given, own = x.copy(), recipe.init(x, state, seed=9), recipe.init(x, state, seed=9)
        for _ in range(3):
            g = np.asarray(rng.standard_normal(shape)).astype("float32")
            x, given = recipe.update(g, given, x)
            own = recipe.update_(g, own, mine)
        np.testing.assert_array_equal(mine, x)
        for slot, value in given.slots.items():
            np.testing.assert_array_equal(np.asarray(own.slots[slot]), np.asarray(value))


def test_rules_of_whole_matrices_in_place_are_fused() -> None:
    recipe, made = ravine.recipe("lamb"), arrays._staged.cache_info().misses
    x = np.ones((7, 5), np.float32)
    recipe.update_(x.copy(), recipe.init(x), x)
    assert arrays._staged.cache_info().misses == made + 1


def test_errors_name_the_choice() -> None:
    recipe = ravine.recipe("adam")
    with pytest.raises(ValueError, match=r"int4.*int8"):
        recipe.init(np.ones(3), "int4")
    with pytest.raises(ValueError, match="rounding"):
        recipe.init(np.ones(3), "int8", rounding="up")
    read_only = recipe.init(np.ones(5000, np.float32), "int8")
    read_only.slots["m"].scale.flags.writeable = False
    with pytest.raises(ValueError, match="the scales of m"):
        recipe.update_(np.ones(5000, np.float32), read_only, np.ones(5000, np.float32))


def test_state_is_small() -> None:
    state = ravine.recipe("adam").init(np.zeros(1 << 16, np.float32), "int8")
    assert sum(s.nbytes for s in state.slots.values()) / (1 << 16) <= 2.1
