"""Rules that evaluate another point than they train, in every front end."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

import ravine
from ravine import State, recipe, transforms
from ravine.rule import declare
from ravine.torch import ModesOptimizer, from_recipe

NAMES = ["schedule_free_sgd", "schedule_free_adamw", "schedule_free_keras", "ema_weights(adam)", "asgd"]
STEPS = 5


def values(name: str) -> dict[str, float]:
    return {"lr": 0.05, **({"ema_decay": 0.5} if "ema" in name else {}), **({"t0": 2.0} if name == "asgd" else {})}


def gradients(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    made = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=made).to(dtype) for _ in range(STEPS)]


def stepped(optimizer: Any, p: torch.nn.Parameter, gs: list[torch.Tensor]) -> None:
    for g in gs:
        p.grad = g.clone()
        optimizer.step()


@pytest.mark.parametrize("name", NAMES)
def test_before_the_first_step_the_parameter_is_evaluated(name: str) -> None:
    x = np.array([1.0, -2.0])
    chosen = recipe(name)
    assert chosen.read_out(chosen.init(x), x) is x
    p = torch.nn.Parameter(torch.tensor(x))
    optimizer = from_recipe([p], chosen)
    optimizer.eval()
    assert p.tolist() == x.tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_torch_evaluates_what_the_recipe_does_and_comes_back(name: str, dtype: torch.dtype) -> None:
    chosen = recipe(name, **values(name))
    gs = gradients((3, 4), dtype)
    p = torch.nn.Parameter(torch.ones(3, 4, dtype=dtype))
    optimizer = from_recipe([p], chosen)
    x, state = p.detach().numpy().copy(), chosen.init(np.ones((3, 4), str(dtype).removeprefix("torch.")))
    for g in gs:
        p.grad = g.clone()
        optimizer.step()
        x, state = chosen.update(g.numpy(), state, x)
        for _ in range(2):
            optimizer.eval()
        assert p.detach().numpy().tobytes() == chosen.read_out(state, x).tobytes()
        assert not np.array_equal(p.detach().numpy(), x) or state.t == 1 or (name == "asgd" and state.t <= 4)
        optimizer.train()
        assert p.detach().numpy().tobytes() == x.tobytes()


@pytest.mark.parametrize("rounding", ["nearest", "remainder"])
@pytest.mark.parametrize("state", ["bfloat16", "int8"])
def test_what_is_evaluated_is_kept_in_float32(state: str, rounding: str) -> None:
    p = torch.nn.Parameter(torch.ones(64, 64, dtype=torch.bfloat16))
    optimizer = from_recipe([p], "schedule_free_adamw", lr=0.05, state=state, rounding=rounding)
    stepped(optimizer, p, gradients((64, 64), torch.bfloat16))
    assert optimizer.state[p]["z"].dtype is torch.float32
    trained, z = p.detach().clone(), optimizer.state[p]["z"]
    optimizer.eval()
    torch.testing.assert_close(p, ((trained.float() - 0.1 * z) / 0.9).bfloat16(), rtol=0.01, atol=1e-4)
    optimizer.train()
    assert torch.equal(p, trained)


def test_where_it_is_evaluated_nothing_is_stepped_saved_or_copied() -> None:
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = from_recipe([p], "schedule_free_sgd")
    stepped(optimizer, p, gradients((3,)))
    optimizer.train(False)
    for act in (optimizer.step, optimizer.state_dict, lambda: copy.deepcopy(optimizer)):
        with pytest.raises(RuntimeError, match=r"call optimizer.train\(\)"):
            act()
    optimizer.train()
    stepped(optimizer, p, gradients((3,)))


@pytest.mark.parametrize("name", NAMES)
def test_training_goes_on_from_a_checkpoint_bit_for_bit(name: str) -> None:
    gs = gradients((7,))
    p, q = torch.nn.Parameter(torch.ones(7)), torch.nn.Parameter(torch.ones(7))
    first = from_recipe([p], name, **values(name))
    stepped(first, p, gs)
    second = from_recipe([q], name, **values(name))
    second.load_state_dict(first.state_dict())
    q.data.copy_(p)
    for optimizer, parameter in ((first, p), (second, q)):
        optimizer.eval()
        optimizer.train()
        stepped(optimizer, parameter, gs)
        optimizer.eval()
    assert torch.equal(p, q)


def test_only_what_evaluates_elsewhere_has_modes() -> None:
    p = torch.nn.Parameter(torch.ones(2, 2))
    assert not hasattr(from_recipe([p], "adam"), "eval")
    assert isinstance(from_recipe([p], "ema_weights(muon)"), ModesOptimizer)
    model = torch.nn.Linear(3, 2)
    parts = {"a": [model.weight], "b": [model.bias]}
    assert not hasattr(ravine.recipes(a=recipe("lion"), b=recipe("adamw")).torch(parts), "eval")
    both: Any = ravine.recipes(a=recipe("schedule_free_sgd", lr=0.1), b=recipe("adamw")).torch(parts)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    for _ in range(3):
        both.step()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    both.eval()
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {"weight"}
    both.train()
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())


@pytest.mark.parametrize("name", ["schedule_free_sgd", "schedule_free_adamw"])
def test_optax_evaluates_what_optax_s_own_does(name: str) -> None:
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    from ravine.optax import read_out

    with jax.enable_x64(True):
        theirs = getattr(optax.contrib, name)(0.05)
        chosen = recipe(name, lr=0.05)
        ours = optax.chain(optax.clip(10.0), chosen.optax())
        tree = {"a": jax.numpy.ones(3), "b": jax.numpy.full((2, 2), -2.0)}
        state, own = ours.init(tree), theirs.init(tree)
        assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), read_out(chosen, state, tree), tree))
        x, y = tree, tree
        for k in range(STEPS):
            g = jax.tree.map(lambda leaf, k=k: jax.numpy.cos(leaf + k), x)
            step, state = ours.update(g, state, x)
            x = optax.apply_updates(x, step)
            step, own = theirs.update(g, own, y)
            y = optax.apply_updates(y, step)
        found = jax.jit(lambda s, p: read_out(chosen, s, p))(state, x)
        wanted = optax.contrib.schedule_free_eval_params(own, y)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), found, wanted)
        with pytest.raises(ValueError, match="0 times"):
            read_out(chosen, own, x)


def test_minimize_returns_the_point_that_is_evaluated() -> None:
    found = ravine.minimize(
        lambda x: float(x @ x), [1.0, -2.0], "schedule_free_sgd", jac=lambda x: 2 * x, lr=0.2, steps=7
    )
    chosen, x = recipe("schedule_free_sgd", lr=0.2), np.array([1.0, -2.0])
    state = chosen.init(x)
    for _ in range(7):
        x, state = chosen.update(2 * x, state, x)
    assert found.x.tolist() == chosen.read_out(state, x).tolist() != x.tolist()
    assert found.fun == found.x @ found.x
    assert found.trajectory[-1].tolist() == x.tolist()


def test_an_average_of_an_average_is_refused() -> None:
    for wrap in (transforms.ema_weights, transforms.schedule_free):
        for name in ("schedule_free_sgd", "ema_weights(adam)", "asgd", "nesterov"):
            with pytest.raises(ValueError, match=f"{wrap.__name__} can't wrap"):
                wrap(ravine.rule(name))

    def no_lr(g, *, rate=0.1):  # type: ignore[no-untyped-def]
        return -rate * g

    with pytest.raises(ValueError, match="needs a rule with a hyperparameter lr"):
        transforms.schedule_free(declare(no_lr))


def test_a_read_out_is_declared_by_names_and_printed() -> None:
    def averaged(x, g, a, *, t, lr=0.1, beta=0.9):  # type: ignore[no-untyped-def]
        from ravine.math import ema

        return -lr * g, ema(a, x, beta)

    from ravine.trace import latex, mathml, text

    rule = declare(averaged, read_out=lambda a, beta: a / beta)
    assert rule.read_out(None, {"a": 1.8}, {"lr": 0.1, "beta": 0.9}) == 2.0
    assert text.equation(rule).splitlines()[-1] == "evaluated(xₜ) = aₜ / β"
    assert r"\operatorname{evaluated}\left(x_{t}\right) &= \frac{a_{t}}{\beta}" in latex.equation(rule)
    assert "<mi>evaluated</mi>" in mathml.equation(rule)
    assert rule != declare(averaged)
    state = State(3, {"a": np.array([1.8])})
    assert recipe(rule).read_out(state, np.zeros(1)).tolist() == [2.0]
