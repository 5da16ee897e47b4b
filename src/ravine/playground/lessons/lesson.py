"""What a lesson of the course is: a question, a picture to play with, and an explanation whose numbers are computed.

A lesson's `numbers` come from the very runs that its picture shows; its text has places for them and none of its own.
`holds` says whether what the text says of them is so: no page is written where it isn't. [words](address) are a link;
`{whole}` is the address of the playground with the lesson's scenario.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ravine.simulate.runs import Run

Numbers = dict[str, float]


@dataclass(frozen=True)
class Lesson:
    """A page of the course: what to predict, what to play with, what explains it, a question and its answer."""

    name: str
    title: str
    preset: str
    predict: str
    play: str
    explain: Sequence[str]
    question: str
    answer: str
    numbers: Callable[[Sequence[Run]], Numbers]
    holds: Callable[[Numbers], bool]


def first(condition: Any) -> int:
    """The first index at which it holds. Raises ValueError where it never does."""
    if not np.any(condition):
        raise ValueError("what a lesson speaks of never happens")
    return int(np.argmax(condition))
