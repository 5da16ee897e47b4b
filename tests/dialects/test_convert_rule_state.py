"""States of `recipe.optax()`: on in torch bit for bit, from torch into optax, found inside trees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ravine import convert, recipe

torch = pytest.importorskip("torch", reason="torch is not installed")
optax = pytest.importorskip("optax", reason="optax is not installed")

import jax.numpy as jnp

RULES = ("nadam", "schedule_free_sgd", "nesterov")
WRAPPED: dict[str, Any] = {
    "alone": lambda tx: tx,
    "in a chain": lambda tx: optax.chain(optax.clip(9.0), tx),
    "in a named chain": lambda tx: optax.named_chain(("clip", optax.clip(9.0)), ("own", tx)),
}
SHAPES = {"dense": {"kernel": (3, 4), "bias": (4,)}}


def tree(make: Any) -> dict[str, Any]:
    return {layer: {n: jnp.asarray(make(s), jnp.float32) for n, s in own.items()} for layer, own in SHAPES.items()}


def gradients(t: int) -> dict[str, Any]:
    rng = np.random.default_rng(t)
    return tree(lambda s: rng.normal(size=s))


def stepped(tx: Any, state: Any, x: Any, steps: range) -> tuple[Any, Any]:
    for t in steps:
        updates, state = tx.update(gradients(t), state, x)
        x = optax.apply_updates(x, updates)
    return state, x


def flat(x: Any) -> dict[str, np.ndarray]:
    return {f"{layer}.{n}": np.array(v) for layer, own in x.items() for n, v in own.items()}


@pytest.mark.parametrize(("name", "way"), [*((n, "alone") for n in RULES), *(("lion", way) for way in WRAPPED)])
def test_it_goes_on_in_torch_and_back(name: str, way: str) -> None:
    chosen = recipe(name, lr=0.05)
    tx = WRAPPED[way](chosen.optax())
    start = tree(np.ones)
    state, x = stepped(tx, tx.init(start), start, range(4))
    found = convert.read(convert.from_optax(state), chosen.to_json())
    assert (found.t, found.left, sorted(found.slots)) == (4, (), ["dense.bias", "dense.kernel"])
    params = {n: torch.nn.Parameter(torch.tensor(v)) for n, v in flat(x).items()}
    optimizer = chosen.torch(params.items())
    moved = convert.write(convert.move(found, "ravine").state)
    optimizer.load_state_dict(convert.into_torch(moved, optimizer.state_dict()))
    for t in range(4, 6):
        for n, g in flat(gradients(t)).items():
            params[n].grad = torch.tensor(g)
        optimizer.step()
    _, there = stepped(tx, state, x, range(4, 6))
    for n, v in flat(there).items():
        np.testing.assert_allclose(params[n].detach(), v, rtol=2e-6, atol=1e-7)
    again = convert.into_optax(moved, tx.init(start))
    _, resumed = stepped(tx, again, x, range(4, 6))
    for n, v in flat(resumed).items():
        np.testing.assert_array_equal(v, flat(there)[n])


def test_what_is_beside_it_is_named_and_two_are_refused() -> None:
    tx = optax.chain(optax.ema(0.9), recipe("lion").optax())
    state, _ = stepped(tx, tx.init(tree(np.ones)), tree(np.ones), range(2))
    found = convert.read(convert.from_optax(state), recipe("lion").to_json())
    assert found.left == ("0.count", "0.ema.dense.bias", "0.ema.dense.kernel")
    two = optax.chain(recipe("lion").optax(), recipe("adam").optax())
    with pytest.raises(ValueError, match=r"there are several states, at 0\., 1\."):
        convert.read(convert.from_optax(two.init(tree(np.ones))), recipe("lion").to_json())
    with pytest.raises(ValueError, match=r"'dense.bias.v' is missing"):
        convert.into_optax(convert.write(found), recipe("adam").optax().init(tree(np.ones)))
