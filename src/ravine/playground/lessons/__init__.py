"""The course: ten lessons, in the order in which they build on each other."""

from __future__ import annotations

from ravine.playground.lessons.bowls import BOWLS
from ravine.playground.lessons.lesson import Lesson
from ravine.playground.lessons.practice import PRACTICE
from ravine.playground.lessons.slopes import SLOPES

__all__ = ["LESSONS", "Lesson"]

LESSONS = (*SLOPES, *BOWLS, *PRACTICE)
