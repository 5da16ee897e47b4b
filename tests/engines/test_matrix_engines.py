"""Rules of more than one element at a time, on every engine: the reference's bits, or within the bound of a product."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import matrix_rules
import ravine
from family import MATRIX
from ravine.engines import eager
from ravine.rule import Rule, declare
from ravine.trace.graph import PRODUCTS

WRAPPED = ["clip_norm(adam)", "clip_norm(maximize(weight_decay(momentum_torch)))"]
FAMILY = [ravine.rule(name) for name in [*MATRIX, *WRAPPED]]
REDUCING = [*matrix_rules.REDUCING, *(r for r in FAMILY if not any(n.op in PRODUCTS for n in r.graph.nodes))]
MULTIPLYING = [*matrix_rules.MULTIPLYING, *(r for r in FAMILY if r not in REDUCING)]
SHAPES = [(), (5,), (4, 3), (3, 70), (1, 33), (40, 1), (4, 2, 3, 3)]
BOUND = {"float32": 4e-6, "float64": 1e-14}
"""Of a step of Newton–Schulz, relative to the largest element: its five products and a²⁰ ≤ 485 times their rounding."""


def gradients(shape: tuple[int, ...], dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    scales = (1.0, 1.0, 1e-20, 0.0, 1e15, 1.0)
    return [np.asarray(scale * rng.standard_normal(shape)).astype(dtype) for scale in scales]


def start(rule: Rule, shape: tuple[int, ...], dtype: str) -> tuple[np.ndarray, ravine.State]:
    x = np.asarray(np.random.default_rng(0).standard_normal(shape)).astype(dtype)
    return x, ravine.recipe(rule).init(x)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.all((a == b) | ((a != a) & (b != b))))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", [*REDUCING, *MULTIPLYING], ids=lambda r: r.name)
def test_eager_torch_against_the_reference(rule: Rule, dtype: str) -> None:
    is_exact = rule in REDUCING
    for shape in SHAPES:
        for view in ("matrix", "stack"):
            seen = replace(rule, view=view)
            recipe = ravine.recipe(seen)
            x, state = start(seen, shape, dtype)
            for t, g in enumerate(gradients(shape, dtype), 1):
                slots = {n: torch.from_numpy(v.copy()) for n, v in state.slots.items()}
                got = torch.from_numpy(x.copy())
                eager.step(seen, got, torch.from_numpy(g), slots, t, recipe.hyper)
                x, state = recipe.update(g, state, x)
                if is_exact:
                    assert same(got.numpy(), x)
                    assert all(same(slots[n].numpy(), v) for n, v in state.slots.items())
                elif np.isfinite(x).all() and np.linalg.norm(g) > 0:
                    assert np.abs(got.numpy() - x).max() <= BOUND[dtype] * max(1.0, np.abs(x).max())


@pytest.mark.parametrize("rule", [*REDUCING, *MULTIPLYING], ids=lambda r: r.name)
def test_optax_against_the_reference(rule: Rule) -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    recipe = ravine.recipe(rule)
    tree = {"w": (4, 3), "b": (5,), "s": ()}
    start_of = {n: start(rule, shape, "float32") for n, shape in tree.items()}
    x, state = {n: v[0] for n, v in start_of.items()}, {n: v[1] for n, v in start_of.items()}
    tx = recipe.optax()
    theirs = {n: jnp.asarray(v) for n, v in x.items()}
    kept, update = tx.init(theirs), jax.jit(tx.update)
    for slot in rule.slots:
        wanted = {n: rule.slot_shape(slot, shape) for n, shape in tree.items()}
        assert {n: v.shape for n, v in kept.slots[slot].items()} == wanted
    for k in range(2):
        g = {n: gradients(shape, "float32")[k] for n, shape in tree.items()}
        steps, kept = update({n: jnp.asarray(v) for n, v in g.items()}, kept, theirs)
        theirs = jax.tree.map(lambda a, b: a + b, theirs, steps)
        for n in tree:
            x[n], state[n] = recipe.update(g[n], state[n], x[n])
            np.testing.assert_allclose(theirs[n], x[n], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", [*REDUCING, *MULTIPLYING], ids=lambda r: r.name)
def test_a_torch_optimizer_follows_the_reference(rule: Rule) -> None:
    """Parameters of several shapes, one of no elements, one that is laid out by columns; state saved and loaded.
    Vectors are refused where matrices are multiplied."""
    recipe = ravine.recipe(rule)
    vectors = [] if rule.graph.multiplies else [(5,), ()]
    shapes = [(4, 3), *vectors, (0, 3), (4, 1), (1, 3), (4, 2, 3, 3)]
    params = [
        torch.nn.Parameter(torch.from_numpy(start(rule, s, "float32")[0]) if 0 not in s else torch.zeros(s))
        for s in shapes
    ]
    params.append(torch.nn.Parameter(torch.from_numpy(start(rule, (3, 4), "float32")[0]).t()))
    assert not params[-1].is_contiguous()
    own = [p.detach().numpy().copy() for p in params]
    states = [recipe.init(x) if x.size else None for x in own]
    optimizer = recipe.torch(params)
    for step in range(3):
        for i, p in enumerate(params):
            g = gradients(tuple(p.shape), "float32")[step % 2]
            p.grad = torch.from_numpy(g)
            if states[i] is not None:
                own[i], states[i] = recipe.update(g, states[i], own[i])
        optimizer.step()
        if step == 0:
            again = recipe.torch(params)
            again.load_state_dict(optimizer.state_dict())
            optimizer = again
    for p, x, state in zip(params, own, states, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), x, rtol=1e-5, atol=1e-6)
        for n, v in state.slots.items() if state else ():
            assert tuple(optimizer.state[p][n].shape) == v.shape


def test_a_stack_of_matrices_is_each_by_itself() -> None:
    for rule in (*matrix_rules.REDUCING, *matrix_rules.MULTIPLYING):
        stacked, alone = ravine.recipe(declare(rule.function, view="stack")), ravine.recipe(rule)
        x, state = start(stacked.rule, (3, 4, 5), "float64")
        g = gradients((3, 4, 5), "float64")[0]
        together, _ = stacked.update(g, state, x)
        for i in range(3):
            one, _ = alone.update(g[i], alone.init(x[i]), x[i])
            np.testing.assert_allclose(together[i], one, rtol=1e-13)


def test_nan_in_a_gradient_reaches_what_reads_it() -> None:
    """A row's norm keeps it in its row; a norm of the whole parameter takes it everywhere."""
    g = np.ones((3, 4))
    g[1, 2] = np.nan
    by_row, by_all = (ravine.recipe(declare(f)) for f in (matrix_rules.row_signs, matrix_rules.layered))
    x = np.zeros((3, 4))
    assert np.isnan(by_row.update(g, by_row.init(x), x)[0]).any(axis=1).tolist() == [False, True, False]
    assert np.isnan(by_all.update(g, by_all.init(x), x)[0]).all()


def test_complex_and_distributed_parameters_are_refused() -> None:
    p = torch.nn.Parameter(torch.ones(2, 2, dtype=torch.complex64))
    p.grad = torch.ones_like(p)
    with pytest.raises(TypeError, match="factored is for real matrices"):
        ravine.recipe(matrix_rules.REDUCING[0]).torch([p]).step()
