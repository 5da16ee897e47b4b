"""`ravine.optax` under everything that optax users do to a transformation, against the NumPy reference and optax."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="JAX is not installed")
optax = pytest.importorskip("optax", reason="optax is not installed")

import jax.numpy as jnp

import ravine
import ravine.dialects
from family import ELEMENTWISE
from ravine import State, recipe, rules
from ravine.optax import from_recipe
from ravine.transforms import stored_at_look_ahead
from recorded import Trace, traces

STEPS = 30
RULES = ELEMENTWISE


def stream(dtype: str = "float32", seed: int = 0, shape: tuple[int, ...] = (6,)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scale = 10.0 ** np.linspace(-3, 1, shape[-1])
    return rng.normal(0, 2, shape).astype(dtype), (rng.normal(0, 1, (STEPS, *shape)) * scale).astype(dtype)


def ulps(a: np.ndarray, b: np.ndarray, size: np.ndarray) -> float:
    return float(np.max(np.abs(np.asarray(a) - np.asarray(b)) / np.spacing(np.abs(size))))


@pytest.mark.parametrize("name", RULES)
def test_a_step_under_jit_is_within_a_few_ulps_of_the_reference(name: str) -> None:
    """XLA contracts and reorders, so parameters may differ by 2 ulp and slots by 4; coefficients must be exact."""
    rule = stored_at_look_ahead(rules()[name])
    chosen = recipe(rule, **({"eps": 1e-3} if "centered" in name else {}))  # without, s − a² cancels
    x, gs = stream()
    tx = from_recipe(chosen)
    update = jax.jit(tx.update)
    state, ours = chosen.init(x), tx.init(jnp.asarray(x))
    for g in gs:
        updates, after = update(jnp.asarray(g), ours, jnp.asarray(x))
        new_x, state = chosen.update(g, state, x)
        assert ulps(np.asarray(x) + np.asarray(updates), new_x, np.maximum(abs(x), abs(new_x))) <= 2
        for slot, value in state.slots.items():
            terms = np.maximum(np.abs(value), np.abs(np.asarray(ours.slots[slot])))
            assert ulps(after.slots[slot], np.float32(value), np.float32(np.maximum(terms, 1e-30))) <= 4, slot
        x = new_x
        slots = {n: jnp.asarray(v, jnp.float32) for n, v in state.slots.items()}
        ours = after._replace(slots=slots)
    assert int(ours.count) == STEPS


def test_the_bias_correction_keeps_its_digits_in_float32() -> None:
    """1 − 0.999 in float32 is off by 1.3e-5; the first step of Adam with a large ε shows it."""
    chosen = recipe("adam_eps_hat", lr=1.0, eps=1e3)
    exact, _ = chosen.update(np.ones(1), chosen.init(np.zeros(1)), np.zeros(1))
    tx = chosen.optax()
    zero = jnp.zeros(1, jnp.float32)
    step, _ = jax.jit(tx.update)(jnp.ones(1, jnp.float32), tx.init(zero), zero)
    np.testing.assert_allclose(step, exact, rtol=3e-7)


def test_long_runs_keep_the_count() -> None:
    chosen = recipe("adam")
    tx = chosen.optax()
    state = tx.init(jnp.ones(1))._replace(count=jnp.int32(123_455))
    step, state = jax.jit(tx.update)(jnp.ones(1), state, None)
    x, _ = chosen.update(np.ones(1), State(123_455, chosen.init(np.ones(1)).slots), np.zeros(1))
    np.testing.assert_allclose(step, x, rtol=3e-7)
    assert int(state.count) == 123_456


def run(tx: optax.GradientTransformation, params: object, gs: object) -> object:
    """All steps in one jitted scan."""

    def one(carry: tuple[object, object], g: object) -> tuple[tuple[object, object], None]:
        updates, state = tx.update(g, carry[1], carry[0])
        return (optax.apply_updates(carry[0], updates), state), None

    return jax.jit(lambda p, gs: jax.lax.scan(one, (p, tx.init(p)), gs)[0][0])(params, gs)


def reference(chosen: ravine.Recipe, x: np.ndarray, gs: np.ndarray, **schedules: object) -> np.ndarray:
    state = chosen.init(x)
    for t, g in enumerate(gs):
        x, state = chosen.update(g, state, x, **{n: float(f(t)) for n, f in schedules.items()})
    return x


def test_scan_and_schedules() -> None:
    x, gs = stream()
    schedule = optax.exponential_decay(0.1, 5, 0.5)
    for chosen in (recipe("rmsprop_momentum"), recipe("adamw", weight_decay=0.1)):
        expected = reference(chosen, x, gs, lr=schedule)
        np.testing.assert_allclose(run(chosen.optax(schedule), x, gs), expected, rtol=2e-5)


def test_vmap_over_learning_rates() -> None:
    x, gs = stream()
    chosen = recipe("adam")
    rates = jnp.asarray([0.001, 0.01, 0.1])
    many = jax.vmap(lambda lr: run(chosen.optax(lr), x, gs))(rates)
    for lr, found in zip(rates, many, strict=True):
        np.testing.assert_allclose(found, reference(chosen.replace(lr=float(lr)), x, gs), rtol=2e-5)


def test_inject_hyperparams() -> None:
    x, gs = stream()
    chosen = recipe("rmsprop", lr=0.5)
    schedule = optax.linear_schedule(0.1, 0.0, STEPS)
    injected = optax.inject_hyperparams(chosen.optax)(lr=schedule)
    np.testing.assert_allclose(run(injected, x, gs), reference(chosen, x, gs, lr=schedule), rtol=2e-5)
    tx = optax.inject_hyperparams(lambda mu: from_recipe("momentum", mu=mu))(mu=0.5)
    state = tx.init(jnp.ones(2))
    assert float(state.hyperparams["mu"]) == 0.5
    assert tx.update(jnp.ones(2), state)[0].shape == (2,)


def test_trees_chain_and_multi_transform() -> None:
    x, gs = stream()
    params = {"w": jnp.asarray(x), "b": [jnp.asarray(x[:2])]}
    grads = {"w": jnp.asarray(gs), "b": [jnp.asarray(gs[:, :2])]}
    adam, sgd = recipe("adam"), recipe("momentum", lr=0.001)
    tx = optax.chain(
        optax.clip(0.5), optax.multi_transform({"a": adam.optax(), "s": sgd.optax()}, {"w": "a", "b": "s"})
    )
    found = run(tx, params, grads)
    clipped = np.clip(gs, -0.5, 0.5)
    np.testing.assert_allclose(found["w"], reference(adam, x, clipped), rtol=2e-5)
    np.testing.assert_allclose(found["b"][0], reference(sgd, x[:2], clipped[:, :2]), rtol=2e-5)


def test_types() -> None:
    tx = recipe("adam").optax()
    narrow = jnp.ones(3, jnp.bfloat16)
    updates, state = jax.jit(tx.update)(narrow, tx.init(narrow), narrow)
    assert updates.dtype == jnp.bfloat16
    assert state.slots["v"].dtype == jnp.bfloat16
    assert np.all(np.asarray(updates, np.float32) < 0)
    with jax.enable_x64(True):
        x, gs = stream("float64")
        chosen = recipe("adam")
        np.testing.assert_allclose(run(chosen.optax(), x, gs), reference(chosen, x, gs), rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: recipe("adam").optax(lr=-1.0), ValueError, "lr = -1.0"),
        (lambda: from_recipe("adam", epsilon=0.9), ValueError, "did you mean 'eps'"),
        (
            lambda: recipe("adamw").optax().update(jnp.ones(1), recipe("adamw").optax().init(jnp.ones(1))),
            ValueError,
            "params",
        ),
        (lambda: recipe("gd").optax().init(jnp.ones(1, int)), TypeError, "int32"),
        (lambda: recipe("adam").optax().init(jnp.ones(1, complex)), TypeError, "complex64"),
    ],
)
def test_mistakes(make: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


ELSEWHERE = [t for f in ("tensorflow", "keras", "torch") for t in traces(f) if t.dtype == "float32"]


@pytest.mark.parametrize("trace", ELSEWHERE[::8], ids=str)
def test_jax_trains_as_the_other_framework_did(trace: Trace) -> None:
    rates = jnp.asarray(trace.lrs, jnp.float32)
    found = run(trace.recipe.optax(lambda count: rates[count]), trace.x[0], trace.gradients)
    np.testing.assert_allclose(found, trace.x[-1], rtol=3e-6)


LIVE = [t for t in traces("optax") if t.dtype == "float32"]


@pytest.mark.parametrize("trace", LIVE[:: max(1, len(LIVE) // 24)], ids=str)
def test_optax_itself_moves_alike(trace: Trace) -> None:
    """Live, both jitted: the real transformation and the dialect's recipe through `ravine.optax`."""
    name, _, _ = trace.call.partition("(")
    _, given = ravine.dialects.parse(trace.call)
    real = getattr(optax, name.partition(".")[2])(**given)
    theirs = run(real, trace.x[0], trace.gradients)
    np.testing.assert_allclose(run(trace.recipe.optax(), trace.x[0], trace.gradients), theirs, rtol=3e-6)


@pytest.mark.parametrize("name", ["gd", "nadam"])
def test_extra_arguments_are_taken_and_not_used(name: str) -> None:
    """optax.chain passes them to every member that supports them; flax's nnx.Optimizer to its transformation."""
    tx = recipe(name).optax()
    assert optax.with_extra_args_support(tx) is tx
    x, g = jnp.ones(3), jnp.asarray([1.0, -2.0, 0.5])
    plain, _ = tx.update(g, tx.init(x), x)
    extra, _ = tx.update(g, tx.init(x), x, value=jnp.ones(()), grad=g, value_fn=lambda x: x.sum())
    np.testing.assert_array_equal(extra, plain)
    chain = optax.chain(tx, optax.contrib.reduce_on_plateau())
    chain.update(g, chain.init(x), x, value=jnp.ones(()))
    injected = optax.inject_hyperparams(recipe(name).optax)(lr=0.1)
    injected.update(g, injected.init(x), x, value=jnp.ones(()))


def test_state_fields_are_found_by_their_names() -> None:
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.inject_hyperparams(recipe("adam").optax)(lr=0.1))
    x = {"w": jnp.ones(3), "b": jnp.zeros(2)}
    state = tx.init(x)
    _, state = tx.update(x, state, x)
    assert optax.tree.get_all_with_path(state, "m")
    assert jax.tree.structure(optax.tree.get(state, "v")) == jax.tree.structure(x)
    assert float(optax.tree.get(state, "lr")) == pytest.approx(0.1)
    counts = [int(c) for _, c in optax.tree.get_all_with_path(state, "count")]
    assert counts == [1, 1]
    moved = optax.tree.set(state, lr=jnp.asarray(0.2))
    assert float(optax.tree.get(moved, "lr")) == pytest.approx(0.2)


def test_the_page_on_jax_runs_as_it_stands() -> None:
    page = (Path(__file__).parents[2] / "docs" / "optax.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    state, params = names["state"], names["params"]
    np.testing.assert_allclose(params["w"], 1 - 1e-3, rtol=1e-6)  # Adam's first step is lr
    assert int(optax.tree.get(state, "count")) == 1
    assert optax.tree.get(state, "v")["w"].shape == (3,)
