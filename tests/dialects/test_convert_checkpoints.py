"""Checkpoints of programs around torch: Lightning, Accelerate, the Trainer of transformers, distributed ones."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ravine import convert
from ravine.cli.convert import convert as command
from ravine.convert import sharded
from ravine.convert.torch_names import assigned

torch = pytest.importorskip("torch", reason="torch is not installed")

from recorded_files import FILES, RECORDER, goes_on, values

NAMES = list(RECORDER.MODEL)
BARE = [n.removeprefix("net.") for n in NAMES]
DISTRIBUTED = ["sharded", "sharded-flat", "sharded-numbers", "fqn.pt", "flattened.pt"]


@pytest.mark.parametrize("name", ["accelerate", "trainer", *DISTRIBUTED])
def test_training_goes_on_by_the_names_of_the_model(name: str) -> None:
    goes_on(name, "torch", BARE, RECORDER.MODEL)


@pytest.mark.parametrize("name", ["accelerate", "trainer", *DISTRIBUTED])
def test_each_state_is_the_parameters_own(name: str) -> None:
    """Groups, layouts and files of one run agree on what belongs to which name."""
    if name == "trainer":  # safetensors sorts its names, so the file can't tell them
        found = convert.load_groups(FILES / name, "torch")
        assert [sorted(g.state.slots) for g in found] == [["0", "1"], list("2345")]
        assert "sorts its names" in found[0].notes[0]
        return
    found = {n: own for g in convert.load_groups(FILES / name, "torch") for n, own in g.state.slots.items()}
    assert sorted(found) == sorted(BARE)
    if name != "accelerate":
        same = {n: own for g in convert.load_groups(FILES / "fqn.pt", "torch") for n, own in g.state.slots.items()}
        for n, own in found.items():
            for slot, value in own.items():
                np.testing.assert_array_equal(value, same[n][slot])


def test_lightnings_names_are_those_of_its_model() -> None:
    decayed, rest = convert.load_groups(FILES / "lightning.ckpt", "torch")
    assert sorted(decayed.state.slots) == ["net.one.weight", "net.two.weight"]
    assert sorted(rest.state.slots) == ["net.norm.bias", "net.norm.weight", "net.one.bias", "net.two.bias"]
    assert decayed.notes == ("The names are those of the model's state dict, told by order and shape.",)


def test_the_trainers_names_are_those_of_the_config(tmp_path: Path) -> None:
    """Query, key and value have one shape; the decayed parameters come first. The model's class knows their order."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=11, max_position_embeddings=12, **sizes)
    model = transformers.BertForSequenceClassification(config)
    named = dict(model.named_parameters())
    decayed = {n: p for n, p in named.items() if p.ndim > 1}
    rest = {n: p for n, p in named.items() if p.ndim == 1}
    groups = [{"params": list(decayed.values()), "weight_decay": 0.1}, {"params": list(rest.values())}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
    for k, p in enumerate(named.values()):
        p.grad = torch.full_like(p, 1.0 + k)
    optimizer.step()
    model.save_pretrained(tmp_path)
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    loaded = convert.load_groups(tmp_path, "torch")
    assert [list(own.state.slots) for own in loaded] == [list(decayed), list(rest)]
    for k, name in enumerate(named):
        own = next(g.state.slots[name] for g in loaded if name in g.state.slots)
        np.testing.assert_allclose(own["m"], 0.1 * (1.0 + k), rtol=1e-6)


def test_the_command_takes_a_folder(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        command, [str(FILES / "sharded"), "--from", "torch", "--to", "optax", "--out", str(tmp_path / "s.npz")]
    )
    assert done.exit_code == 0, done.output
    first = convert.load(tmp_path / "s.0.npz", "optax")
    assert sorted(first.slots) == ["one.weight", "two.weight"]


ASSIGNED = {
    "in order": ([[(2,), (3,)]], [("a", (2,)), ("b", (3,))], [["a", "b"]]),
    "with one between": ([[(2,), (3,)]], [("a", (2,)), ("x", (4,)), ("b", (3,))], [["a", "b"]]),
    "in groups": ([[(2, 2), (2, 2)], [(2,)]], [("a", (2, 2)), ("b", (2,)), ("c", (2, 2))], [["a", "c"], ["b"]]),
    "unknown shapes": ([[None, None]], [("a", (2,)), ("b", (3,))], [["a", "b"]]),
    "one too many, alike": ([[(2,)]], [("a", (2,)), ("b", (2,))], None),
    "groups alike": ([[(2,)], [(2,)]], [("a", (2,)), ("b", (2,))], None),
    "another shape": ([[(2,)]], [("a", (3,))], None),
    "too few": ([[(2,), (2,)]], [("a", (2,))], None),
    "turned round": ([[(2,), (3,)]], [("b", (3,)), ("a", (2,))], None),
    "nothing": ([[]], [], [[]]),
}


@pytest.mark.parametrize("case", ASSIGNED)
def test_names_are_told_where_they_fit_in_one_way(case: str) -> None:
    groups, model, found = ASSIGNED[case]
    assert assigned(groups, model) == found  # type: ignore[arg-type]


def test_many_ways_are_given_up_in_time() -> None:
    groups: list[list[Any]] = [[(2,)] * 100 for _ in range(6)]
    assert assigned(groups, [(str(i), (2,)) for i in range(700)]) is None


def test_a_model_that_does_not_fit_is_refused() -> None:
    params = [(n, torch.nn.Parameter(torch.zeros(3))) for n in "abcdef"]
    with pytest.raises(ValueError, match="fit them in no way or in several"):
        convert.resume(FILES / "trainer", params, "torch")


def test_tied_weights_and_buffers_are_one_parameter_and_none() -> None:
    from ravine.convert.torch_names import entries

    shared = torch.zeros(3, 2)
    model = {"embed": shared, "norm.running_mean": torch.zeros(2), "count": torch.tensor(1), "head": shared}
    assert entries(model) == [("embed", (3, 2))]


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch HACKED",)


def _copy(to: Path, change: Any) -> Path:
    shutil.copytree(FILES / "sharded", to)
    change(to)
    return to


def _described(folder: Path, change: Any) -> None:
    with (folder / ".metadata").open("rb") as file:
        found = sharded._Unpickler(file).load()
    change(found)
    (folder / ".metadata").write_bytes(pickle.dumps(found))


def _outside(found: Any) -> None:
    for place in found.storage_data.values():
        place.relative_path = "../lightning.ckpt"


def _huge(found: Any) -> None:
    key = next(k for k, v in found.state_dict_metadata.items() if hasattr(v, "size"))
    found.state_dict_metadata[key].size = torch.Size((10**9, 10**9))


def _lacking(found: Any) -> None:
    found.storage_data.pop(next(k for k in found.storage_data if k.fqn.endswith("square_avg")))


def _evil(folder: Path, found: Any) -> None:
    torch.save(Evil(), folder / "__0_0.distcp")
    for place in found.storage_data.values():
        place.offset, place.length = 0, (folder / "__0_0.distcp").stat().st_size


BAD = {
    "code in the description": (lambda f: (f / ".metadata").write_bytes(pickle.dumps(Evil())), "names posix.system"),
    "code in a shard": (lambda f: _described(f, lambda found: _evil(f, found)), "is damaged"),
    "cut shard": (lambda f: (f / "__0_0.distcp").write_bytes((f / "__0_0.distcp").read_bytes()[:20_000]), "is damaged"),
    "cut description": (lambda f: (f / ".metadata").write_bytes((f / ".metadata").read_bytes()[:300]), "is damaged"),
    "no shard": (lambda f: (f / "__0_0.distcp").unlink(), "No such file"),
    "outside": (lambda f: _described(f, _outside), "outside of the folder"),
    "bomb": (lambda f: _described(f, _huge), "larger than all files together"),
    "lacking": (lambda f: _described(f, _lacking), "is not whole"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_folder_is_refused_and_nothing_is_run(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change, words = BAD[case]
    folder = _copy(tmp_path / "sharded", change)
    monkeypatch.chdir(tmp_path)
    before = sorted(p.name for p in tmp_path.rglob("*"))
    done = CliRunner().invoke(command, [str(folder), "--from", "torch", "--to", "keras"])
    assert done.exit_code != 0
    assert words in str(done.exception)
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


def test_code_in_a_torch_file_is_named_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"optimizer": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match=r"holds an object of posix\.system, and more than tensors"):
        convert.load(tmp_path / "evil.pt", "torch")
    assert [p.name for p in tmp_path.iterdir()] == ["evil.pt"]


def test_compressed_shards_are_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match=r"shards that are compressed \(stream\.zstd/1\).*save it again without"
    ) as told:
        convert.load(FILES / "sharded-compressed", "torch")
    assert "damaged" not in str(told.value)


def test_a_folder_of_nothing_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no checkpoint.*optimizer\.pt"):
        convert.load(tmp_path, "torch")


def test_values_are_recorded_for_every_file() -> None:
    assert all(len(values(n, "after")) == len(NAMES) for n in ("lightning.ckpt", "trainer", *DISTRIBUTED))
