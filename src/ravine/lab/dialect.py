"""The recipe that a framework's spelling of an optimizer means, as `keras.Muon` or `keras.Adam(epsilon=1e-8)`."""

from __future__ import annotations

import re

from ravine import dialects
from ravine.dialects.spelling import Constructor
from ravine.recipe import Recipe

DIALECT = re.compile(r"(?:\w+\.)+\w+(?:\(.*\))?")


def is_dialect(spec: str) -> bool:
    """Whether a text is spelled as a framework's optimizer."""
    return bool(DIALECT.fullmatch(spec))


def from_dialect(spec: str) -> tuple[Constructor, Recipe]:
    """What the text names, and its recipe; a learning rate that must be given, as TensorFlow's, is the rule's own
    default. Raises ValueError for what there isn't, and for arguments that no recipe has."""
    constructor, given = dialects.parse(spec)
    if beside := getattr(constructor, "beside", ()):
        raise ValueError(f"optimizer {spec!r}: {', '.join(beside)} is in no recipe, and would be left out")
    wanted = [n for n in constructor.defaults if constructor.is_required(n) and n not in given]
    try:
        chosen = constructor(**given, **{n: [] if n == "params" else 0.001 for n in wanted})
    except TypeError as error:
        raise ValueError(f"optimizer {spec!r}: {error}") from None
    if "learning_rate" in wanted:
        chosen = chosen.replace(lr=chosen.rule.hyperparameters["lr"].default)
    return constructor, chosen
