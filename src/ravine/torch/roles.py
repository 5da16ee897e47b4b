"""What each parameter of a model is for: embedding, head, matrix, convolution, depthwise, gain or bias.

Told from the model itself: from the classes of its modules, from the interfaces by which transformers and timm name
their output layer, and where a parameter lies in no layer that torch knows, from its name and its shape.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor, nn

from ravine.errors import unknown
from ravine.torch import blocks, heads
from ravine.torch.role_words import (
    BIAS,
    EMBEDDING,
    EXPERTS,
    GAIN,
    MATRIX,
    ROLES,
    fused_parts,
    table,
)

__all__ = ["ROLES", "Placed", "Roles", "roles"]


@dataclass(frozen=True)
class Placed:
    """A parameter's place in a model.

    `role` is one of ROLES. `also` are its other names, where it is tied; `matrices` counts those that lie in it, more
    than one for a layer's experts; `parts` names what is fused in it, as ("q", "k", "v"). `depth` is the number of its
    block, counted from the input: 0 before the first block, one more than the number of blocks behind the last.
    """

    name: str
    tensor: Tensor
    role: str
    also: tuple[str, ...] = ()
    matrices: int = 1
    parts: tuple[str, ...] = ()
    depth: int = 0
    note: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's."""
        return tuple(self.tensor.shape)

    @property
    def remarks(self) -> str:
        """What else there is to know of it, in words."""
        found = [f"tied: also {', '.join(self.also)}"] if self.also else []
        found += [f"{self.matrices} matrices, one an expert"] if self.matrices > 1 else []
        found += [f"{', '.join(self.parts)} in one"] if self.parts else []
        return "; ".join(found + ([self.note] if self.note else []))


class Roles(Mapping[str, Placed]):
    """The parameters of a model by name, each with its place; printed as a table. `depths` is the largest depth."""

    def __init__(self, placed: Mapping[str, Placed]) -> None:
        self._placed = MappingProxyType(dict(placed))
        self.depths = max((p.depth for p in placed.values()), default=0)

    def __getitem__(self, name: str) -> Placed:
        return self._placed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._placed)

    def __len__(self) -> int:
        return len(self._placed)

    def of(self, *wanted: str) -> list[tuple[str, Tensor]]:
        """The (name, tensor) pairs of some roles, as torch's optimizers take them. Raises ValueError for no role."""
        for role in wanted:
            if role not in ROLES:
                raise unknown("role", role, ROLES)
        return [(p.name, p.tensor) for p in self.values() if p.role in wanted]

    def __str__(self) -> str:
        rows = [(p.name, "×".join(map(str, p.shape)) or "scalar", p.role, p.remarks) for p in self.values()]
        return table(("parameter", "shape", "role", ""), rows)

    __repr__ = __str__


def roles(model: nn.Module, told: Mapping[str, str] | None = None) -> Roles:
    """The role of every parameter of `model` that needs a gradient, in the model's order, a tied one once.

    - `embedding`: rows that are looked up, and learned positions and tokens; a tied output layer is its embedding;
    - `head`: the weight of an output layer;
    - `matrix`: any other weight that rows are multiplied with: linear, recurrent, attention's, an expert layer's;
    - `convolution` and `depthwise`: filters that mix channels, and those that each see one channel alone;
    - `gain` and `bias`: what scales and what shifts elements.

    `told` maps names, or patterns such as "*.router.weight", to roles, and goes before everything that is found. Raises
    ValueError where a role can't be told, naming all such parameters, for a name in `told` that no parameter has, and
    for an unknown role; TypeError for what is no module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    owners: dict[int, list[Owner]] = {}
    for owner in _owners(model):
        owners.setdefault(id(owner.tensor), []).append(owner)
    own = _told(told or {}, [o.name for several in owners.values() for o in several])
    outputs = heads.weights(model)
    depths = blocks.depths(model, set(outputs))
    placed: dict[str, Placed] = {}
    refused = []
    for number, several in owners.items():
        places = [_place(*o) for o in several]
        # A tied weight is what is looked up, though the layer that multiplies with it may come first.
        place = next((p for p in places if p.role == "embedding"), places[0])
        also = tuple(o.name for o in several if o.name != place.name)
        if number in outputs and place.role in ("matrix", "convolution"):
            place = replace(place, role="head", note=outputs[number])
        role = next((own[o.name] for o in several if o.name in own), place.role)
        place = replace(place, also=also, depth=depths[number], role=role)
        if not place.role:
            refused.append(place)
        placed[place.name] = place
    if refused:
        lines = "\n".join(f"  {p.name}  {'×'.join(map(str, p.shape))}" for p in refused)
        raise ValueError(
            f"the role of {len(refused)} parameters can't be told from the model:\n{lines}\n"
            f"say what they are, as in told={{{refused[0].name!r}: 'matrix'}}; roles: {', '.join(ROLES)}"
        )
    return Roles(placed)


class Owner(NamedTuple):
    """A module that has a parameter, by what key, and the parameter with its name there."""

    module: nn.Module
    key: str
    tensor: Tensor
    name: str


def _owners(model: nn.Module) -> Iterator[Owner]:
    """Every place of a model where a parameter lies that needs a gradient."""
    for module_name, module in model.named_modules(remove_duplicate=False):
        for key, p in module._parameters.items():
            if p is None or not p.requires_grad:
                continue
            name = f"{module_name}.{key}" if module_name else key
            if isinstance(p, nn.parameter.UninitializedParameter):
                raise ValueError(f"{name} has no shape yet: call the model once before asking for roles")
            yield Owner(module, key, p, name)


def _told(told: Mapping[str, str], names: list[str]) -> dict[str, str]:
    """The roles that are told, by full name; the first pattern that fits counts."""
    result: dict[str, str] = {}
    for pattern, role in told.items():
        if role not in ROLES:
            raise unknown(f"role of {pattern!r}", role, ROLES)
        fitting = fnmatch.filter(names, pattern)
        if not fitting:
            raise unknown("parameter in told:", pattern, names)
        result = {**dict.fromkeys(fitting, role), **result}
    return result


def is_vector(p: Tensor) -> bool:
    """Whether a tensor has at most one dimension that is not 1."""
    return sum(size != 1 for size in p.shape) <= 1


def _place(module: nn.Module, key: str, p: Tensor, name: str) -> Placed:
    """Where a parameter belongs that a module calls by a key; its role is empty where nothing tells."""
    place = Placed(name, p, "")
    if ".parametrizations." in name:  # original0, original1 of weight_norm: a length for each row, and the rows
        key = "weight" if not is_vector(p) else "gain"
    if isinstance(module, nn.Embedding | nn.EmbeddingBag) or (
        re.search("Embed", type(module).__name__) and p.ndim == 2
    ):
        return replace(place, role="embedding")
    if BIAS.search(key) and not key.endswith("table"):
        return replace(place, role="bias")
    if isinstance(module, nn.modules.conv._ConvNd) and key == "weight":
        return replace(place, **_convolution(module))
    if isinstance(module, nn.RNNBase):
        gates = {"LSTM": ("i", "f", "g", "o"), "GRU": ("r", "z", "n")}.get(module.mode, ())
        return replace(place, role="matrix", parts=gates if key.startswith("weight_ih") or "hh" in key else ())
    if isinstance(module, nn.Bilinear):
        return replace(place, role="matrix", matrices=p.shape[0], note="a matrix for each output")
    if _is_norm(module) and is_vector(p):
        return replace(place, role="gain")
    return _by_name(place, module, key)


def _convolution(module: Any) -> dict[str, Any]:
    if module.groups == module.in_channels and module.groups > 1:
        return {"role": "depthwise", "note": "each filter sees one channel"}
    note = f"{module.groups} groups" if module.groups > 1 else ""
    return {"role": "convolution", "note": note}


def _is_norm(module: nn.Module) -> bool:
    known = nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm
    return isinstance(module, known) or "norm" in type(module).__name__.lower()


def _by_name(place: Placed, module: nn.Module, key: str) -> Placed:
    """By what a parameter is called, where its module is none of torch's layers."""
    p, kind = place.tensor, type(module).__name__
    if EMBEDDING.search(key):
        return replace(place, role="embedding")
    if is_vector(p) and not (p.ndim == 2 and key == "weight" and isinstance(module, nn.Linear)):
        return replace(place, role="gain")
    if GAIN.search(key):
        return replace(place, role="gain")
    if p.ndim == 3 and (EXPERTS.search(place.name) or EXPERTS.search(kind)):
        return replace(place, role="matrix", matrices=p.shape[0], parts=fused_parts(key))
    if p.ndim == 2 and (key == "weight" or MATRIX.search(key)):
        *_, outer, layer = ["", "", *place.name.removesuffix(f".{key}").split(".")] if key == "weight" else ["", key]
        parts = fused_parts(layer) or (fused_parts(outer) if layer in ("linear", "c", "ln") else ())
        return replace(place, role="matrix", parts=parts, note="stored as in × out" if kind == "Conv1D" else "")
    return place
