"""Checkpoints that TensorFlow wrote, read without it: TensorFlow 1's Saver, tf.train.Checkpoint, Keras 2's own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ravine import convert
from ravine.cli.convert import convert as command
from ravine.convert import bundle

pytest.importorskip("torch", reason="torch is not installed")

from recorded_files import FILES, RECORDER, goes_on

ORDER = list(RECORDER.SHAPES)
SAVED = {
    "saver-rmsprop": "tf.train.RMSPropOptimizer(0.01, momentum=0.9, epsilon=0.1)",
    "saver-centered": "tf.train.RMSPropOptimizer(0.01, momentum=0.5, centered=True, name='mine')",
    "saver-adam": "tf.train.AdamOptimizer(0.01)",
    "saver-momentum": "tf.train.MomentumOptimizer(0.1, 0.9, use_nesterov=True)",
    "saver-adadelta": "tf.train.AdadeltaOptimizer(1.0)",
    "saver-parted": "tf.train.AdamOptimizer(0.01)",  # partitioned variables
}


@pytest.mark.parametrize("name", SAVED)
def test_tensorflow_1_goes_on(name: str) -> None:
    goes_on(name, "tensorflow", ORDER, optimizer=SAVED[name])
    assert convert.load(FILES / name, "tensorflow", SAVED[name]).t == RECORDER.BEFORE  # from global_step


@pytest.mark.parametrize(
    ("name", "call"), [("checkpoint", "keras.AdamW(0.01, weight_decay=0.1)"), ("keras2-adam", "keras.Adam(0.01)")]
)
def test_keras_in_a_checkpoint_of_objects_goes_on(name: str, call: str) -> None:
    goes_on(name, "keras", list("0123"), optimizer=call)


LEGACY = {"legacy-adam": "keras_legacy.Adam", "legacy-model": "keras_legacy.Adagrad", "legacy-rmsprop.h5": None}


@pytest.mark.parametrize("name", LEGACY)
def test_a_legacy_optimizer_goes_on_with_the_files_own_numbers(name: str) -> None:
    state = convert.load(FILES / name, "keras_legacy", LEGACY[name])
    layers = {"layer_with_weights-0": "one", "layer_with_weights-1": "two"}
    names = {n.replace(k, v).removeprefix("net/"): n for n in state.slots for k, v in layers.items() if k in n}
    goes_on(name, "keras_legacy", [names.get(n, n) for n in ORDER], optimizer=LEGACY[name])


def test_what_the_file_has_completes_the_call() -> None:
    found = convert.load_groups(FILES / "legacy-adam", "keras_legacy", "tf.keras.optimizers.legacy.Adam(beta_1=0.5)")
    assert found[0].taken_for == "keras_legacy.Adam(beta_1=0.5, decay=0.05, learning_rate=0.01)"


def test_a_checkpoint_is_named_as_tensorflow_names_it(tmp_path: Path) -> None:
    """By its folder, by its prefix, and by its index."""
    folder = FILES / "saver-adam"
    found = [
        convert.load(p, "tensorflow", "tensorflow.AdamOptimizer(0.01)")
        for p in (folder, folder / "model.ckpt-5", folder / "model.ckpt-5.index")
    ]
    for other in found[1:]:
        np.testing.assert_array_equal(other.slots["one/bias"]["v"], found[0].slots["one/bias"]["v"])
    out = tmp_path / "state.npz"
    call = ["--optimizer", "tf.train.AdamOptimizer(0.01)"]
    where = [str(folder / "model.ckpt-5"), "--from", "tensorflow", "--to", "keras", "--out", str(out)]
    done = CliRunner().invoke(command, [*where, *call])
    assert done.exit_code == 0, done.output
    assert convert.load(out, "keras").t == RECORDER.BEFORE


def _changed(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


INDEX, DATA = "model.ckpt-5.index", "model.ckpt-5.data-00000-of-00001"
ADAM = "tensorflow.AdamOptimizer(0.01)"
BAD: dict[str, tuple[Any, str | None, str]] = {
    "cut index": (lambda f: (f / INDEX).write_bytes((f / INDEX).read_bytes()[:-60]), ADAM, "its end is not a table"),
    "empty index": (lambda f: (f / INDEX).write_bytes(b""), ADAM, "its end is not a table's"),
    "changed index": (lambda f: _changed(f / INDEX, 40), ADAM, "its table has a wrong checksum"),
    "changed footer": (lambda f: _changed(f / INDEX, -45), ADAM, "is damaged"),
    "cut data": (lambda f: (f / DATA).write_bytes((f / DATA).read_bytes()[:50]), ADAM, "is cut off"),
    "changed data": (lambda f: _changed(f / DATA, 70), ADAM, "has a wrong checksum"),
    "no data": (lambda f: (f / DATA).unlink(), ADAM, "No such file"),
    "no call": (lambda f: None, None, r"its slots are named Adam\): give it, as in --optimizer"),
    "another": (lambda f: None, "tensorflow.RMSPropOptimizer(0.01)", r"no variable that ends in '/RMSProp' .*Adam"),
    "another of its name": (lambda f: None, "tensorflow.MomentumOptimizer(0.1, 0.9, name='Adam')", "has '.*/Adam_1'"),
    "a keras": (lambda f: None, "keras.Adam(0.01)", "is from keras.Adam, not from tensorflow"),
    "several": (lambda f: _twice(f), ADAM, "several checkpoints, model.ckpt-5, other: name one"),
    "outside": (lambda f: _pointing_outside(f), ADAM, "several checkpoints"),
}


def _twice(folder: Path) -> None:
    (folder / "checkpoint").unlink()
    shutil.copy(folder / INDEX, folder / "other.index")


def _pointing_outside(folder: Path) -> None:
    _twice(folder)
    (folder / "checkpoint").write_text('model_checkpoint_path: "/etc/../saver-rmsprop/passwd"')


@pytest.mark.parametrize("case", BAD)
def test_a_bad_checkpoint_is_refused(case: str, tmp_path: Path) -> None:
    change, call, words = BAD[case]
    folder = tmp_path / "saver-adam"
    shutil.copytree(FILES / "saver-adam", folder)
    change(folder)
    with pytest.raises(ValueError, match=words):
        convert.load(folder, "tensorflow", call)


def test_numbers_keep_their_order_as_bytes() -> None:
    """TensorFlow's own codes, and the order of all that slices need."""
    known = {0: "80", 1: "81", 63: "bf", 64: "c040", 8192: "e02000", -1: "7f", -64: "40", -65: "3fbf"}
    assert {n: bundle._ordered(n).hex() for n in known} == known
    codes = [bundle._ordered(n) for n in (-(2**40), *range(-70, 70), 8191, 8192, 2**20, 2**40)]
    assert codes == sorted(codes)


def _sliced(change: Any) -> dict[bytes, bytes]:
    entries = dict(bundle._table((FILES / "saver-parted" / INDEX).read_bytes()))
    keys = [k for k in entries if k.startswith(b"\0\0") or k[:1] == b"\0"]
    change(entries, [k for k in keys if b"one/kernel\0" in k])
    return entries


def _overlapping(entries: dict[bytes, bytes], keys: list[bytes]) -> None:
    """Two slices of 2 × 4 and 1 × 4, said to begin at row 0 and at row 1."""
    name = next(k for k in entries if k == b"one/kernel")
    first = bundle._entry(entries[name]).slices[0]
    second = ((1, 1), first[1])
    entries[bundle._key(name, second)] = entries.pop(keys[1])
    old = entries[name]
    entries[name] = old.replace(bytes([8, 2, 16, 1]), bytes([8, 1, 16, 1]))
    assert entries[name] != old


WRONG_SLICES = {
    "missing": (lambda entries, keys: entries.pop(keys[0]), "slices of 'one/kernel' are missing"),
    "too few": (
        lambda entries, keys: entries.update({keys[0]: entries[keys[1]]}),
        "the slices of 'one/kernel' don't fill its shape",
    ),
    "overlapping": (_overlapping, "lie on each other"),
}


@pytest.mark.parametrize("case", WRONG_SLICES)
def test_slices_that_are_no_whole_are_refused(case: str) -> None:
    change, words = WRONG_SLICES[case]
    entries = _sliced(change)
    name = b"one/kernel"
    with pytest.raises(ValueError, match=words):
        bundle._joined(name, bundle._entry(entries[name]), entries, [FILES / "saver-parted" / DATA])


def test_an_optimizer_that_is_not_there_is_said() -> None:
    with pytest.raises(ValueError, match=r"no optimizer at 'opt': \['optimizer'\]"):
        convert.load_groups(FILES / "legacy-adam", "keras_legacy", "keras_legacy.Adam", key="opt")


def test_the_checksum_is_crc_32c() -> None:
    """RFC 3720, appendix B.4, and lengths around every edge."""
    assert bundle.crc32c(b"123456789") == 0xE3069283
    assert bundle.crc32c(bytes(32)) == 0x8A9136AA
    assert bundle.crc32c(bytes(range(32))) == 0x46DD794E
    data = np.random.default_rng(0).integers(0, 256, 300, np.uint8).tobytes()
    for length in range(len(data)):
        state = 0xFFFFFFFF
        for byte in data[:length]:
            state = int(bundle.STEP[(state ^ byte) & 255]) ^ (state >> 8)
        assert bundle.crc32c(data[:length]) == state ^ 0xFFFFFFFF
