"""Folders that orbax wrote, and train states: the optimizer found inside, and training that goes on from there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ravine import convert
from ravine.convert import orbax_files
from ravine.convert.optax_tree import of_train_state

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("tensorstore", reason="tensorstore is not installed")

from recorded_files import FILES, RECORDER, goes_on

CALL = "optax.chain(optax.clip_by_global_norm(1e9), optax.adamw(0.05))"
NAMES = [n.replace("/", "_") for n in RECORDER.SHAPES]


@pytest.mark.parametrize("name", ["orbax", "orbax-steps"])
def test_training_goes_on(name: str) -> None:
    goes_on(name, "optax", NAMES, optimizer=CALL)
    assert convert.load(FILES / name, "optax", CALL).t == RECORDER.BEFORE


def test_the_last_step_is_taken(tmp_path: Path) -> None:
    shutil.copytree(FILES / "orbax-steps" / "5", tmp_path / "10")
    (tmp_path / "9").mkdir()
    assert orbax_files.folder(tmp_path) == tmp_path / "10" / "default"
    shutil.copytree(FILES / "orbax", tmp_path / "10" / "more")
    with pytest.raises(ValueError, match="holds several items, default, more: name one"):
        orbax_files.folder(tmp_path)


def test_a_train_state_is_opened() -> None:
    leaf = np.ones(2)
    whole = {"params.w": leaf, "opt_state.0.mu.w": leaf, "step": leaf, "other.0.mu.w": 2 * leaf}
    assert list(of_train_state(whole, None)) == ["0.mu.w"]
    np.testing.assert_array_equal(of_train_state(whole, "other")["0.mu.w"], 2 * leaf)
    assert of_train_state({"0.mu.w": leaf}, None) == {"0.mu.w": leaf}
    with pytest.raises(ValueError, match="unknown place of an optimizer's state 'optstate'; did you mean 'opt_state'"):
        of_train_state(whole, "optstate")


def _without(folder: Path, kind: str) -> None:
    for own in folder.rglob("*"):
        if own.is_file() and own.parent.name == kind:
            own.unlink()


def _metadata(folder: Path, change: Any) -> None:
    found = json.loads((folder / "_METADATA").read_text())
    change(found)
    (folder / "_METADATA").write_text(json.dumps(found))


BAD: dict[str, tuple[Any, str]] = {
    "no data": (lambda f: _without(f, "d"), "is damaged"),
    "cut manifest": (lambda f: (f / "manifest.ocdbt").write_bytes((f / "manifest.ocdbt").read_bytes()[:60]), "damaged"),
    "cut description": (lambda f: (f / "_METADATA").write_text("{"), "is damaged"),
    "no tree": (lambda f: (f / "_METADATA").write_text("{}"), "is damaged"),
    "an array too many": (
        lambda f: _metadata(
            f, lambda m: m["tree_metadata"].update(more={"key_metadata": [{"key": "x"}], "value_metadata": {}})
        ),
        "is damaged",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_folder_is_refused(case: str, tmp_path: Path) -> None:
    change, words = BAD[case]
    shutil.copytree(FILES / "orbax", tmp_path / "orbax")
    change(tmp_path / "orbax")
    with pytest.raises(ValueError, match=words):
        convert.load(tmp_path / "orbax", "optax", CALL)


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orbax_files, "MOST_PACKED", 0)
    with pytest.raises(ValueError, match="larger than its files can hold"):
        convert.load(FILES / "orbax", "optax", CALL)
