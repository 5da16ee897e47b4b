"""Names of parameters turned into others: by rules such as "encoder.*=enc.*", and by shape and order from a model's."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ravine.convert import files, shares, torch_files
from ravine.convert.state import OptimizerState, turned
from ravine.convert.torch_names import Entry, Shape
from ravine.errors import unknown

Rule = tuple[str, str]
"""An old name and a new one; `*` in the old one stands for any text, and in the new one for that text again."""


def rules(texts: Iterable[str]) -> list[Rule]:
    """The rules in texts: "OLD=NEW", or the path of a file with one such line each, or of a JSON object.

    Raises ValueError for a text that is neither, and for a new name with more `*` than the old one has.
    """
    found: list[Rule] = []
    for text in texts:
        path = Path(text)
        if path.is_file():
            found += _of_file(path)
        elif "=" in text:
            found.append(_rule(text))
        else:
            raise ValueError(f"expected OLD=NEW or a file of such lines, got {text!r}")
    for old, new in found:
        if new.count("*") > old.count("*"):
            raise ValueError(f"{old}={new}: the new name has more * than the old one")
    return found


def _of_file(path: Path) -> list[Rule]:
    text = path.read_text()
    if path.suffix == ".json":
        try:
            whole = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is no JSON: {error}") from error
        if not isinstance(whole, dict) or not all(isinstance(v, str) for v in whole.values()):
            raise ValueError(f"{path} must be an object of old names with their new ones")
        return list(whole.items())
    lines = [line.strip() for line in text.splitlines()]
    if odd := [line for line in lines if line and not line.startswith("#") and "=" not in line]:
        raise ValueError(f"{path}: expected OLD=NEW, got {odd[0]!r}")
    return [_rule(line) for line in lines if line and not line.startswith("#")]


def _rule(text: str) -> Rule:
    old, _, new = text.partition("=")
    return old.strip(), new.strip()


def by_rules(given: Sequence[Rule], names: Collection[str]) -> dict[str, str]:
    """The new names of those that a rule is about, the first that fits. Raises ValueError for a rule that fits none."""
    found: dict[str, str] = {}
    for old, new in given:
        pattern = re.compile("(.*)".join(map(re.escape, old.split("*"))))
        fits = {name: place for name in names if (place := pattern.fullmatch(name))}
        if not fits:
            raise unknown("parameter", old, names)
        for name, place in fits.items():
            parts = iter(place.groups())
            found.setdefault(name, re.sub(r"\*", lambda _: next(parts), new))  # noqa: B023
    return found


@dataclass(frozen=True)
class Pair:
    """A parameter, and the one of a model that it is taken for."""

    old: str
    new: str
    shape: Shape
    is_turned: bool


def by_shape(states: Sequence[OptimizerState], model: Sequence[Entry]) -> list[Pair]:
    """Each parameter with the model's of the same shape, kernels and matrices either way round: the one of the same
    name, but for what frameworks call a layer's own; else in order, weights with weights and biases with biases.

    Square ones are turned round if all others are, embeddings excepted. Raises ValueError where a shape is not as often
    in the model as in the states.
    """
    shapes = {p: shares.shape(state.recipe.rule, own) for state in states for p, own in state.slots.items()}
    is_torch = states[0].kept.framework in ("torch", "ravine")
    names = list(shapes) if is_torch else sorted(shapes, key=_natural)
    pairs: list[Pair] = []
    for kind in dict.fromkeys(tuple(sorted(s)) for s in shapes.values()):
        ours = [n for n in names if tuple(sorted(shapes[n])) == kind]
        theirs = [e for e in model if tuple(sorted(e[1])) == kind]
        if len(ours) != len(theirs):
            raise ValueError(
                f"{len(ours)} parameters have a shape of {kind or 'one number'} ({_listed(ours)}), but "
                f"{len(theirs)} of the model's ({_listed([n for n, _ in theirs])}): give their names (rename)"
            )
        for old, (new, shape) in zip(ours, _alike(ours, theirs), strict=True):
            turns = shape != shapes[old]
            if turns and np.empty(shapes[old], "u1").ndim > 1 and _turned(shapes[old], is_torch) != shape:
                raise ValueError(f"{old} {shapes[old]} does not become {new} {shape} when it is turned round")
            pairs.append(Pair(old, new, shapes[old], turns))
    clear = [p for p in pairs if len(p.shape) > 1 and _turned(p.shape, is_torch) != p.shape]
    if clear and all(p.is_turned for p in clear if "embed" not in p.new.lower()):
        square = [p for p in pairs if len(p.shape) > 1 and p not in clear and "embed" not in p.new.lower()]
        pairs = [Pair(p.old, p.new, p.shape, True) if p in square else p for p in pairs]
    return sorted(pairs, key=lambda p: names.index(p.old))


ROLES = {
    **dict.fromkeys(("weight", "kernel", "scale", "gamma", "embedding", "embeddings"), "weight"),
    **dict.fromkeys(("bias", "beta"), "bias"),
}
"""What a layer's own parameters are called in torch, by what they are called elsewhere."""


def _alike(ours: Sequence[str], theirs: Sequence[Entry]) -> list[Entry]:
    """The entry for each name: by ever less of the name, as far as as many on either side have that."""
    found: dict[str, Entry] = {}
    for part in (_words, lambda name: _words(name)[-1:], lambda name: ()):
        taken = {new for new, _ in found.values()}
        for key in dict.fromkeys(part(n) for n in ours if n not in found):
            olds = [n for n in ours if n not in found and part(n) == key]
            news = [e for e in theirs if e[0] not in taken and part(e[0]) == key]
            found |= dict(zip(olds, news, strict=True)) if len(olds) == len(news) else {}
    return [found[n] for n in ours]


def _words(name: str) -> tuple[str, ...]:
    """A name's parts, the last as torch calls it."""
    *layer, own = re.split(r"[./_]", name)
    return (*layer, ROLES.get(own, own))


def model(path: Path) -> list[Entry]:
    """The names and shapes of the parameters in a model's file, in its order. Raises ValueError for other files."""
    if path.suffix in torch_files.KINDS:
        return torch_files.model(path)
    tensors, _ = files.load(path)
    return [(n, tensors[n].shape) for n in sorted(tensors, key=_natural) if tensors[n].dtype.kind == "f"]


def _turned(shape: Shape, is_torch: bool) -> Shape:
    return turned(np.empty(shape, "u1"), is_torch).shape if len(shape) > 1 else shape


def _natural(name: str) -> list[tuple[int, int, str]]:
    """layer_2 before layer_10, and a number before other names."""
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in re.split(r"(\d+)", name) if p]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + ", …" * (len(names) > 4) or "none"
