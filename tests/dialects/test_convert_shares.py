"""States of optimizers that keep means over rows and columns, and numbers for a whole parameter or for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ravine import convert, recipe

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("h5py", reason="h5py is not installed")
pytest.importorskip("msgpack", reason="msgpack is not installed")

import ravine.torch
from recorded_files import FILES, RECORDER, STEPS, goes_on, parameters, same, trained, values

NAMES = [n.replace("/", "_") for n in RECORDER.SHAPES]
FACTORED = "optax.adafactor(0.05)"
WHOLE = "optax.adafactor(0.05, factored=False)"
OPTAX = {
    "adafactor.msgpack": FACTORED,
    "adafactor-whole.msgpack": WHOLE,
    "novograd.msgpack": "optax.novograd(0.01, weight_decay=0.1)",
    "free.msgpack": "optax.contrib.schedule_free_adamw(0.01, weight_decay=0.1)",
    "free-sgd.msgpack": "optax.contrib.schedule_free_sgd(0.05, weight_decay=0.1)",
}


@pytest.mark.parametrize("name", OPTAX)
def test_training_goes_on_in_torch(name: str) -> None:
    goes_on(name, "optax", NAMES, optimizer=OPTAX[name])


TRANSFORMATIONS: dict[str, Any] = {
    "adafactor.msgpack": lambda optax: optax.adafactor(0.05, min_dim_size_to_factor=2),
    "adafactor-whole.msgpack": lambda optax: optax.adafactor(0.05),
    "novograd.msgpack": lambda optax: optax.novograd(0.01, weight_decay=0.1),
    "free.msgpack": lambda optax: optax.contrib.schedule_free_adamw(0.01, weight_decay=0.1),
    "free-sgd.msgpack": lambda optax: optax.contrib.schedule_free_sgd(0.05, weight_decay=0.1),
}


@pytest.mark.parametrize("is_chained", [False, True])
@pytest.mark.parametrize("name", OPTAX)
def test_it_goes_into_optax_again(name: str, is_chained: bool) -> None:
    optax = pytest.importorskip("optax", reason="optax is not installed")
    import jax.numpy as jnp

    state = convert.load(FILES / name, "optax", OPTAX[name])
    assert state.t == RECORDER.BEFORE
    assert not state.left
    tx = TRANSFORMATIONS[name](optax)
    tx = optax.chain(optax.identity(), tx) if is_chained else tx
    x = dict(zip(NAMES, map(jnp.asarray, values(name, "saved")), strict=True))
    there = convert.into_optax(convert.write(state), tx.init(x))
    for t in STEPS:
        grads = dict(zip(NAMES, map(jnp.asarray, RECORDER.gradients(t)), strict=True))
        updates, there = tx.update(grads, there, x)
        x = optax.apply_updates(x, updates)
    same([np.asarray(x[n]) for n in NAMES], name)
    again = convert.read(convert.from_optax(there), OPTAX[name])
    assert again.t == STEPS.stop


def run_of_torchs() -> tuple[dict[str, Any], list[np.ndarray], list[np.ndarray]]:
    """The state of torch's Adafactor and the parameters after some steps, and the parameters some steps later."""
    params = parameters("adafactor.keras")
    optimizer = torch.optim.Adafactor(list(zip(NAMES, params, strict=True)), lr=0.3, weight_decay=0.1)
    for t in range(RECORDER.BEFORE):
        for p, g in zip(params, RECORDER.gradients(t), strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
    state, saved = optimizer.state_dict(), [p.detach().numpy().copy() for p in params]
    state["state"] = {n: {k: v.clone() for k, v in own.items()} for n, own in state["state"].items()}
    return state, saved, trained(params, optimizer)


def test_torchs_goes_on(tmp_path: Path) -> None:
    state, saved, after = run_of_torchs()
    torch.save(state, tmp_path / "a.pt")
    params = [torch.nn.Parameter(torch.tensor(v)) for v in saved]
    optimizer = convert.resume(tmp_path / "a.pt", zip(NAMES, params, strict=True), "torch")
    for own, whole in zip(trained(params, optimizer), after, strict=True):
        np.testing.assert_allclose(own, whole, rtol=0, atol=5e-6 * np.abs(whole).max())


@pytest.mark.parametrize("target", ["ravine", "keras", "optax", "torch"])
def test_there_and_back_is_bitwise(target: str) -> None:
    tensors, call = convert.from_torch(run_of_torchs()[0])
    state = convert.read(tensors, call)
    there = convert.move(state, target)
    turned = [n for n, s in zip(NAMES, RECORDER.SHAPES.values(), strict=True) if target == "optax" and s == (4, 2)]
    back = convert.read(convert.write(there.state), there.state.call, step=state.t).renamed({}, turned)
    again = convert.write(convert.move(back, "torch").state)
    assert again.keys() == tensors.keys()
    for n, own in tensors.items():
        assert (again[n].shape, again[n].tobytes()) == (own.shape, own.tobytes())


def test_what_a_target_is_not_told_is_said() -> None:
    tensors, call = convert.from_torch(run_of_torchs()[0])
    notes = " ".join(convert.move(convert.read(tensors, call), "ravine").notes)
    assert "keeps the squares of vectors (one_bias, two_bias) as they are" in notes
    notes = " ".join(convert.move(convert.load(FILES / "adafactor.msgpack", "optax", FACTORED), "ravine").notes)
    assert "one_kernel, two_kernel are taken to be wider than high. Turn the others round (transpose)" in notes


def test_a_matrix_that_is_turned_round_has_its_rows_means_as_columns() -> None:
    state = convert.load(FILES / "adafactor.keras", "keras")
    turned = state.renamed({}, ["0"])
    np.testing.assert_array_equal(turned.slots["0"]["row"], state.slots["0"]["col"].T)
    np.testing.assert_array_equal(turned.slots["0"]["average"], state.slots["0"]["average"].T)
    mini = convert.OptimizerState(recipe("adam_mini").to_json(), 3, {"w": _slots("adam_mini", (3, 2))}, {})
    with pytest.raises(ValueError, match="keeps v, a mean for each row alone, so no matrix can be turned round"):
        mini.renamed({}, ["w"])


def _slots(name: str, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {n: np.asarray(v) for n, v in recipe(name).init(np.ones(shape, "f4")).slots.items()}


@pytest.mark.parametrize("name", ["adam_mini", "normuon", "novograd", "adafactor"])
def test_every_rule_of_ravines_own_resumes(name: str, tmp_path: Path) -> None:
    shapes = ((4, 3), (2, 3, 4)) if name == "normuon" else ((4, 3), (3,), (2, 3, 2))
    rng = np.random.default_rng(1)
    params = [torch.nn.Parameter(torch.tensor(rng.normal(size=s), dtype=torch.float32)) for s in shapes]
    optimizer = recipe(name).torch(params)
    gradients = [[torch.tensor(rng.normal(size=s), dtype=torch.float32) for s in shapes] for _ in range(6)]

    def stepped(params: list[Any], optimizer: Any, grads: list[Any]) -> None:
        for g in grads:
            for p, own in zip(params, g, strict=True):
                p.grad = own.clone()
            optimizer.step()

    stepped(params, optimizer, gradients[:3])
    torch.save(optimizer.state_dict(), tmp_path / "own.pt")
    copies = [torch.nn.Parameter(p.detach().clone()) for p in params]
    again = convert.resume(tmp_path / "own.pt", copies, "ravine", optimizer=name)
    stepped(params, optimizer, gradients[3:])
    stepped(copies, again, gradients[3:])
    for p, own in zip(params, copies, strict=True):
        assert torch.equal(p, own)


REFUSED: dict[str, tuple[str, str]] = {
    "adafactor-some.msgpack": (FACTORED, "keeps 'two_kernel', of shape .4, 2., whole, and a recipe factors every"),
    "adafactor-whole.msgpack": (FACTORED, "where no matrix is factored give factored=False"),
    "adafactor.msgpack": (WHOLE, "'one_kernel' is factored, and optax.adafactor was said to factor none"),
    "free-sgd.msgpack": ("optax.contrib.schedule_free_sgd(0.05, b1=0.8)", "the state is of b1=0.9, .* was given 0.8"),
    "novograd.msgpack": ("optax.adam(0.1)", "the tensors of 'one_bias' must have one shape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_one_recipe_is_refused(name: str) -> None:
    call, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        convert.load(FILES / name, "optax", call)


def test_numbers_get_the_names_of_the_model_in_the_file(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.Adafactor(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "a.pt")
    assert list(convert.load(tmp_path / "a.pt", "torch").slots) == [n for n, _ in model.named_parameters()]


def test_stacks_are_refused_by_name() -> None:
    p = torch.nn.Parameter(torch.ones(2, 3, 4))
    optimizer = torch.optim.Adafactor([("w", p)])
    p.grad = torch.ones_like(p)
    optimizer.step()
    with pytest.raises(ValueError, match="keeps means of 'w' for each matrix of a stack"):
        convert.read(*convert.from_torch(optimizer.state_dict()))


def test_resume_takes_no_state_of_another_shape(tmp_path: Path) -> None:
    p = torch.nn.Parameter(torch.ones(3, 4))
    for make, framework in ((torch.optim.Adam, "torch"), (ravine.torch.Adafactor, "torch")):
        optimizer = make([p])
        p.grad = torch.ones_like(p)
        optimizer.step()
        torch.save(optimizer.state_dict(), tmp_path / "a.pt")
        with pytest.raises(ValueError, match=r"the state of '0' has shape \(3, 4\), but the parameter has \(4, 3\)"):
            convert.resume(tmp_path / "a.pt", [torch.nn.Parameter(torch.ones(4, 3))], framework)
