"""Messages for a user's mistake: the argument, its value, what is legal, the nearest valid name."""

from __future__ import annotations

import difflib
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

EXTRAS = {
    "torch": "torch",
    "jax": "jax",
    "optax": "jax",
    "scipy": "scipy",
    "matplotlib": "lab",
    "PIL": "lab",
    "sklearn": "lab",
    "optuna": "lab",
    "sqlalchemy": "lab",
    "safetensors": "convert",
    "psycopg": "postgresql",
    "distributed": "cluster",
    "pyarrow": "parquet",
    "tensorboard": "tensorboard",
    "imageio_ffmpeg": "film",
    "anywidget": "notebook",
    "traitlets": "notebook",
    "h5py": "convert",
    "msgpack": "convert",
    "tensorstore": "orbax",
}
"""Which extra of Ravine brings a package, by the name it is imported under."""


def with_article(word: str) -> str:
    """A word after "a", or "an" where its spelling begins with a vowel that is spoken as one: an int, a uint8."""
    return f"{'an' if word[:1].lower() in 'aeio' else 'a'} {word}"


class UnknownNameError(ValueError, KeyError):
    """A name that nothing answers to. A `ValueError`; also a `KeyError` for code that looks names up."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0])


class MissingPackageError(ModuleNotFoundError):
    """A package that an extra of Ravine brings is not installed."""


MANY = 16
"""More names than this are too long a line; then the nearest few are shown, and the way to see all."""


def unknown(
    what: str, name: str, known: Iterable[str], listed_by: str = "", near: Sequence[str] = ()
) -> UnknownNameError:
    """An error such as: unknown shape 'smal'; did you mean 'small'? Known: gpt2, large, resnet50, small.

    Of many names it shows the nearest three and `listed_by`, the command that shows all; or the first ones. `near` is
    what was meant, where that is known better than by the letters.
    """
    names = sorted(known)
    close = near or difflib.get_close_matches(name, names, n=3 if len(names) > MANY else 1, cutoff=0.5)
    *others, last = [repr(n) for n in close] or [""]
    hint = f"; did you mean {', '.join(others)}{' or ' * bool(others)}{last}?" if close else "."
    if len(names) <= MANY:
        rest = f"Known: {', '.join(names) or 'none'}"
    elif listed_by:
        rest = f"`{listed_by}` shows all"
    else:
        rest = f"Known: {', '.join(names[:MANY])}, … ({len(names)} in all)"
    return UnknownNameError(f"unknown {what} {name!r}{hint} {rest}")


def missing(who: str, error: ImportError, extra: str = "") -> ImportError:
    """The error for an import that failed: who needs the package, and what brings it.

    `extra` is the one of Ravine that brings the package with all else that is needed; if not given, the smallest that
    has it. The error itself is returned where it says so already, and where it is about another package.
    """
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS or not isinstance(error, ModuleNotFoundError) or isinstance(error, MissingPackageError):
        return error
    how = install(extra or EXTRAS[package])
    return MissingPackageError(f"{who} needs {package}, which is not installed: {how}", name=package)


def require(who: str, *packages: str, extra: str = "") -> None:
    """Raise `missing`'s error for the first of these packages that is not installed; nothing is imported.

    For work that needs a package only at its end: better told before it.
    """
    for package in packages:
        if not is_installed(package):
            raise missing(who, ModuleNotFoundError(f"No module named {package!r}", name=package), extra)


def is_installed(package: str) -> bool:
    """Whether a package can be found, without importing it."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def install(extra: str) -> str:
    """The command that installs an extra of Ravine, for the Python that runs and the place that Ravine came from."""
    return f"{_pip()} install {_source(extra)}"


def _pip() -> str:
    """`pip` where that is this Python's, as in an activated environment."""
    here = Path(sys.executable).parent
    found = shutil.which("pip")
    return "pip" if found is not None and Path(found).parent == here else f"{sys.executable} -m pip"


def _source(extra: str) -> str:
    """What pip is to install: a clone that Ravine runs from, or the package by its name."""
    clone = Path(__file__).parents[2]
    if (clone / "pyproject.toml").is_file():
        return f"-e '{clone}[{extra}]'"
    try:
        origin = json.loads(metadata.distribution("ravine").read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:
        origin = {}
    if "url" not in origin:
        return f"'ravine[{extra}]'"
    system = f"{origin['vcs_info']['vcs']}+" if "vcs_info" in origin else ""
    return f"'ravine[{extra}] @ {system}{origin['url']}'"
