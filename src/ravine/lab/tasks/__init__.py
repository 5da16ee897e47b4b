"""The built-in tasks, one file each. All their data comes with packages: nothing is downloaded."""

from __future__ import annotations

import importlib

from ravine.errors import unknown
from ravine.lab.task import Task

BUILT_IN = {
    "digits": "ravine.lab.tasks.digits",
    "digits-cnn": "ravine.lab.tasks.digits_cnn",
    "breast-cancer": "ravine.lab.tasks.breast_cancer",
    "stdlib-lm": "ravine.lab.tasks.stdlib_lm",
}
"""Where each built-in task is: a module whose `task` is a Task."""


def find(name: str) -> Task:
    """The task of that name. Raises ValueError, naming the nearest, for a name that no task has."""
    if name not in BUILT_IN:
        raise unknown("task", name, BUILT_IN)
    try:
        found: Task = importlib.import_module(BUILT_IN[name]).task
    except ModuleNotFoundError as error:
        raise ImportError(f"the lab needs {error.name}: pip install 'ravine[lab]'") from error
    return found
