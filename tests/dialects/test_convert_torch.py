"""torch checkpoints as people have them: other libraries' optimizers, groups, frozen parameters, files within files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import ravine
from ravine import convert, dialects
from ravine.cli.convert import convert as command
from ravine.convert.recognise import recognise

torch = pytest.importorskip("torch", reason="torch is not installed")

import ravine.torch

CLASSES = ("SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "AdamW", "NAdam", "RAdam", "Adamax")
STATEFUL = {"SGD": {"momentum": 0.9}}


def stepped(optimizer: Any, params: list[Any], steps: int = 3, start: int = 0) -> Any:
    """The optimizer after some steps with gradients that hang on nothing but the step's number."""
    for t in range(start, start + steps):
        for k, p in enumerate(params):
            numbers = np.random.default_rng([t, k]).normal(size=tuple(p.shape))
            p.grad = torch.tensor(numbers, dtype=p.dtype)
        optimizer.step()
    return optimizer


def parameters(*shapes: tuple[int, ...], dtype: Any = torch.float32) -> list[Any]:
    return [torch.nn.Parameter(torch.full(shape, 1.0 + k, dtype=dtype)) for k, shape in enumerate(shapes)]


def group_of(optimizer: Any) -> dict[str, Any]:
    return dict(optimizer.state_dict()["param_groups"][0])


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("module", ["torch.optim", "ravine.torch"])
def test_torchs_classes_are_known_by_their_keys(name: str, module: str) -> None:
    import importlib

    optimizer = getattr(importlib.import_module(module), name)(parameters((2,)), lr=0.25, weight_decay=0.125)
    # It leaves keys of its own in the group.
    torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, 10, cycle_momentum=name not in ("Adagrad", "Adadelta"))
    found = recognise({**group_of(optimizer), "lr": 0.25})
    constructor, given = dialects.parse(found.call)
    assert constructor.name == name
    assert given["lr"] == 0.25
    assert constructor(**given).hyper["weight_decay"] == 0.125


ADAM = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}
OLD_ADAM = {**ADAM, "amsgrad": False, "maximize": False, "foreach": None, "capturable": False, "differentiable": False}
FOREIGN = {
    "timm's SGDW": (
        {"lr": 0.1, "momentum": 0.9, "dampening": 0, "weight_decay": 0.1, "nesterov": False, "caution": False},
        "'caution', which no optimizer of the torch dialect has .it is known from timm's",
    ),
    "timm's AdamWLegacy": ({**ADAM, "amsgrad": False, "caution": False}, "'caution'"),
    "timm's NAdamW": ({**ADAM, "corrected_weight_decay": False, "foreach": None}, "'corrected_weight_decay'"),
    "timm's Lamb": ({**ADAM, "bias_correction": True, "grad_averaging": True}, "from apex's FusedLAMB and timm's Lamb"),
    "transformers' old AdamW": ({**ADAM, "correct_bias": True}, "from transformers' AdamW"),
    "apex's FusedAdam": ({**ADAM, "bias_correction": True}, "from apex's"),
    "torch 2.6's AdamW": (
        OLD_ADAM | {"fused": None},
        "lacks decoupled_weight_decay: it may be torch.Adam or torch.AdamW",
    ),
    "torch 1.13's AdamW": (OLD_ADAM, r"lacks .* Say which \(optimizer, as in torch.AdamW\)"),
    "timm's RAdamLegacy": (ADAM, "lacks .* or another library's optimizer"),
    "timm's SGDW of 2024": (
        {"lr": 0.1, "momentum": 0.9, "dampening": 0, "weight_decay": 0.1, "nesterov": False}
        | {"maximize": False, "foreach": None, "differentiable": False},
        "lacks fused: it may be torch.SGD",
    ),
    "an unknown one": ({**ADAM, "delta": 1.0}, "'delta', which no optimizer of the torch dialect has. If"),
    "timm's cautious RMSpropTF": (
        {"lr": 0.1, "momentum": 0.9, "alpha": 0.9, "eps": 1e-3, "centered": False, "weight_decay": 0.0}
        | {"decoupled_decay": False, "lr_in_momentum": True, "caution": True},
        "RMSpropTF with caution=True is no rule",
    ),
    "RMSpropTF with lr outside": (
        {"lr": 0.1, "momentum": 0.9, "alpha": 0.9, "eps": 1e-3, "centered": False, "weight_decay": 0.0}
        | {"decoupled_decay": False, "lr_in_momentum": False},
        "lr_in_momentum=False is no rule",
    ),
}


@pytest.mark.parametrize(("group", "words"), FOREIGN.values(), ids=FOREIGN)
def test_another_librarys_optimizer_is_not_taken_for_torchs(group: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        convert.from_torch({"state": {}, "param_groups": [{**group, "params": [0]}]})


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_the_user_says_what_an_old_checkpoint_is_of(name: str) -> None:
    state_dict = stepped(getattr(torch.optim, name)(p := parameters((3,)), lr=0.2), p).state_dict()
    del state_dict["param_groups"][0]["decoupled_weight_decay"]
    _, call = convert.from_torch(state_dict, f"torch.{name}")
    assert call == f"torch.{name}(lr=0.2)"
    assert convert.from_torch(state_dict, f"torch.optim.{name}(lr=0.5)")[1] == f"torch.{name}(lr=0.5)"


def test_the_command_says_what_it_took_the_file_for(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(stepped(torch.optim.AdamW(p := parameters((3,), (2, 2)), lr=0.2), p).state_dict(), path)
    done = CliRunner().invoke(command, [str(path), "--from", "torch", "--to", "optax"])
    assert done.exit_code == 0, done.output
    first = "".join(done.output.split()).partition(".npz")[0]
    assert "a.ptwastakenfortorch.AdamW(lr=0.2):2parameterswithstate,after3steps" in first


def test_several_groups_become_several_files(tmp_path: Path) -> None:
    a, b = parameters((3,), (2,))
    groups = [{"params": [("a", a)], "weight_decay": 0.1}, {"params": [("b", b)], "weight_decay": 0.0}]
    path = tmp_path / "a.pt"
    torch.save(stepped(torch.optim.AdamW(groups, lr=0.5), [a, b]).state_dict(), path)
    for target in ("keras", "optax", "tensorflow", "ravine"):
        out = tmp_path / f"{target}.npz"
        done = CliRunner().invoke(command, [str(path), "--from", "torch", "--to", target, "--out", str(out)])
        assert done.exit_code == 0 or target == "tensorflow", done.output
        if target == "tensorflow":
            continue
        states = [convert.load(tmp_path / f"{target}.{k}.npz", target) for k in (0, 1)]
        assert [list(s.slots) for s in states] == [["a"], ["b"]]
        decays = [s.recipe.hyper.get("weight_decay", 0.0) for s in states]
        assert decays == [0.1, 0.0]
    with pytest.raises(ValueError, match="one by one"):
        convert.load(path, "torch")


def test_frozen_and_late_parameters() -> None:
    params = parameters((3,), (2,), (2,))
    optimizer = torch.optim.SGD(params, lr=0.1, momentum=0.9)
    stepped(optimizer, params[:2])
    state = convert.read(*convert.from_torch(optimizer.state_dict()))
    assert list(state.slots) == ["0", "1"]
    with pytest.warns(UserWarning, match="no state for '2': if they are not frozen, they start anew"):
        back = convert.into_torch(convert.write(state), torch.optim.SGD(params, momentum=0.9).state_dict())
    assert sorted(back["state"]) == [0, 1]


STEPS = [("RMSprop", "ravine"), ("Adadelta", "keras"), ("Adam", "ravine"), ("Adam", "torch"), ("Adam", "keras")]


@pytest.mark.parametrize(("name", "target"), STEPS)
def test_parameters_at_different_steps(name: str, target: str) -> None:
    """A layer that was frozen at first: no matter where the equation counts no steps, or each parameter has its own."""
    params = parameters((3,), (2,))
    optimizer = stepped(getattr(torch.optim, name)(params), params[:1], 2)
    stepped(optimizer, params, 3)
    state = convert.read(*convert.from_torch(optimizer.state_dict()))
    assert (state.t, state.steps) == (5, {"1": 3})
    outcome = convert.move(state, target)
    if (name, target) == ("Adam", "keras"):
        with pytest.raises(ValueError, match=r"different steps, \[3, 5\]"):
            convert.write(outcome.state)
        return
    tensors = convert.write(outcome.state)
    if target == "keras":
        assert tensors["iteration"] == 5
    else:
        assert (tensors["0.step"], tensors["1.step"]) == (5, 3)


def test_plain_gradient_descent_has_nothing_to_carry() -> None:
    optimizer = stepped(torch.optim.SGD(p := parameters((2,)), lr=0.1), p)
    state = convert.read(*convert.from_torch(optimizer.state_dict()))
    assert state.slots == {}
    assert convert.move(state, "keras").state.call == "keras.SGD(learning_rate=0.1)"
    assert convert.into_torch(convert.write(state), optimizer.state_dict())["state"] == {}


def test_bfloat16_is_held_in_float32(tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    from safetensors.torch import save_file

    optimizer = stepped(torch.optim.Adam(p := parameters((4,), dtype=torch.bfloat16)), p)
    tensors, call = convert.from_torch(optimizer.state_dict())
    own = optimizer.state[p[0]]
    assert tensors["0.exp_avg"].dtype == np.float32
    np.testing.assert_array_equal(tensors["0.exp_avg"], own["exp_avg"].float().numpy())
    save_file(
        {"0.exp_avg": own["exp_avg"], "0.exp_avg_sq": own["exp_avg_sq"], "0.step": own["step"]},
        tmp_path / "a.safetensors",
    )
    np.savez(tmp_path / "a.npz", **{
        "0.exp_avg": own["exp_avg"].view(torch.int16).numpy().view("V2"),  # as NumPy writes JAX's bfloat16
        "0.exp_avg_sq": own["exp_avg_sq"].float().numpy(), "0.step": own["step"].numpy(),
    })  # fmt: skip
    for name in ("a.safetensors", "a.npz"):
        found = convert.load(tmp_path / name, "torch", call)
        np.testing.assert_array_equal(found.slots["0"]["m"], tensors["0.exp_avg"])


def test_an_optimizer_is_found_inside_a_checkpoint(tmp_path: Path) -> None:
    p = parameters((3,))
    one = stepped(torch.optim.Adam(p, lr=0.1), p).state_dict()
    two = stepped(torch.optim.RMSprop(p, lr=0.2), p).state_dict()
    path = tmp_path / "last.ckpt"
    torch.save({"epoch": 3, "state_dict": {"w": p[0]}, "optimizer_states": [one]}, path)
    assert convert.load(path, "torch").recipe == ravine.recipe("adam", lr=0.1)
    torch.save({"epoch": 3, "optimizer_states": [one, two]}, path)
    with pytest.raises(ValueError, match=r"several optimizers, at 'optimizer_states.0', 'optimizer_states.1'"):
        convert.load(path, "torch")
    assert convert.load_groups(path, "torch", key="optimizer_states.1")[0].state.recipe.hyper["lr"] == 0.2
    with pytest.raises(ValueError, match="no optimizer at 'a'"):
        convert.load_groups(path, "torch", key="a")
    torch.save({"epoch": 3}, path)
    with pytest.raises(ValueError, match="holds no optimizer"):
        convert.load(path, "torch")


OWN = [
    lambda params: ravine.torch.Lion(params, lr=0.01, weight_decay=0.1),
    lambda params: ravine.torch.Adam(params, lr=0.01),
    lambda params: ravine.recipe("rmsprop_momentum", lr=0.01).torch(params),
    lambda params: ravine.recipe("nadam", lr=0.01).torch(params),
    lambda params: ravine.recipe("nesterov", lr=0.01).torch(params),
    lambda params: ravine.torch.from_recipe(params, "adam", lr=0.01, weight_decay=0.1),
]
SAID = [None, None, "rmsprop_momentum", "nadam", "stored_at_look_ahead(nesterov)", "weight_decay(adam)"]


@pytest.mark.parametrize(("make", "said"), list(zip(OWN, SAID, strict=True)), ids=["lion", "torch.Adam", *SAID[2:]])
def test_ravines_own_optimizers_resume(make: Any, said: str | None, tmp_path: Path) -> None:
    """Six steps in one go, and three, a file, and three more, end in the same place bit for bit."""
    whole, half = parameters((3,), (2, 2)), parameters((3,), (2, 2))
    stepped(make(whole), whole, 6)
    torch.save(stepped(make(half), half).state_dict(), tmp_path / "a.pt")
    optimizer = convert.resume(tmp_path / "a.pt", half, "ravine", optimizer=said)
    stepped(optimizer, half, 3, start=3)
    for a, b in zip(whole, half, strict=True):
        assert torch.equal(a, b)


def test_groups_with_and_without_decay_resume_in_one_optimizer(tmp_path: Path) -> None:
    def make(params: list[Any]) -> Any:
        named = [("a", params[0])], [("b", params[1])]
        return torch.optim.AdamW([{"params": named[0], "weight_decay": 0.0}, {"params": named[1]}], lr=0.1)

    whole, half = parameters((3,), (2, 2)), parameters((3,), (2, 2))
    stepped(make(whole), whole, 6)
    torch.save(stepped(make(half), half).state_dict(), tmp_path / "a.pt")
    optimizer = convert.resume(tmp_path / "a.pt", zip("ba", half[::-1], strict=True), "torch")
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.0, 0.01]
    stepped(optimizer, half, 3, start=3)
    for a, b in zip(whole, half, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=0)
    torch.save(
        torch.optim.SGD([{"params": half[:1], "momentum": 0.9}, {"params": half[1:]}]).state_dict(), tmp_path / "b.pt"
    )
    with pytest.raises(ValueError, match="there is no state of momentum_torch"):
        convert.resume(tmp_path / "b.pt", half, "torch")
