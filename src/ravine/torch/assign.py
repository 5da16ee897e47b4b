"""Which of a set's recipes each parameter of a model follows, and with what hyperparameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ravine.errors import unknown
from ravine.recipe import Recipe
from ravine.recipe import recipe as make_recipe
from ravine.torch.role_words import ROLES, table
from ravine.torch.roles import Placed, Roles, roles
from ravine.torch.vectors import refuse_vector
from ravine.transforms import stacked

PARTS: Mapping[str, tuple[str, ...]] = {
    **{role: (role,) for role in ROLES},
    "hidden": ("matrix", "convolution"),
    "rest": ROLES,
}
"""What the parts of a set stand for. Where a role is in several, the one with the fewest roles has it."""

UNDECAYED = ("embedding", "gain", "bias")
"""The roles that `no_decay=True` means."""


@dataclass(frozen=True)
class Assigned:
    """A parameter, the part of the set that has it, and the recipe that it follows; `remarks` say what was changed."""

    place: Placed
    part: str
    recipe: Recipe
    remarks: str


class Assignment:
    """What a set makes of a model: printed, it is a table; `groups()` are those of a torch optimizer."""

    def __init__(self, assigned: Iterable[Assigned]) -> None:
        self.assigned = tuple(assigned)

    def rows(self) -> list[tuple[str, ...]]:
        """Parameter, shape, role, part of the set, rule, hyperparameters and what was changed in them, as text."""
        return [
            (
                a.place.name,
                "×".join(map(str, a.place.shape)) or "scalar",
                a.place.role,
                a.part,
                a.recipe.rule.name,
                ", ".join(f"{n}={v:g}" for n, v in a.recipe.hyper.items()),
                a.remarks,
            )
            for a in self.assigned
        ]

    def __str__(self) -> str:
        return table(("parameter", "shape", "role", "part", "rule", "hyperparameters", ""), self.rows())

    __repr__ = __str__

    def groups(self) -> list[dict[str, Any]]:
        """A group for each part and each set of hyperparameters in it, of named parameters; `recipe` is the group's."""
        found: dict[tuple[str, Recipe], list[tuple[str, Tensor]]] = {}
        for a in self.assigned:
            found.setdefault((a.part, a.recipe), []).append((a.place.name, a.place.tensor))
        return [{"params": named, "name": part, "recipe": recipe} for (part, recipe), named in found.items()]


def assign(
    by_part: Mapping[str, Recipe],
    model: nn.Module,
    told: Mapping[str, str] | None = None,
    no_decay: bool | Iterable[str] = False,
    layer_decay: float = 1.0,
) -> Assignment:
    """Give every parameter of a model the recipe of its role. See `RecipeSet.torch`, which also says what is raised."""
    for part in by_part:
        if part not in PARTS:
            raise unknown("part", part, PARTS)
    undecayed = _undecayed(no_decay)
    if isinstance(layer_decay, bool) or not isinstance(layer_decay, (int, float)) or not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay must be a factor above 0 and at most 1, got {layer_decay!r}")
    found = roles(model, told)
    parts = {role: _part(role, by_part) for role in ROLES}
    if lacking := [p for p in found.values() if not parts[p.role]]:
        kinds = ", ".join(dict.fromkeys(p.role for p in lacking))
        raise ValueError(
            f"the set has no recipe for {len(lacking)} parameters, such as {lacking[0].name} ({lacking[0].role}): "
            f"give one for {kinds}, or for the rest, as in recipes({next(iter(by_part))}=…, rest=recipe('adamw'))"
        )
    return Assignment(_assigned(p, parts[p.role], by_part, found, undecayed, layer_decay) for p in found.values())


def _undecayed(no_decay: bool | Iterable[str]) -> tuple[str, ...]:
    if isinstance(no_decay, bool):
        return UNDECAYED if no_decay else ()
    wanted = (no_decay,) if isinstance(no_decay, str) else tuple(no_decay)
    for role in wanted:
        if role not in ROLES:
            raise unknown("role in no_decay:", role, ROLES)
    return wanted


def _part(role: str, by_part: Mapping[str, Recipe]) -> str:
    """The narrowest part of a set that a role is in; empty where there is none."""
    return min((part for part in by_part if role in PARTS[part]), key=lambda part: len(PARTS[part]), default="")


def _assigned(
    place: Placed,
    part: str,
    by_part: Mapping[str, Recipe],
    found: Roles,
    undecayed: tuple[str, ...],
    layer_decay: float,
) -> Assigned:
    recipe, remarks = by_part[part], []
    if place.role in undecayed and recipe.hyper.get("weight_decay"):
        remarks.append(f"weight_decay 0 for {place.role}, not {recipe.hyper['weight_decay']:g}")
        recipe = recipe.replace(weight_decay=0.0)
    if layer_decay != 1.0 and place.depth != found.depths:
        if "lr" not in recipe.hyper:
            raise ValueError(f"layer_decay scales lr, and {recipe.rule.name} has none")
        behind = found.depths - place.depth
        remarks.append(f"lr × {layer_decay:g}^{behind}")
        recipe = recipe.replace(lr=recipe.hyper["lr"] * layer_decay**behind)
    if place.matrices > 1 and not recipe.rule.stepped.graph.is_elementwise:
        remarks.append("each matrix alone")
        recipe = make_recipe(stacked(recipe.rule), start=recipe.start, **recipe.hyper)
    refuse_vector(recipe.rule, place.name, place.tensor)
    return Assigned(place, part, recipe, "; ".join(remarks))
