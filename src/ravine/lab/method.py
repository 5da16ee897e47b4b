"""What can be entered in a comparison: rules, dialects' optimizers and torch optimizers of other packages or of a file
of the user's, behind one description. `lookup.find` finds them by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from ravine.errors import unknown
from ravine.hyperparameter import NON_NEGATIVE, Hyperparameter, Range
from ravine.lab.space import LOG, Span, default_span

if TYPE_CHECKING:
    from torch import nn

    from ravine.rule import Rule

TRAINING = {
    "warmup": Hyperparameter(0.0, NON_NEGATIVE),
    "cooldown": Hyperparameter(0.2, NON_NEGATIVE),
    "clip_norm": Hyperparameter(0.0, NON_NEGATIVE),
    "decay_vectors": Hyperparameter(0.0, Range(0.0, 1.0)),
}
"""What any optimizer can be given besides its own hyperparameters: the schedule's warm-up and WSD's cool-down (shares
of the steps, or steps), the norm that all its gradients together are clipped to (0: not), and whether parameters of
fewer than two dimensions, gains and biases, decay as well (1) or not (0)."""

SPANS = {
    "warmup": Span(0.01, 0.3, LOG),
    "cooldown": Span(0.05, 0.8, LOG),
    "clip_norm": Span(0.1, 10.0, LOG),
}
"""Where these are searched unless told otherwise."""


def _unknown(model: nn.Module | None) -> None:
    """No number of bytes."""


def average_state(stepped: Sequence[tuple[Rule, Sequence[int]]]) -> float:
    """Bytes of state for each float32 parameter of arrays, given by their rules and shapes."""
    elements = sum(math.prod(shape) for _, shape in stepped)
    return sum(rule.state_bytes(tuple(shape)) for rule, shape in stepped) / max(elements, 1)


@dataclass(frozen=True)
class Method:
    """An optimizer that can be entered. `spec` finds it again; `hyperparameters` are its own, and those of TRAINING.

    `build(params, values)` makes it, over parameters or groups, with values for some of its own. `equation` is a text
    that changes when its numbers may. `spans` say where hyperparameters are searched, where that does not follow from
    their defaults; `schedule` the one that it is used with, if it is bound to one. `state_bytes(model)` is how many
    bytes of state it keeps for each float32 parameter of a model, on average (None: of a matrix of 1024 × 1024), or
    None if that is unknown.
    `arguments` are what its constructor takes besides, `group_keys` what a group of parameters may hold besides.
    `parts`, of a set of recipes, says what each is for; then `build` takes the model, and the roles that don't decay.
    `is_choosy` says that it refuses parameters of some shapes or roles as soon as it is made.
    """

    spec: str
    name: str
    title: str
    paper: str
    equation: str
    mathml: str
    own: Mapping[str, Hyperparameter]
    build: Callable[[Any, Mapping[str, float]], Any]
    state_bytes: Callable[[nn.Module | None], float | None] = _unknown
    spans: Mapping[str, Span] = field(default_factory=dict)
    schedule: str = ""
    arguments: frozenset[str] = frozenset()
    group_keys: frozenset[str] = frozenset()
    parts: Mapping[str, str] = field(default_factory=dict)
    is_choosy: bool = False

    @property
    def hyperparameters(self) -> Mapping[str, Hyperparameter]:
        """Its own, and what any optimizer can be given."""
        return {**TRAINING, **self.own} if set(self.own) & set(TRAINING) else {**self.own, **TRAINING}

    def check(self, values: Mapping[str, float]) -> None:
        """Raise ValueError for an unknown hyperparameter or an illegal value."""
        for name, value in values.items():
            if name not in self.hyperparameters:
                raise unknown(f"hyperparameter of {self.name}", name, self.hyperparameters)
            if value not in (legal := self.hyperparameters[name].range):
                raise ValueError(f"{self.name}: {name} = {value!r} is not legal: it must be {legal}")

    def span(self, name: str) -> Span:
        """Where a hyperparameter is searched unless told otherwise. Raises ValueError where nothing implies that."""
        known = {**({} if name in self.own else SPANS), **self.spans}
        return known[name] if name in known else default_span(cast(Any, self), name)
