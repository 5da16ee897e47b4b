"""What a message advises does what the refused call would have done."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import ravine
from ravine import dialects, recipe, recipes


def advice(words: str, **names: Any) -> Any:
    """The value of the first expression in a message that starts with one of these names."""
    start = re.search(rf"\b({'|'.join(names)})\(", words)
    assert start, words
    depth, end = 0, start.end() - 1
    for end in range(start.end() - 1, len(words)):
        depth += {"(": 1, ")": -1}.get(words[end], 0)
        if not depth:
            break
    return eval(words[start.start() : end + 1], {**names, "optax": dialects.optax})


@pytest.mark.parametrize("as_function", [True, False])
def test_a_mask_becomes_a_set_of_two(as_function: bool) -> None:
    """In optax, decay where the mask is true; the rest moves by Adam alone, downhill, and not by its raw gradient."""
    optax = pytest.importorskip("optax", reason="optax is not installed")
    import jax.numpy as jnp

    with pytest.raises(ValueError, match="Make a set of two") as refused:
        dialects.optax.adamw(0.1, mask={"w": True, "b": False})
    advised = advice(str(refused.value), recipes=recipes)
    mask: Any = {"w": True, "b": False}
    mask = (lambda params: {n: n == "w" for n in params}) if as_function else mask
    x = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}
    ways = [[tx, tx.init(x), x] for tx in (advised.optax(mask), optax.adamw(0.1, mask=mask))]
    for t in range(10):
        rng = np.random.default_rng(t)
        g = {n: jnp.asarray(rng.normal(size=v.shape), jnp.float32) for n, v in x.items()}
        for way in ways:
            updates, way[1] = way[0].update(g, way[1], way[2])
            way[2] = optax.apply_updates(way[2], updates)
    for name in x:
        np.testing.assert_allclose(ways[0][2][name], ways[1][2][name], rtol=2e-5)  # optax's 1 − βᵗ is float32


def test_the_decay_of_old_keras() -> None:
    with pytest.raises(ValueError, match="there is no decay") as refused:
        dialects.keras.Adam(decay=1e-4)
    advised = advice(str(refused.value), recipe=recipe)
    plain = dialects.keras.Adam()
    x, (a, b) = np.ones(3), (advised.init(np.ones(3)), plain.init(np.ones(3)))
    y = x
    for t in range(5):
        g = np.random.default_rng(t).normal(size=3)
        x, a = advised.update(g, a, x)
        y, b = plain.update(g, b, y, lr=0.001 / (1 + 1e-4 * t))
        np.testing.assert_allclose(x, y, rtol=1e-15)


def test_a_schedule_goes_where_it_runs() -> None:
    optax = pytest.importorskip("optax", reason="optax is not installed")
    schedule = optax.linear_schedule(0.1, 0.0, 10)
    with pytest.raises(TypeError, match=r"as in recipe.optax\(lr=schedule\)"):
        dialects.optax.sgd(schedule)
    tx = dialects.optax.sgd(0.5).optax(lr=schedule)
    state = tx.init(np.ones(2, np.float32))
    for t in range(3):
        step, state = tx.update(np.ones(2, np.float32), state)
        np.testing.assert_allclose(step, -0.1 * (1 - t / 10), rtol=1e-6)


SET = recipes(decayed=recipe("adamw", lr=0.1, weight_decay=0.3), rest=recipe("adam", lr=0.1))


def test_a_set_prints_and_survives_json() -> None:
    assert ravine.RecipeSet.from_json(SET.to_json()) == SET
    assert str(SET).splitlines()[1].split() == ["rest", *str(SET["rest"]).split()]
    assert hash(SET) == hash(ravine.RecipeSet.from_json(SET.to_json()))


def test_a_set_is_one_torch_optimizer_with_a_group_for_each_part() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    def params() -> tuple[Any, Any]:
        return torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))

    (w, b), (v, c) = params(), params()
    ours = SET.torch({"rest": [b], "decayed": [w]})
    theirs = torch.optim.AdamW([{"params": [v], "weight_decay": 0.3}, {"params": [c], "weight_decay": 0.0}], lr=0.1)
    for _ in range(5):
        for p in (w, b, v, c):
            p.grad = torch.full_like(p, 0.5)
        ours.step()
        theirs.step()
    torch.testing.assert_close(w, v)
    torch.testing.assert_close(b, c)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: recipes(), ValueError, "at least one"),
        (lambda: recipes(a="adam"), TypeError, "a must be a Recipe"),
        (lambda: ravine.RecipeSet.from_json("[]"), ValueError, "not a set of recipes"),
        (lambda: SET.torch({"decayed": []}), ValueError, "no parameters for the part 'rest'"),
        (lambda: SET.torch({"decay": []}), ValueError, "did you mean 'decayed'"),
    ],
)
def test_a_wrong_set_is_refused(make: Any, error: type[Exception], words: str) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    with pytest.raises(error, match=words):
        make()
