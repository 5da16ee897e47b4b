"""Names and layouts of parameters on their way from one framework to another."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ravine import convert
from ravine.cli.convert import convert as command
from ravine.convert import renaming

RULES = {
    "exact": (["a=b"], ["a", "c"], {"a": "b"}),
    "pattern": (["enc.*=encoder.*"], ["enc.0.w", "enc.1.w", "x"], {"enc.0.w": "encoder.0.w", "enc.1.w": "encoder.1.w"}),
    "two stars": (["l*/k*=m*.w*"], ["l1/k2"], {"l1/k2": "m1.w2"}),
    "a star dropped": (["a.*.*=b.*"], ["a.x.y"], {"a.x.y": "b.x"}),
    "the first that fits": (["a.w=first", "a.*=b.*"], ["a.w", "a.v"], {"a.w": "first", "a.v": "b.v"}),
    "letters of patterns are letters": (["a.b=c"], ["a.b", "axb"], {"a.b": "c"}),
    "an equals sign": (["a=b=c"], ["a"], {"a": "b=c"}),
}


@pytest.mark.parametrize("case", RULES)
def test_rules_turn_names(case: str) -> None:
    texts, names, found = RULES[case]
    assert renaming.by_rules(renaming.rules(texts), names) == found


def test_rules_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text(json.dumps({"a.*": "b.*", "x": "y"}))
    (tmp_path / "map.txt").write_text("# the encoder\na.* = b.*\n\nx=y\n")
    for name in ("map.json", "map.txt"):
        assert renaming.rules([str(tmp_path / name)]) == [("a.*", "b.*"), ("x", "y")]


BAD = {
    "no rule": ("old", "expected OLD=NEW or a file"),
    "more stars": ("a.*=b.*.*", r"the new name has more \* than"),
    "list.json": ("[1]", "must be an object of old names"),
    "broken.json": ("{", "is no JSON"),
    "broken.txt": ("a=b\nc", "expected OLD=NEW, got 'c'"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_rules_are_said(case: str, tmp_path: Path) -> None:
    text, words = BAD[case]
    if "." in case:
        (tmp_path / case).write_text(text)
        text = str(tmp_path / case)
    with pytest.raises(ValueError, match=words):
        renaming.rules([text])


def test_a_rule_that_fits_nothing_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown parameter 'kernal'; did you mean 'kernel'"):
        renaming.by_rules([("kernal", "w")], ["kernel"])


KERNELS = {"two": (3, 4), "one space": (5, 3, 4), "two spaces": (5, 6, 3, 4), "three spaces": (2, 5, 6, 3, 4)}


@pytest.mark.parametrize("case", KERNELS)
def test_kernels_turn_round_as_the_frameworks_have_them(case: str) -> None:
    """Keras's (*space, in, out) becomes torch's (out, in, *space), number by number, and comes back."""
    shape = KERNELS[case]
    values = np.random.default_rng(0).normal(size=shape)
    there = convert.read({"w_momentum": values, "iteration": np.array(1)}, "keras.SGD(momentum=0.9)")
    kept = convert.move(there.renamed({}, ["w"]), "torch", allow_rounding=True).state
    (own,) = kept.slots["w"].values()
    assert own.shape == (shape[-1], shape[-2], *shape[:-2])
    place = tuple(s - 1 for s in shape)
    (straight,) = convert.move(there, "torch", allow_rounding=True).state.slots["w"].values()
    assert own[place[-1], place[-2], *place[:-2]] == straight[place]
    (back,) = kept.renamed({}, ["w"]).slots["w"].values()
    np.testing.assert_array_equal(back, straight)


def test_what_is_no_kernel_is_not_turned() -> None:
    state = convert.read({"b_momentum": np.ones(3), "iteration": np.array(1)}, "keras.SGD(momentum=0.9)")
    with pytest.raises(ValueError, match="no matrix and no kernel"):
        state.renamed({}, ["b"])


@pytest.mark.parametrize("is_square", [False, True])
def test_a_model_in_torch_gives_its_names(is_square: bool, tmp_path: Path) -> None:
    """Keras's files have layers in the order of letters, kernels as (3, 3, in, out); the model has its own order."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    inside = 4 if is_square else 5
    rng = np.random.default_rng(0)
    shapes = {
        "conv/bias": (4,),
        "conv/kernel": (3, 3, 2, 4),
        "head_2/kernel": (4, inside),
        "head_10/kernel": (4, inside),
    }
    slots = {f"{n}_momentum": rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    source, out = tmp_path / "keras.npz", tmp_path / "torch.npz"
    np.savez(source, iteration=np.array(3), **slots)
    model = {"conv.weight": torch.zeros(4, 2, 3, 3), "conv.bias": torch.zeros(4), "norm.running_mean": torch.zeros(4)}
    model |= {"first.weight": torch.zeros(inside, 4), "second.weight": torch.zeros(inside, 4)}
    torch.save({"net": model}, tmp_path / "model.pt")
    arguments = [str(source), "--from", "keras", "--to", "ravine", "--optimizer", "keras.SGD(0.5, 0.9)"]
    arguments += ["--like", str(tmp_path / "model.pt"), "--out", str(out)]
    refused = CliRunner().invoke(command, arguments, input="n\n")
    assert refused.exit_code != 0
    assert not out.exists()
    done = CliRunner().invoke(command, [*arguments, "--yes"])
    assert done.exit_code == 0, done.output
    assert "head_2/kernel" in done.output
    assert "transposed" in done.output
    found = convert.load(out, "ravine").slots
    assert sorted(found) == ["conv.bias", "conv.weight", "first.weight", "second.weight"]
    np.testing.assert_array_equal(found["first.weight"]["delta"], slots["head_2/kernel_momentum"].T)
    np.testing.assert_array_equal(found["second.weight"]["delta"], slots["head_10/kernel_momentum"].T)
    np.testing.assert_array_equal(found["conv.weight"]["delta"], slots["conv/kernel_momentum"].transpose(3, 2, 0, 1))


def test_parameters_of_one_shape_are_told_by_their_names() -> None:
    """flax has norm.bias before norm.scale, torch the weight first: by order alone the two would change places."""
    names = ["conv.bias", "conv.kernel", "head.bias", "head.kernel", "norm.bias", "norm.scale"]
    tensors = {f"0.trace.{n}": np.ones((4, 4) if "kernel" in n else 4, np.float32) for n in names}
    state = convert.read(tensors, "optax.sgd(0.1, momentum=0.9)")
    model = [
        (f"{layer}.{own}", (4, 4)[: 2 if own == "weight" and layer != "norm" else 1])
        for layer in ("head", "norm", "conv")
        for own in ("weight", "bias")
    ]
    told = {"conv.kernel": "conv.weight", "head.kernel": "head.weight", "norm.scale": "norm.weight"}
    assert {p.old: p.new for p in renaming.by_shape([state], model)} == {n: told.get(n, n) for n in names}
    other = [(f"net.{k}.{own}", shape) for k, (name, shape) in enumerate(model) for own in [name.rpartition(".")[2]]]
    found = {p.old: p.new for p in renaming.by_shape([state], other)}
    assert all(("bias" in new) == ("bias" in old) for old, new in found.items())


def test_an_optimizer_alone_is_no_model() -> None:
    from recorded_files import FILES

    with pytest.raises(ValueError, match="holds no model's state dict"):
        renaming.model(FILES / "fqn.pt")


def test_a_model_that_does_not_fit_is_refused() -> None:
    state = convert.read({"w_momentum": np.ones((2, 3)), "iteration": np.array(1)}, "keras.SGD(momentum=0.9)")
    for model in ([], [("a", (2, 3)), ("b", (3, 2))], [("a", (2, 4))]):
        with pytest.raises(ValueError, match=r"1 parameters have a shape of \(2, 3\) \(w\), but"):
            renaming.by_shape([state], model)
    kernel = convert.read({"w_momentum": np.ones((2, 3, 4)), "iteration": np.array(1)}, "keras.SGD(momentum=0.9)")
    with pytest.raises(ValueError, match="does not become a"):
        renaming.by_shape([kernel], [("a", (3, 2, 4))])
