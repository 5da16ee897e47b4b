"""Running a Python file of the user's: once a process, whatever is taken from it (a rule, a task, a surface)."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType


def load(path: str | Path) -> ModuleType:
    """The module that a file makes; the file is run when it is first asked for.

    Raises ValueError for a file that is not Python, and whatever the file itself raises: see `place`.
    """
    file = Path(path).resolve()
    name = f"ravine_user:{file}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise ValueError(f"{str(path)!r} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def look_up(reference: str, kind: str) -> tuple[str, str, ModuleType]:
    """The file and the name in FILE.py:NAME, and the module that the file makes.

    `kind` says what is looked for, as in "rule". Raises ValueError where there is no such file, or it does not run.
    """
    path, _, name = reference.rpartition(":")
    if not Path(path).is_file():
        raise ValueError(f"no such file: {path!r} (a {kind} of your own is named FILE.py:{kind.upper()})")
    try:
        return path, name, load(path)
    except Exception as error:
        raise ValueError(f"{place(error, path)}: {type(error).__name__}: {error}") from error


def place(error: BaseException, path: str | Path) -> str:
    """Where in a file an error came from: "mine.py, line 3", or the file alone."""
    file = str(Path(path).resolve())
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f"{path}, line {lines[-1]}" if lines else str(path)
