"""Files that the real frameworks wrote, and training that goes on from them as it did there."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ravine import convert, dialects
from ravine.convert import files, keras_files

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("h5py", reason="h5py is not installed")
pytest.importorskip("msgpack", reason="msgpack is not installed")

from recorded_files import FILES, RECORDER, STEPS, goes_on, parameters, same, trained, values

NAMED = ("adamw.h5", "nadam.h5", "ema.h5", "free-jax.h5")  # has the variables by name, as optax has
NAMES = [n.replace("/", "_") for n in RECORDER.SHAPES]


OTHERWISE = (
    "legacy-rmsprop.h5",
    "legacy-sgd.h5",
    "cosine.keras",
    "accumulated.keras",
    "factor.keras",
    "ema-often.keras",
    "ema-sums.keras",
    "free-tensorflow.h5",
    "free-tensorflow.keras",
)  # have tests of their own
KERAS = sorted(p.name for p in FILES.iterdir() if p.suffix in keras_files.KINDS and p.name not in OTHERWISE)


def torch_parameter(values: np.ndarray) -> Any:
    import torch

    return torch.nn.Parameter(torch.tensor(values))


@pytest.mark.parametrize("name", KERAS)
def test_keras(name: str) -> None:
    how = {"optimizer": "keras.Adam(0.01, amsgrad=True)"} if ".weights." in name else {}
    names = list("0123")
    if name in NAMED:
        names = list(convert.load(FILES / name, "keras").slots)
        names.sort(key=lambda n: next(i for i, own in enumerate(NAMES) if n.endswith(own)))
    goes_on(name, "keras", names, **how)


def test_an_optimizer_that_hangs_on_kerass_backend_is_not_taken_for_another() -> None:
    """With TensorFlow ScheduleFreeAdamW trains the plain average of z. A .keras file doesn't tell the backend."""
    with pytest.raises(ValueError, match="was written with the backend tensorflow: there ScheduleFreeAdamW trains"):
        convert.load(FILES / "free-tensorflow.h5", "keras")
    with pytest.raises(ValueError, match="does not say with which backend it was written"):
        convert.load(FILES / "free-tensorflow.keras", "keras")
    said = convert.load(FILES / "free-tensorflow.keras", "keras", "keras.ScheduleFreeAdamW(0.02, weight_decay=0.1)")
    assert said.recipe.rule.name == "schedule_free_keras"


BESIDE = {
    "ema-often.keras": ((), ("ema_overwrite_frequency=3",)),
    "ema-sums.keras": (("average", "gradient_accumulator"), ("use_ema=True", "gradient_accumulation_steps=2")),
    "scaled.keras": ((), ("LossScaleOptimizer",)),
    "accumulated.keras": (("gradient_accumulator",), ("gradient_accumulation_steps=2",)),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_keras_keeps_and_does_beside_is_named(name: str) -> None:
    state = convert.load(FILES / name, "keras")
    left, beside = BESIDE[name]
    assert state.beside == beside
    assert state.left == left
    for target in ("torch", "ravine", "optax"):
        notes = " ".join(convert.move(state, target).notes)
        assert f"Not in a recipe, to be done in {target} as well: {', '.join(beside)}." in notes
        assert not state.left or "Left behind: " in notes


@pytest.mark.parametrize("name", BESIDE)
def test_what_resume_does_not_go_on_with_is_warned_of(name: str) -> None:
    left, beside = BESIDE[name]
    with pytest.warns(
        UserWarning, match=f"left behind, or to be done beside the optimizer: {', '.join((*left, *beside))}"
    ):
        convert.resume(FILES / name, zip("0123", parameters(name), strict=True), "keras")


def test_an_accumulation_counts_updates_and_not_calls() -> None:
    state = convert.load(FILES / "accumulated.keras", "keras")
    assert state.t == RECORDER.BEFORE // 2
    first = np.mean([RECORDER.gradients(t)[0] for t in (0, 1)], axis=0)
    second = np.mean([RECORDER.gradients(t)[0] for t in (2, 3)], axis=0)
    np.testing.assert_allclose(state.slots["0"]["delta"], -0.1 * (0.9 * first + second), rtol=1e-6)


CLIPPED = {
    "clipped.keras": ("optax.clip_by_global_norm(2.0)", "torch.nn.utils.clip_grad_norm_(parameters, 2.0) before each"),
    "clipvalue.keras": ("optax.clip(0.5)", "torch.nn.utils.clip_grad_value_(parameters, 0.5) before each step"),
    "clipnorm.keras": (None, "clip_grad_norm_(p, 1.0) for each parameter p before each step"),
}


@pytest.mark.parametrize("name", CLIPPED)
def test_clipping_goes_along_or_is_named(name: str) -> None:
    state = convert.load(FILES / name, "keras")
    link, words = CLIPPED[name]
    assert "clip" in convert.move(state, "keras").state.call
    there = convert.move(state, "optax")
    assert link is None or link in there.state.call
    assert link is not None or "in optax nothing does that" in " ".join(there.notes)
    assert words in " ".join(convert.move(state, "torch").notes)


@pytest.mark.parametrize("name", ["clipped.keras", "clipnorm.keras"])
def test_what_is_called_before_a_step_in_torch_does_what_the_clipping_did(name: str) -> None:
    """SGD is the same in both, while lr is constant. torch adds 1e-6 to the norm."""
    import torch

    params = parameters(name)
    outcome = convert.move(convert.load(FILES / name, "keras"), "torch")
    (note,) = (n for n in outcome.notes if "clip" in n)
    called = note.split("that is ")[1].split(" before")[0].replace("each parameter p", "p in parameters")
    called = f"[{called}]"
    optimizer = torch.optim.SGD([(str(k), p) for k, p in enumerate(params)], lr=0.1, momentum=0.9)
    optimizer.load_state_dict(convert.into_torch(convert.write(outcome.state), optimizer.state_dict()))
    optimizer.register_step_pre_hook(lambda *_: eval(called, {"torch": torch, "parameters": params}) and None)
    same(trained(params, optimizer), name)


def test_optax_clips_on_both_sides() -> None:
    """From a chain's file, in the same chain again and in torch."""
    line = "optax.chain(optax.clip_by_global_norm(2.0), optax.adamw(0.05))"
    goes_on("clipped.msgpack", "optax", NAMES, optimizer=line)
    optax = pytest.importorskip("optax", reason="optax is not installed")
    import jax.numpy as jnp

    state = convert.load(FILES / "clipped.msgpack", "optax", line)
    tx = eval(convert.move(state, "optax").state.call, {"optax": optax})
    x = dict(zip(NAMES, map(jnp.asarray, values("clipped.msgpack", "saved")), strict=True))
    there = convert.into_optax(convert.write(state), tx.init(x))
    for t in STEPS:
        grads = dict(zip(NAMES, map(jnp.asarray, RECORDER.gradients(t)), strict=True))
        updates, there = tx.update(grads, there, x)
        x = optax.apply_updates(x, updates)
    same([np.asarray(x[n]) for n in NAMES], "clipped.msgpack")


def test_ravines_own_clipping_goes_along() -> None:
    import ravine.torch

    params = [torch_parameter(v) for v in values("clipped.keras", "saved")]
    optimizer = ravine.torch.Adam([(str(k), p) for k, p in enumerate(params)], clip_global_norm=2.0)
    for p in params:
        p.grad = p.detach().clone()
    optimizer.step()
    state = optimizer.state_dict()
    _, call = convert.from_torch(state)
    assert call == "torch.Adam()"
    assert convert.groups(state)[0].beside == ("clip_global_norm=2.0",)
    own = convert.groups(ravine.recipe("clip_global_norm(lion)").torch(params).state_dict(), "clip_global_norm(lion)")
    assert ravine.Recipe.from_json(own[0].optimizer.call) == ravine.recipe("clip_global_norm(lion)")


def test_a_scaled_loss_and_sums_of_gradients_are_done_as_the_refusals_say() -> None:
    """Keras divides by loss_scale_factor, and steps every second time by the mean of two gradients."""
    with pytest.raises(ValueError, match="unscale the gradients before the optimizer sees them"):
        dialects.keras.Adam(loss_scale_factor=8.0)
    params = parameters("factor.keras")
    with pytest.warns(UserWarning, match="loss_scale_factor=8.0"):
        optimizer = convert.resume(FILES / "factor.keras", zip("0123", params, strict=True), "keras")
    for t in STEPS:
        for p, g in zip(params, RECORDER.gradients(t), strict=True):
            p.grad = torch_parameter(g).detach() / 8.0
        optimizer.step()
    same([p.detach().numpy() for p in params], "factor.keras")
    assert convert.load(FILES / "factor.keras", "keras").beside == ("loss_scale_factor=8.0",)

    with pytest.raises(ValueError, match="give it the mean of so many gradients"):
        dialects.keras.SGD(0.1, momentum=0.9, gradient_accumulation_steps=2)
    name = "accumulated.keras"
    params = parameters(name)
    with pytest.warns(UserWarning, match="gradient_accumulator, gradient_accumulation_steps=2"):
        optimizer = convert.resume(FILES / name, zip("0123", params, strict=True), "keras")
    for t in range(RECORDER.BEFORE, RECORDER.BEFORE + RECORDER.AFTER, 2):  # the fifth gradient waits in the file
        for p, a, b in zip(params, RECORDER.gradients(t - 1), RECORDER.gradients(t), strict=True):
            p.grad = torch_parameter((a + b) / 2).detach()
        optimizer.step()
    same([p.detach().numpy() for p in params], name)


OPTAX = {
    "chain.msgpack": "optax.adamw(0.1)",
    "inject.msgpack": "optax.sgd(0.05, momentum=0.9)",
    "multi.msgpack": "optax.rmsprop(0.01)",
}


@pytest.mark.parametrize("name", ["inject.msgpack", "multi.msgpack"])
def test_optax_in_a_file_of_flaxs(name: str) -> None:
    goes_on(name, "optax", NAMES, optimizer=OPTAX[name], step=5)


def test_what_a_wrapper_keeps_beside_is_named() -> None:
    found = convert.load(FILES / "multi.msgpack", "optax", OPTAX["multi.msgpack"])
    assert found.t == RECORDER.BEFORE
    assert {"mini_step", "acc_grads.one_bias"} <= set(found.left)
    assert "Left behind: " in convert.move(found, "torch").notes[0]


def test_a_schedule_and_a_chain_go_on_in_optax() -> None:
    """adamw inside a chain with a schedule: read from flax's file and put into the same tree again."""
    optax = pytest.importorskip("optax", reason="optax is not installed")
    import jax.numpy as jnp

    state = convert.load(FILES / "chain.msgpack", "optax", OPTAX["chain.msgpack"])
    assert state.t == RECORDER.BEFORE
    tx = optax.chain(optax.clip_by_global_norm(1e9), optax.adamw(optax.cosine_decay_schedule(0.1, 20)))
    x = dict(zip(NAMES, map(jnp.asarray, values("chain.msgpack", "saved")), strict=True))
    there = convert.into_optax(convert.write(state), tx.init(x))
    for t in STEPS:
        grads = dict(zip(NAMES, map(jnp.asarray, RECORDER.gradients(t)), strict=True))
        updates, there = tx.update(grads, there, x)
        x = optax.apply_updates(x, updates)
    for n, whole in zip(NAMES, values("chain.msgpack", "after"), strict=True):
        np.testing.assert_allclose(x[n], whole, rtol=5e-6)


WRAPPED = {
    "masked": lambda optax, tx: optax.masked(tx, {"w": True, "b": True}),
    "multi_transform": lambda optax, tx: optax.multi_transform({"all": tx}, {"w": "all", "b": "all"}),
    "apply_if_finite": lambda optax, tx: optax.apply_if_finite(tx, 3),
    "MultiSteps": lambda optax, tx: optax.MultiSteps(tx, 1).gradient_transformation(),
    "named_chain": lambda optax, tx: optax.named_chain(("clip", optax.clip(9.0)), ("adam", tx)),
    "behind another link": lambda optax, tx: optax.chain(optax.apply_every(1), tx),
    "chain of chains": lambda optax, tx: optax.chain(optax.clip(9.0), optax.chain(optax.identity(), tx)),
}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_an_optimizer_is_found_inside_a_tree(wrapper: str) -> None:
    optax = pytest.importorskip("optax", reason="optax is not installed")
    import jax.numpy as jnp

    x = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    tx = WRAPPED[wrapper](optax, optax.adam(0.1))
    state = tx.init(x)
    for t in range(3):
        grads = {n: jnp.full_like(v, 0.5 + t) for n, v in x.items()}
        updates, state = tx.update(grads, state, x)
        x = optax.apply_updates(x, updates)
    found = convert.read(convert.from_optax(state), "optax.adam(0.1)")
    assert found.t == 3
    assert sorted(found.slots) == ["b", "w"]
    assert wrapper != "behind another link" or found.left == ("0.grad_acc.b", "0.grad_acc.w")
    again = convert.into_optax(convert.write(found), tx.init(x))
    grads = {n: jnp.full_like(v, -0.5) for n, v in x.items()}
    (first, _), (second, _) = tx.update(grads, state, x), tx.update(grads, again, x)
    for n in x:
        np.testing.assert_array_equal(first[n], second[n])


def test_parts_of_a_tree_are_named_by_their_key(tmp_path: Path) -> None:
    """multi_transform has a state for each label; --key says which, with the schedule in its own call."""
    optax = pytest.importorskip("optax", reason="optax is not installed")
    import jax.numpy as jnp

    x = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    schedule = optax.linear_schedule(0.1, 0.0, 10)
    tx = optax.multi_transform({"m": optax.adam(schedule), "v": optax.sgd(0.1, momentum=0.9)}, {"w": "m", "b": "v"})
    _, state = tx.update(x, tx.init(x), x)
    np.savez(tmp_path / "a.npz", **convert.from_optax(state))
    calls = {"m": "optax.adam(optax.linear_schedule(0.1, 0.0, 10))", "v": "optax.sgd(0.1, momentum=0.9)"}
    found = {
        label: convert.load_groups(tmp_path / "a.npz", "optax", call, key=f"inner_states.{label}")[0].state
        for label, call in calls.items()
    }
    assert [list(own.slots) for own in found.values()] == [["w"], ["b"]]
    assert (found["m"].t, found["m"].recipe.hyper["lr"]) == (1, pytest.approx(0.09))
    with pytest.raises(ValueError, match=r"unknown place of an optimizer's state 'inner_states\.x'"):
        convert.load_groups(tmp_path / "a.npz", "optax", calls["v"], key="inner_states.x")


def test_what_a_train_state_keeps_beside_is_named(tmp_path: Path) -> None:
    """Averages of the parameters and a scale of the loss, as flax's programs keep them in their train states."""
    own = {"step": np.array(3), "params.w": np.ones(2), "ema_params.w": np.ones(2), "dynamic_scale.scale": np.ones(())}
    state = {"0.count": np.array(3), "0.mu.w": np.ones(2, "f4"), "0.nu.w": np.ones(2, "f4")}
    np.savez(tmp_path / "a.npz", **own, **{f"opt_state.{n}": v for n, v in state.items()})
    found = convert.load(tmp_path / "a.npz", "optax", "optax.adam(0.1)")
    assert (found.t, found.left) == (3, ("ema_params", "dynamic_scale"))
    assert "Left behind: ema_params, dynamic_scale." in convert.move(found, "torch").notes
    with pytest.warns(UserWarning, match="left behind, .*: ema_params, dynamic_scale"):
        convert.resume(tmp_path / "a.npz", [("w", torch_parameter(np.ones(2)))], "optax", optimizer="optax.adam(0.1)")


def test_what_inject_hyperparams_keeps_must_be_what_the_call_says() -> None:
    """A schedule's rate is another one at every step, and a constant one may have been changed by hand."""
    optax = pytest.importorskip("optax", reason="optax is not installed")
    import jax.numpy as jnp

    x = {"w": jnp.ones((2, 2))}
    for rate in (0.1, optax.linear_schedule(0.1, 0.0, 10)):
        tx = optax.inject_hyperparams(optax.adamw)(learning_rate=rate, weight_decay=0.01)
        state = tx.init(x)
        for _ in range(3):
            _, state = tx.update(x, state, x)
        tensors = convert.from_optax(state)
        found = convert.read(tensors, "optax.adamw(0.1, weight_decay=0.01)")
        assert (found.t, found.left) == (3, ())
        with pytest.raises(ValueError, match=r"the state is of weight_decay=0.01, and optax.adamw was given 0.0001"):
            convert.read(tensors, "optax.adamw(0.1)")
    tx = optax.inject_hyperparams(optax.adamw)(learning_rate=0.1)
    state = tx.init(x)
    state.hyperparams["learning_rate"] = jnp.asarray(0.03)
    with pytest.raises(ValueError, match=r"the state is of learning_rate=0.03, and optax.adamw was given 0.1"):
        convert.read(convert.from_optax(state), "optax.adamw(0.1)")


def test_an_average_beside_an_optimizer_is_left_behind_by_name() -> None:
    """optax's ema around Adam's steps: torch gets Adam's state, and is told what it does not get."""
    optax = pytest.importorskip("optax", reason="optax is not installed")
    import jax.numpy as jnp
    import torch

    tx = optax.chain(optax.adam(0.1), optax.ema(0.9))
    x = {"w": jnp.ones(3)}
    state = tx.init(x)
    for t in range(4):
        _, state = tx.update({"w": jnp.full(3, 1.0 + t)}, state, x)
    found = convert.read(convert.from_optax(state), "optax.adam(0.1)")
    assert (found.t, found.left) == (4, ("1.ema.w",))
    moved = convert.move(found, "torch")
    assert "Left behind: 1.ema.w." in moved.notes
    adam = torch.optim.Adam([("w", torch.nn.Parameter(torch.ones(3)))], lr=0.1)
    adam.load_state_dict(convert.into_torch(convert.write(moved.state), adam.state_dict()))
    (own,) = adam.state.values()
    np.testing.assert_array_equal(own["exp_avg"], state[0][0].mu["w"])
    with pytest.raises(ValueError, match=r"stands behind optax\.adam"):
        convert.load(FILES / "chain.msgpack", "optax", "optax.chain(optax.adam(0.1), optax.ema(0.9))")


@pytest.mark.parametrize("name", ["rmsprop_tf.pt", "rmsprop_tf_decay.pt"])
def test_timms_rmsprop_is_tensorflows(name: str) -> None:
    goes_on(name, "torch", list("0123"))
    loaded = convert.load_groups(FILES / name, "torch")[0]
    assert loaded.taken_for.startswith("timm's RMSpropTF, which is TensorFlow's RMSPropOptimizer: ")


def test_timms_rmsprop_goes_to_tensorflow_where_it_can() -> None:
    plain, decayed = (convert.load(FILES / n, "torch") for n in ("rmsprop_tf.pt", "rmsprop_tf_decay.pt"))
    outcome = convert.move(plain, "tensorflow")
    assert (outcome.grade, outcome.state.kept.constructor.name) == ("exact", "RMSPropOptimizer")  # type: ignore[union-attr]
    assert "has no coupled weight decay" in " ".join(convert.move(decayed, "tensorflow").reasons)


def _config(path: Path, change: Any) -> None:
    with zipfile.ZipFile(FILES / "adam.keras") as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            own = source.read(name)
            target.writestr(name, json.dumps(change(json.loads(own))) if name == "config.json" else own)


def _schedule(config: Any) -> Any:
    rate = {"class_name": "MyDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 10}}
    config["compile_config"]["optimizer"]["config"]["learning_rate"] = rate
    return config


def _unknown(config: Any) -> Any:
    config["compile_config"]["optimizer"]["class_name"] = "MyOptimizer"
    return config


def _muon(config: Any) -> Any:
    config["compile_config"]["optimizer"]["class_name"] = "Muon"
    return config


def _uncompiled(config: Any) -> Any:
    config["compile_config"] = None
    return config


BAD = {
    "half.keras": (lambda p: p.write_bytes((FILES / "adam.keras").read_bytes()[:9000]), "is damaged"),
    "empty.h5": (lambda p: p.write_bytes(b""), "is damaged"),
    "text.keras": (lambda p: p.write_text("hello"), "is damaged"),
    "half.msgpack": (lambda p: p.write_bytes((FILES / "chain.msgpack").read_bytes()[:300]), "is damaged"),
    "list.msgpack": (lambda p: p.write_bytes(b"\x91\x01"), "no tree of arrays"),
    "object.msgpack": (lambda p: p.write_bytes(b"\x81\xa1a\xc7\x01\x09a"), "kind 9"),
    "unsaid.weights.h5": (
        lambda p: p.write_bytes((FILES / "amsgrad.weights.h5").read_bytes()),
        "doesn't say its optimizer",
    ),
    "schedule.keras": (lambda p: _config(p, _schedule), "is the schedule MyDecay, which is none of"),
    "unknown.keras": (lambda p: _config(p, _unknown), r"keras\.MyOptimizer, which no rule"),
    "muon.keras": (lambda p: _config(p, _muon), "keeps Adam's averages for them: no one recipe goes on with both"),
    "uncompiled.keras": (lambda p: _config(p, _uncompiled), "doesn't say its optimizer"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused(name: str, tmp_path: Path) -> None:
    make, words = BAD[name]
    make(tmp_path / name)
    with pytest.raises(ValueError, match=words):
        convert.load(
            tmp_path / name, "optax" if "msgpack" in name else "keras", "optax.adam(0.1)" if "msgpack" in name else None
        )


def test_another_optimizer_than_the_files_does_not_fit() -> None:
    with pytest.raises(ValueError, match="no whole number of"):
        convert.load(FILES / "amsgrad.weights.h5", "keras", "keras.Nadam()")
    with pytest.raises(ValueError, match=r"unknown tensor for optax\.rmsprop: '1\.0\.mu"):
        convert.load(FILES / "chain.msgpack", "optax", "optax.rmsprop(0.1)")


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FINE", 10)
    monkeypatch.setattr(files, "MOST_PACKED", 0)
    for name in ("adam.keras", "adamw.h5", "lightning.ckpt", "after.npz"):
        with pytest.raises(ValueError, match="it would unpack to 0 GiB"):
            convert.load(FILES / name, "torch" if name == "lightning.ckpt" else "keras", "keras.Adam()")


def _twice(path: Path, inside: str, data: bytes) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr(inside, data)


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    import torch

    shutil.copy(FILES / "adam.keras", tmp_path / "a.keras")
    np.savez(tmp_path / "a.npz", w=np.ones(2))
    torch.save(torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]).state_dict(), tmp_path / "a.pt")
    for name, inside in (("a.keras", "config.json"), ("a.npz", "w.npy"), ("a.pt", "a/data.pkl")):
        _twice(tmp_path / name, inside, b"")
        with pytest.raises(ValueError, match=f"it has '{inside}' twice"):
            convert.load(
                tmp_path / name, "torch" if name == "a.pt" else "keras", None if name == "a.pt" else "keras.SGD()"
            )


def test_an_array_that_claims_to_be_larger_is_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("w.npy", header.getvalue() + bytes(100))
    with pytest.raises(ValueError, match="has fewer bytes than its shape"):
        convert.load(tmp_path / "a.npz", "keras", "keras.SGD()")


def test_groups_are_written_all_or_none(tmp_path: Path) -> None:
    """The second group's parameters are at steps of their own, which Keras can't hold: nothing is written."""
    import torch
    from click.testing import CliRunner

    from ravine.cli.convert import convert as command

    a, b, c = (torch.nn.Parameter(torch.ones(2)) for _ in range(3))
    optimizer = torch.optim.Adam([{"params": [a], "lr": 0.1}, {"params": [b, c], "lr": 0.2}], eps=0.0)
    for p in (a, b, c):
        p.grad = torch.ones(2)
    optimizer.step()
    c.grad = None
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "two.pt")
    done = CliRunner().invoke(command, [str(tmp_path / "two.pt"), "--from", "torch", "--to", "keras"])
    assert "different steps" in str(done.exception)
    assert [p.name for p in tmp_path.iterdir()] == ["two.pt"]


@pytest.mark.skipif(importlib.util.find_spec("h5py") is None, reason="h5py is not installed")
def test_the_recorder_and_the_tests_make_the_same_gradients() -> None:
    assert [g.shape for g in RECORDER.gradients(0)] == list(RECORDER.SHAPES.values())
