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


def place(error: BaseException, path: str | Path) -> str:
    """Where in a file an error came from: "mine.py, line 3", or the file alone."""
    file = str(Path(path).resolve())
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f"{path}, line {lines[-1]}" if lines else str(path)
