"""One torch optimizer whose groups follow rules of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ravine import transforms
from ravine.errors import unknown
from ravine.recipe import Recipe
from ravine.torch.assign import Assignment
from ravine.torch.kept import Kept
from ravine.torch.method import Method, method
from ravine.torch.role_words import table
from ravine.torch.stepper import Stepper
from ravine.torch.vectors import refuse_vectors

RULE, START = "rule", "start"
"""Keys of a group: its rule's name, and what its slots start at where the recipe says so."""


class SetOptimizer(Stepper):
    """A `torch.optim.Optimizer` each of whose groups is stepped by a rule of its own.

    A group is given as {"params": …, "recipe": a Recipe} and has, as the optimizer's `param_groups` show it, the name
    of the rule under "rule" and the hyperparameters under theirs. `state_dtype`, `capturable` and the guards are those
    of `RuleOptimizer`. Raises ValueError for a group without a recipe, also in `add_param_group`, and TypeError for
    what is no recipe.
    """

    def __init__(
        self,
        groups: Iterable[Mapping[str, Any]],
        state_dtype: torch.dtype | None = None,
        *,
        capturable: bool = False,
        **guards: Any,
    ) -> None:
        if state_dtype is not None and (not isinstance(state_dtype, torch.dtype) or not state_dtype.is_floating_point):
            raise TypeError(f"state_dtype must be a floating torch.dtype such as torch.bfloat16, got {state_dtype!r}")
        self.state_dtype = state_dtype
        self._methods: dict[Any, Method] = {}
        self._recipes: dict[Any, Recipe] = {}
        self._rows: tuple[tuple[str, ...], ...] = ()
        super().__init__([dict(group) for group in groups], {"capturable": True} if capturable else {}, **guards)

    @classmethod
    def assigned(cls, assignment: Assignment, **options: Any) -> SetOptimizer:
        """The optimizer of a model's parameters, each with the recipe that it was assigned."""
        made = cls(assignment.groups(), **options)
        made._rows = tuple(row[:4] for row in assignment.rows())
        return made

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add {"params": …, "recipe": …}, or the name of a rule that the optimizer has with values, as "rule": …."""
        if isinstance(param_group, dict):
            param_group = self._spelled(param_group)
        super().add_param_group(param_group)
        refuse_vectors(self._recipes[_key(self.param_groups[-1])].rule, self.param_groups)

    def _spelled(self, group: dict[str, Any]) -> dict[str, Any]:
        """A group with its recipe as plain values."""
        given = dict(group)
        chosen = given.pop("recipe", None)
        if chosen is None:
            if RULE not in given:
                raise ValueError('a group needs a recipe: {"params": …, "recipe": ravine.recipe("adamw")}')
            key = _key(given)
            if key not in self._recipes:
                raise unknown("rule of this optimizer", str(given[RULE]), {r.rule.name for r in self._recipes.values()})
            chosen = self._recipes[key].replace(**{n: v for n, v in given.items() if n in self._recipes[key].hyper})
        if not isinstance(chosen, Recipe):
            raise TypeError(f"recipe must be a Recipe, as ravine.recipe makes it, got {chosen!r}")
        start = {START: dict(chosen.start)} if chosen.start else {}
        spelled = {**chosen.hyper, **given, RULE: chosen.rule.name, **start}
        key = _key(spelled)
        if key in self._recipes and self._recipes[key].rule != chosen.rule:
            raise ValueError(f"there is another rule of the name {chosen.rule.name!r} in this optimizer")
        self._recipes.setdefault(key, chosen)
        return spelled

    def _method(self, group: Mapping[str, Any]) -> Method:
        key = _key(group)
        found = self._methods.get(key)
        if found is None:
            chosen = self._recipes[key]
            stored = transforms.stored_at_look_ahead(chosen.rule.stepped)
            found = self._methods[key] = method(stored, start=chosen.start, dtype=self.state_dtype)
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict()` gave. Raises ValueError where a group follows another rule there."""
        for number, (saved, group) in enumerate(
            zip(state_dict["param_groups"], self.param_groups, strict=False)  # torch says so where lengths differ
        ):
            if _key(saved) != _key(group):
                there = saved.get(RULE, "no rule that is named")
                raise ValueError(
                    f"group {group.get('name', number)!r} follows {group[RULE]} here, and {there} in what is to be "
                    "loaded: make the optimizer of the same set"
                )
        super().load_state_dict(state_dict)

    def table(self) -> str:
        """A table of parameter, shape, role and part of the set where they are known, rule and hyperparameters now."""
        known = {row[0]: row for row in self._rows}
        rows = []
        for number, group in enumerate(self.param_groups):
            names = group.get("param_names") or [f"{number}.{k}" for k in range(len(group["params"]))]
            part = str(group.get("name", number))
            values = ", ".join(f"{n}={float(group[n]):g}" for n in self._recipes[_key(group)].hyper)
            for name, p in zip(names, group["params"], strict=True):
                shape = "×".join(map(str, p.shape)) or "scalar"
                rows.append((*known.get(name, (name, shape, "", part)), group[RULE], values))
        order = {row[0]: k for k, row in enumerate(self._rows)}
        rows.sort(key=lambda row: order.get(row[0], len(order)))
        return table(("parameter", "shape", "role", "part", "rule", "hyperparameters"), rows)

    def __getstate__(self) -> dict[str, Any]:
        kept = {key: Kept(chosen) for key, chosen in self._recipes.items()}
        return {**super().__getstate__(), "state_dtype": self.state_dtype, "recipes": kept, "rows": self._rows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "recipes" in state:  # a copy or a pickle, not a loaded state dict
            self._methods, self.state_dtype = {}, state.pop("state_dtype")
            self._recipes = {key: kept.recipe for key, kept in state.pop("recipes").items()}
            self._rows = state.pop("rows")
        super().__setstate__(state)


def _key(group: Mapping[str, Any]) -> Any:
    """What a group's method is known by."""
    if START not in group:
        return group.get(RULE)
    return group.get(RULE), *group[START].items()
