"""Files that the real frameworks wrote, and training that goes on from them as it did there."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ravine import convert
from ravine.convert import keras_files

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("h5py", reason="h5py is not installed")
pytest.importorskip("msgpack", reason="msgpack is not installed")

from recorded_files import FILES, RECORDER, STEPS, goes_on, values

NAMED = ("adamw.h5", "nadam.h5")  # has the variables by name, as optax has
NAMES = [n.replace("/", "_") for n in RECORDER.SHAPES]


KERAS = sorted(p.name for p in FILES.iterdir() if p.suffix in keras_files.KINDS and "legacy" not in p.name)


@pytest.mark.parametrize("name", KERAS)
def test_keras(name: str) -> None:
    how = {"optimizer": "keras.Adam(0.01, amsgrad=True)"} if ".weights." in name else {}
    names = list("0123")
    if name in NAMED:
        names = list(convert.load(FILES / name, "keras").slots)
        names.sort(key=lambda n: next(i for i, own in enumerate(NAMES) if n.endswith(own)))
    goes_on(name, "keras", names, **how)


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
    again = convert.into_optax(convert.write(found), tx.init(x))
    grads = {n: jnp.full_like(v, -0.5) for n, v in x.items()}
    (first, _), (second, _) = tx.update(grads, state, x), tx.update(grads, again, x)
    for n in x:
        np.testing.assert_array_equal(first[n], second[n])


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
    rate = {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 10}}
    config["compile_config"]["optimizer"]["config"]["learning_rate"] = rate
    return config


def _ftrl(config: Any) -> Any:
    config["compile_config"]["optimizer"]["class_name"] = "Ftrl"
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
    "schedule.keras": (lambda p: _config(p, _schedule), "is the schedule CosineDecay: give the optimizer"),
    "ftrl.keras": (lambda p: _config(p, _ftrl), r"keras\.Ftrl, which no rule"),
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
    monkeypatch.setattr(keras_files, "LARGEST", 1000)
    with pytest.raises(ValueError, match="larger than any model"):
        convert.load(FILES / "adam.keras", "keras")


@pytest.mark.skipif(importlib.util.find_spec("h5py") is None, reason="h5py is not installed")
def test_the_recorder_and_the_tests_make_the_same_gradients() -> None:
    assert [g.shape for g in RECORDER.gradients(0)] == list(RECORDER.SHAPES.values())
