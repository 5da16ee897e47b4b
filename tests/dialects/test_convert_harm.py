"""Files that are damaged, or made to do harm: a clear error, nothing written, nothing read elsewhere."""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ravine import convert

pytest.importorskip("torch", reason="torch is not installed")
h5py = pytest.importorskip("h5py", reason="h5py is not installed")
msgpack = pytest.importorskip("msgpack", reason="msgpack is not installed")

from recorded_files import FILES

SGD = "keras.SGD(0.1, momentum=0.9)"


def other_byte(path: Path, name: str) -> None:
    """One byte of a tensor in an archive is another, with the checksum of what it was."""
    with zipfile.ZipFile(FILES / name) as archive:
        inside = next(i for i in archive.infolist() if "/data/" in i.filename and i.file_size > 8)
        number = archive.read(inside)
    whole = bytearray((FILES / name).read_bytes())
    at = whole.index(number)
    whole[at + 2] ^= 1
    path.write_bytes(whole)


def variables(path: Path) -> h5py.Group:
    group = h5py.File(path, "w").create_group("optimizer/vars")
    group.create_dataset("0", data=3)
    group.create_dataset("1", data=np.float32(0.1))
    return group


def linked(path: Path) -> None:
    group = variables(path)
    group["2"] = h5py.ExternalLink(str(FILES / "adamw.h5"), "optimizer_weights")
    group.file.close()


def linked_higher_up(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["optimizer"] = h5py.ExternalLink(str(FILES / "amsgrad.weights.h5"), "optimizer")


def stored_outside(path: Path) -> None:
    path.with_name("numbers").write_bytes(bytes(16))
    group = variables(path)
    group.create_dataset("2", shape=(4,), dtype="f4", external=[(str(path.with_name("numbers")), 0, 16)])
    group.file.close()


def virtual(path: Path) -> None:
    group = variables(path)
    layout = h5py.VirtualLayout(shape=(3, 4), dtype="f4")
    layout[:] = h5py.VirtualSource(str(FILES / "amsgrad.weights.h5"), "optimizer/vars/2", shape=(3, 4))
    group.create_virtual_dataset("2", layout)
    group.file.close()


def twice_in_safetensors(path: Path) -> None:
    entry = '"w_momentum":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
    header = f"{{{entry},{entry}}}".encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))


def twice_in_msgpack(path: Path) -> None:
    one = msgpack.packb("a") + msgpack.packb(1)
    path.write_bytes(b"\x82" + one + one)


def deep(path: Path) -> None:
    path.write_bytes(b"\x81\xa1a" * 100_000 + b"\x01")


HARM: dict[str, tuple[Callable[[Path], None], str, str | None, str]] = {
    "flipped.ckpt": (lambda p: other_byte(p, "lightning.ckpt"), "torch", None, "is not what was written, by its check"),
    "linked.h5": (linked, "keras", SGD, "leads to another file, at '2'"),
    "higher.h5": (linked_higher_up, "keras", SGD, "leads to another file, at 'optimizer'"),
    "stored.h5": (stored_outside, "keras", SGD, "has its numbers in another file, at '/optimizer/vars/2'"),
    "virtual.h5": (virtual, "keras", SGD, "has its numbers in another file, at '/optimizer/vars/2'"),
    "twice.safetensors": (twice_in_safetensors, "keras", SGD, "it has 'w_momentum' twice"),
    "twice.msgpack": (twice_in_msgpack, "optax", "optax.adam(0.1)", "it has 'a' twice"),
    "deep.msgpack": (deep, "optax", "optax.adam(0.1)", "is damaged, or not a file of flax's: StackError"),
}


@pytest.mark.parametrize("name", HARM)
def test_harm_is_refused(name: str, tmp_path: Path) -> None:
    make, framework, call, words = HARM[name]
    make(tmp_path / name)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=words) as raised:
        convert.convert(
            tmp_path / name, tmp_path / "out.npz", source_framework=framework, target_framework="ravine", call=call
        )
    assert name in str(raised.value)
    assert sorted(tmp_path.iterdir()) == before


def test_a_name_twice_in_an_orbax_tree_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore", reason="tensorstore is not installed")
    shutil.copytree(FILES / "orbax", tmp_path / "orbax")
    described = tmp_path / "orbax" / "_METADATA"
    text = described.read_text()
    name, entry = next(iter(json.loads(text)["tree_metadata"].items()))
    described.write_text(
        text.replace('"tree_metadata": {', f'"tree_metadata": {{{json.dumps(name)}: {json.dumps(entry)}, ')
    )
    with pytest.raises(ValueError, match="twice"):
        convert.load(tmp_path / "orbax", "optax", "optax.adamw(0.1)")
