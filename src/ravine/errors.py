"""Messages for a user's mistake: the argument, its value, what is legal, the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXTRAS = {
    "torch": "torch",
    "jax": "jax",
    "optax": "jax",
    "scipy": "scipy",
    "matplotlib": "lab",
    "sklearn": "lab",
    "imageio_ffmpeg": "film",
    "anywidget": "notebook",
}
"""Which extra of Ravine brings a package, by the name it is imported under."""


class UnknownNameError(ValueError, KeyError):
    """A name that nothing answers to. A `ValueError`; also a `KeyError` for code that looks names up."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0])


def unknown(what: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """An error such as: unknown rule 'adan'; did you mean 'adam'? Known: adadelta, adagrad, …"""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return UnknownNameError(f"unknown {what} {name!r}{hint} Known: {', '.join(names) or 'none'}")


def missing(who: str, error: ImportError) -> ImportError:
    """The error for an import that failed: who needs the package, and which extra brings it.

    The error itself where it is about another package than those of the extras.
    """
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS or not isinstance(error, ModuleNotFoundError):
        return error
    return ModuleNotFoundError(
        f"{who} needs {package}, which is not installed: pip install 'ravine[{EXTRAS[package]}]'", name=package
    )
