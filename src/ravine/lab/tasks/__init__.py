"""The built-in tasks, one file each, and finding a task by what a user calls it.

All data of the built-in tasks comes with packages: nothing is downloaded.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import os
import re
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import ravine
from ravine import userfile
from ravine.errors import unknown
from ravine.lab.task import FunctionTask, Task, Trainable

BUILT_IN = {
    "digits": "ravine.lab.tasks.digits",
    "digits-cnn": "ravine.lab.tasks.digits_cnn",
    "breast-cancer": "ravine.lab.tasks.breast_cancer",
    "stdlib-lm": "ravine.lab.tasks.stdlib_lm",
}
"""Where each built-in task is: a module whose `task` is a function of the task's options that returns a Task."""


def find(spec: str) -> Trainable:
    """The task that `spec` names: a built-in one, maybe with options as in `digits[batch_size=16]`; `FILE.py`, whose
    `task` (a Task) or `train` (a function) is meant; or `FILE.py:NAME`.

    Raises ValueError for a name or option that there isn't, naming the nearest, and for a file that holds no task.
    """
    return _find(spec, str(Path.cwd()) if ".py" in spec else "")


@cache
def _find(spec: str, folder: str) -> Trainable:
    """The task, once a process: its data stays in memory. `folder` tells files of one name apart."""
    match = re.fullmatch(r"([^\[\]]+)(?:\[([^\]]*)\])?", spec)
    if not match:
        raise ValueError(f"can't read task {spec!r}: expected NAME, NAME[OPTION=VALUE], FILE.py or FILE.py:NAME")
    name, options = match[1], _options(spec, match[2] or "")
    if ".py" in name:
        if options:
            raise ValueError(f"task {spec!r}: options in brackets are for built-in tasks")
        return _from_file(name)
    if name not in BUILT_IN:
        raise unknown("task", name, BUILT_IN)
    try:
        make = importlib.import_module(BUILT_IN[name]).task
    except ModuleNotFoundError as error:
        raise ImportError(f"the lab needs {error.name}: pip install 'ravine[lab]'") from error
    known = inspect.signature(make).parameters
    for option in options:
        if option not in known:
            raise unknown(f"option of task {name}", option, known)
    try:
        found: Task = make(**options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"task {spec!r}: {error}") from error
    return found


def digest(spec: str) -> str:
    """What changes when a task does: a hash of the files that `covered` names, or Ravine's version."""
    if not (files := covered(spec)):
        return ravine.__version__
    folder = _file(spec.partition("[")[0])[0].resolve().parent
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{os.path.relpath(file, folder)}\0{_hash(file, file.stat().st_mtime_ns)}\n".encode())
    return whole.hexdigest()[:16]


def covered(spec: str) -> list[Path]:
    """The files of a user's task whose change makes it another task: the file itself, what it imports from its own
    folder, and what its list `data_files` declares (files, folders and patterns such as "images/*.npy", relative to
    the file). Empty for a built-in task.

    Raises ValueError for a declared file that isn't there.
    """
    name = spec.partition("[")[0]
    if ".py" not in name:
        return []
    file = _file(name)[0].resolve()
    declared = vars(_load(file)).get("data_files", [])
    if isinstance(declared, (str, Path)) or not all(isinstance(d, (str, Path)) for d in declared):
        raise ValueError(f"{file.name}: data_files must be a list of file names, got {declared!r}")
    data: set[Path] = set()
    for pattern in map(str, declared):
        whole = file.parent / pattern
        matches = (
            [whole] if whole.exists() else list(file.parent.glob(pattern)) if not Path(pattern).is_absolute() else []
        )
        if not matches:
            raise ValueError(f"{file.name}: data_files names {pattern!r}, and there is no such file")
        for match in matches:
            data.update(p for p in match.rglob("*") if p.is_file()) if match.is_dir() else data.add(match)
    return [*userfile.sources(file), *sorted(data)]


@cache
def _hash(file: Path, changed: int) -> str:
    """The hash of a file, read again when it has changed."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _options(spec: str, text: str) -> dict[str, Any]:
    options = {}
    for pair in filter(None, (p.strip() for p in text.split(","))):
        key, equals, value = (p.strip() for p in pair.partition("="))
        if not (key and equals and value):
            raise ValueError(f"task {spec!r}: {pair!r} is not OPTION=VALUE")
        try:
            options[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[key] = value
    return options


def _file(name: str) -> tuple[Path, str]:
    path, _, attribute = name.partition(".py")
    file = Path(path + ".py")
    if not file.is_file():
        raise ValueError(f"no such file: {str(file)!r} (a task of your own is FILE.py or FILE.py:NAME)")
    return file, attribute.removeprefix(":")


def _load(file: Path) -> ModuleType:
    try:
        return userfile.load(file)
    except Exception as error:
        raise ValueError(f"{file} can't be run: {type(error).__name__}: {error}") from error


def _from_file(name: str) -> Trainable:
    file, attribute = _file(name)
    found = vars(_load(file))
    chosen = found.get(attribute) if attribute else found.get("task", found.get("train"))
    if isinstance(chosen, (Task, FunctionTask)):
        return chosen
    if callable(chosen):
        return FunctionTask(chosen, name=attribute if attribute not in ("", "train") else file.stem)
    if attribute:
        tasks = [n for n, v in found.items() if isinstance(v, Task) or inspect.isfunction(v)]
        raise unknown(f"task in {file}:", attribute, tasks)
    raise ValueError(f"{file} holds neither `task`, a ravine.lab.Task, nor a function `train`; see `ravine new-task`")
