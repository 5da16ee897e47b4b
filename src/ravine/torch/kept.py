"""What a copy of an optimizer follows: the rule that the original follows, though its name may mean another by now."""

from __future__ import annotations

import hashlib
from typing import Any

from ravine import transforms
from ravine.recipe import Recipe
from ravine.rule import Rule
from ravine.trace import text


class Kept:
    """A recipe in a copy or a pickle. A copy has the recipe itself, a pickle its text and what its rule does."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def __copy__(self) -> Kept:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Kept:
        return self  # a recipe is immutable

    def __reduce__(self) -> Any:
        return _found_again, (self.recipe.to_json(), text.equation(self.recipe.rule), _digest(self.recipe.rule))


def _found_again(recipe: str, equation: str, digest: str) -> Kept:
    """The recipe of a pickle. Raises ValueError where the rule of its name is not what it was."""
    found = Recipe.from_json(recipe)
    if _digest(found.rule) != digest:
        raise ValueError(
            f"the rule {found.rule.name!r} has changed since this optimizer was pickled. It was\n{equation}\n"
            f"and is\n{text.equation(found.rule)}\n"
            "Define the old one again, or load the optimizer's state_dict() into a new optimizer."
        )
    return Kept(found)


def _digest(rule: Rule) -> str:
    """What a rule does with gradients taken at the stored parameter: its graph and its slots."""
    stepped = transforms.stored_at_look_ahead(rule)
    numbers = {node: number for number, node in enumerate(stepped.graph.nodes)}
    nodes = [(n.op, [numbers[a] for a in n.args], n.name, repr(n.value)) for n in numbers]
    outputs = [numbers[n] for n in stepped.graph.outputs]
    slots = [(name, slot.start, slot.is_scalar) for name, slot in stepped.slots.items()]
    return hashlib.sha256(repr((nodes, outputs, slots)).encode()).hexdigest()
