"""A set of recipes as one contender: `[hidden=lion[lr=1e-3],rest=adamw]`, one rule for each role of the parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ravine import spelling
from ravine.errors import unknown
from ravine.hyperparameter import Hyperparameter
from ravine.lab.dialect import from_dialect, is_dialect
from ravine.lab.method import TRAINING, Method, average_state
from ravine.lab.space import Span, default_span, given_span
from ravine.recipe import Recipe, recipe
from ravine.recipe_set import recipes
from ravine.trace import mathml

if TYPE_CHECKING:
    from torch import nn

ROLES: Mapping[str, tuple[str, ...]] = {
    "hidden": ("hidden matrices", "convolutions"),
    "rest": ("everything else",),
    "matrix": ("hidden matrices",),
    "convolution": ("convolutions",),
    "depthwise": ("depthwise filters",),
    "embedding": ("embeddings",),
    "head": ("the output layer",),
    "gain": ("gains",),
    "bias": ("biases",),
}
"""What the parts of a set are for, in words: those that `ravine.torch.roles` tells apart."""


def read(spec: str) -> tuple[dict[str, Recipe], dict[str, Span]]:
    """A set's recipes by part, and where ranges are written in it, what is searched there, by names as "rest.lr".

    Raises ValueError for what is no set, for a part that is no role, and as `ravine.recipe` does.
    """
    written = spelling.read_set(spec)
    found: dict[str, Recipe] = {}
    spans: dict[str, Span] = {}
    for part, one in written.parts.items():
        if part not in ROLES:
            raise unknown(f"part of {spec!r}", part, ROLES)
        values, held = dict(one.values), _recipe(one.rule)
        for key, value in one.values.items():
            low, dots, high = value.partition("..")
            if dots:
                try:
                    spans[f"{part}.{key}"] = given_span(held.rule, key, float(low), float(high))
                except ValueError as error:
                    raise ValueError(f"part {part!r} of {spec!r}: {error}") from None
                del values[key]
        found[part] = held.replace(**one._replace(values=values).numbers())
    return found, spans


def from_set(spec: str) -> Method:
    """A set as what can be entered in a comparison.

    Its hyperparameters are its parts', as "rest.lr". Where the learning rates of some parts are not written, "lr" is
    the first one's, and the others keep their defaults' ratio to it: one number is tuned, as for any other.
    """
    by_part, spans = read(spec)
    written = spelling.read_set(spec).parts
    free = [p for p, r in by_part.items() if "lr" in r.hyper and "lr" not in written[p].values]
    own: dict[str, Hyperparameter] = {}
    if free:
        own["lr"] = by_part[free[0]].rule.hyperparameters["lr"]
        spans["lr"] = default_span(by_part[free[0]].rule, "lr")
    for part, chosen in by_part.items():
        for name, declared in chosen.rule.hyperparameters.items():
            if name != "lr" or part not in free:
                own[f"{part}.{name}"] = Hyperparameter(chosen.hyper[name], declared.range)

    def build(model: Any, values: Mapping[str, float], no_decay: tuple[str, ...] = ()) -> Any:
        return recipes(**dict(_valued(by_part, free, values))).torch(model, no_decay=no_decay)

    def state_bytes(model: nn.Module | None) -> float | None:
        if model is None:
            return None
        return average_state([(a.recipe.rule, a.place.shape) for a in recipes(**by_part).assign(model).assigned])

    name = spec.rpartition(":")[2] if not spec.startswith("[") else "+".join(r.rule.name for r in by_part.values())
    titles = [f"{chosen.rule.title} for {' and '.join(ROLES[part])}" for part, chosen in by_part.items()]
    equations = [f"{', '.join(ROLES[part])}: {chosen}\n{chosen.rule.equation()}" for part, chosen in by_part.items()]
    formulas = "".join(mathml.equation(chosen.rule) for chosen in by_part.values())
    papers = dict.fromkeys(chosen.rule.paper for chosen in by_part.values() if chosen.rule.paper)
    return Method(
        *(spec, name, ", ".join(titles), "; ".join(papers), "\n".join(equations), formulas, own),
        build=build,
        state_bytes=state_bytes,
        spans=spans,
        parts={", ".join(ROLES[part]): _told(by_part, free, part) for part in by_part},
        is_choosy=True,
    )


def _recipe(rule: str) -> Recipe:
    """What a part names: a rule, or a framework's optimizer by its dialect's spelling."""
    module, colon, name = rule.partition(":")
    if colon and not module.endswith(".py"):
        raise ValueError(
            f"{rule!r} is a torch optimizer, and the parts of a set are rules, as muon, or as torch.{name}"
        )
    return from_dialect(rule)[1] if is_dialect(rule) else recipe(rule)


def _told(by_part: Mapping[str, Recipe], free: list[str], part: str) -> str:
    """What a part follows, in words; and where its rate hangs on another's, how."""
    if part not in free[1:]:
        return str(by_part[part])
    return f"{by_part[part]}, its lr {_ratio(by_part, free, part):g} × that of {by_part[free[0]].rule.name}"


def _ratio(by_part: Mapping[str, Recipe], free: list[str], part: str) -> float:
    return by_part[part].hyper["lr"] / by_part[free[0]].hyper["lr"]


def is_searched(spec: str) -> dict[str, Span]:
    """The ranges that are written in a set."""
    return read(spec)[1]


def _valued(
    by_part: Mapping[str, Recipe], free: list[str], values: Mapping[str, float]
) -> Iterator[tuple[str, Recipe]]:
    """The parts' recipes with values by names such as "rest.lr", and "lr" shared."""
    shared = {n: v for n, v in values.items() if n != "lr" and n not in TRAINING}
    for part, chosen in by_part.items():
        mine = {n.partition(".")[2]: v for n, v in shared.items() if n.startswith(f"{part}.")}
        if part in free and "lr" in values:
            mine["lr"] = values["lr"] * _ratio(by_part, free, part)
        yield part, chosen.replace(**mine)
