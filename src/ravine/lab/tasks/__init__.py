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
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import ravine
from ravine import userfile
from ravine.errors import missing, unknown
from ravine.lab.task import FunctionTask, Task, Trainable

BUILT_IN = {
    "digits": "ravine.lab.tasks.digits",
    "digits-cnn": "ravine.lab.tasks.digits_cnn",
    "breast-cancer": "ravine.lab.tasks.breast_cancer",
    "stdlib-lm": "ravine.lab.tasks.stdlib_lm",
    "stdlib-gpt": "ravine.lab.tasks.stdlib_gpt",
    "digits-resnet": "ravine.lab.tasks.digits_resnet",
    "digits-lora": "ravine.lab.tasks.digits_lora",
    "digits-gan": "ravine.lab.tasks.digits_gan",
    "diabetes": "ravine.lab.tasks.diabetes",
    "denoise": "ravine.lab.tasks.denoise",
}
"""Where each built-in task is: a module whose `task` is a function of the task's options that returns a Task."""


SUITE = ("digits", "digits-cnn", "breast-cancer", "stdlib-lm")
"""What `ravine compare --suite` runs."""
COMMON = ("device", "precision", "test")
"""Options that any Task has."""
GIVEN = ("make_optimizer", "seed", "report", "steps")
"""Arguments of a training loop that the runner gives."""


def find(spec: str) -> Trainable:
    """The task that `spec` names: a built-in one, maybe with options as in `digits[batch_size=16]`; `FILE.py`, whose
    `task` (a Task) or `train` (a function) is meant; or `FILE.py:NAME`. Options of a Task in a file are those of
    COMMON, those of a function its further arguments.

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
    common = {n: options.pop(n) for n in COMMON if n in options}
    found = _from_file(name) if ".py" in name else _built_in(spec, name, options)
    try:
        if isinstance(found, FunctionTask):
            return _with_arguments(found, {**options, **common})
        if ".py" in name and options:
            raise unknown(f"option of a task in {name}:", next(iter(options)), COMMON)
        if "device" in common:
            _check_device(common["device"])
        return replace(found, **common)
    except (TypeError, ValueError) as error:
        raise ValueError(f"task {spec!r}: {error}") from error


def _built_in(spec: str, name: str, options: dict[str, Any]) -> Task | FunctionTask:
    if name not in BUILT_IN:
        raise unknown("task", name, BUILT_IN)
    try:
        make = importlib.import_module(BUILT_IN[name]).task
    except ModuleNotFoundError as error:
        raise missing("the lab", error, extra="lab") from error
    known = inspect.signature(make).parameters
    for option in options:
        if option not in known:
            raise unknown(f"option of task {name}", option, [*known, *COMMON])
    try:
        for option, value in options.items():
            _check_kind(option, value, known[option].default)
        found: Task | FunctionTask = make(**options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"task {spec!r}: {error}") from error
    options.clear()
    return found


def _check_kind(option: str, value: Any, default: Any) -> None:
    """Raise ValueError for an option of a built-in task that is not a number of the kind that its default is."""
    kinds, words = ((int,), "a whole number") if isinstance(default, int) else ((int, float), "a number")
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise ValueError(f"{option} must be {words}, got {value!r}")


def _with_arguments(task: FunctionTask, options: dict[str, Any]) -> FunctionTask:
    """A training loop with further arguments, those that it takes."""
    takes = [n for n in inspect.signature(task.function).parameters if n not in GIVEN]
    for option in options:
        if option not in takes:
            raise unknown(f"argument of {task.name}()", option, takes)
    return replace(task, options=options)


def _check_device(name: Any) -> None:
    """Raise ValueError for a device that torch hasn't here."""
    import torch

    try:
        torch.empty(0, device=name)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"torch can't use the device {name!r} here: {reason}") from None


def with_options(spec: str, **options: Any) -> str:
    """The text that names a task, with options that are not None added to it, or put in the place of those it has."""
    name, _, inside = spec.partition("[")
    added = {n: v for n, v in options.items() if v is not None}
    parts = [p for p in inside.rstrip("]").split(",") if p.strip() and p.partition("=")[0].strip() not in added]
    parts += [f"{n}={v}" for n, v in added.items()]
    return f"{name}[{','.join(parts)}]" if parts else name


def options_of(spec: str) -> dict[str, Any]:
    """A task's own options (not those of COMMON) and their values, as `spec` gives them or else by default; of one that
    must be given and is not, `inspect.Parameter.empty`. Raises ValueError as `find` does."""
    task = find(spec)
    name, _, inside = spec.partition("[")
    if name in BUILT_IN:
        takes = inspect.signature(importlib.import_module(BUILT_IN[name]).task).parameters
    elif isinstance(task, FunctionTask):
        takes = inspect.signature(task.function).parameters
    else:
        return {}
    defaults = {n: p.default for n, p in takes.items() if n not in GIVEN}
    return defaults | {n: v for n, v in _options(spec, inside.rstrip("]")).items() if n in defaults}


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


def _from_file(name: str) -> Task | FunctionTask:
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
