"""Running a Python file of the user's: once a process, whatever is taken from it (a rule, a task, a surface)."""

from __future__ import annotations

import ast
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from ravine.errors import with_article


def load(path: str | Path) -> ModuleType:
    """The module that a file makes; the file is run when it is first asked for.

    It may import what is beside it, as a program that is run may. Raises ValueError for a file that is not Python, and
    whatever the file itself raises: see `place`.
    """
    file = Path(path).resolve()
    name = f"ravine_user:{file}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise ValueError(f"{str(path)!r} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        _find_beside(file.parent)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


_beside: dict[str, frozenset[str]] = {}
"""The folder whose modules a user's file finds, and the names of the modules that were there before."""


def _find_beside(folder: Path) -> None:
    """Let imports find what is in a folder, and no longer what was in that of another file: both may have a helper.py.

    A file that has imported its own keeps it.
    """
    if str(folder) in _beside:
        return
    for other, before in _beside.items():
        for name in [n for n in sys.modules if n not in before]:
            top = getattr(sys.modules.get(name.partition(".")[0]), "__file__", None) or ""
            if Path(top).parent == Path(other) or Path(top).parent.parent == Path(other):
                del sys.modules[name]
        if other in sys.path:
            sys.path.remove(other)
    _beside.clear()
    _beside[str(folder)] = frozenset(sys.modules)
    sys.path.insert(0, str(folder))


def sources(path: str | Path) -> list[Path]:
    """A Python file and all files beside it, or in packages there, that it imports, directly or not, sorted.

    Found by reading the import statements, those in functions too; nothing is run. Raises OSError for a file that
    can't be read, SyntaxError for one that is not Python.
    """
    first = Path(path).resolve()
    found: set[Path] = set()
    waiting = [first]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imported(file, first.parent)
    return sorted(found)


def _imported(file: Path, root: Path) -> list[Path]:
    """The files below a folder that the import statements of a file name."""
    found = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names = [(root, alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = file.parents[node.level - 1] if node.level else root
            parts = node.module.split(".") if node.module else []
            names = [(base, [*parts, alias.name]) for alias in node.names]
        else:
            continue
        for base, parts in names:
            for depth in range(1, len(parts) + 1):  # a package's __init__ files are run as well
                module = base.joinpath(*parts[:depth])
                found += [f for f in (module.with_suffix(".py"), module / "__init__.py") if f.is_file()]
    return found


def look_up(reference: str, kind: str) -> tuple[str, str, ModuleType]:
    """The file and the name in FILE.py:NAME, and the module that the file makes.

    `kind` says what is looked for, as in "rule". Raises ValueError where there is no such file, or it does not run.
    """
    path, _, name = reference.rpartition(":")
    if not Path(path).is_file():
        raise ValueError(f"no such file: {path!r} ({with_article(kind)} of your own is named FILE.py:{kind.upper()})")
    try:
        return path, name, load(path)
    except Exception as error:
        raise ValueError(f"{place(error, path)}: {type(error).__name__}: {error}") from error


def place(error: BaseException, path: str | Path) -> str:
    """Where in a file an error came from: "mine.py, line 3", or the file alone."""
    file = str(Path(path).resolve())
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f"{path}, line {lines[-1]}" if lines else str(path)
