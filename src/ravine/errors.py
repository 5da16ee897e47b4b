"""Messages for a user's mistake: the argument, its value, what is legal, the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

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
