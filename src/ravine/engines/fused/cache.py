"""Machine code kept on disk, so that a second process need not compile it again.

The folder is the user's cache folder, or RAVINE_CACHE_DIR; it and the files in it must belong to the user and be
writable by nobody else, because what is read from it is run. A file carries its own digest. Whatever is wrong (no home,
a foreign or damaged file, no room, a read-only disk) the kernel is compiled as if there were no cache: nothing here
raises. Why nothing can be kept is logged once.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import stat
import tempfile
from pathlib import Path

DIGEST = 32  # bytes of SHA-256, in front of the code

_log = logging.getLogger(__name__)
_said: set[str] = set()


class UnusableError(Exception):
    """Why a folder can't be used."""


def folder() -> Path:
    """Where machine code is kept. Raises UnusableError where there is no such place."""
    chosen = os.environ.get("RAVINE_CACHE_DIR")
    if chosen:
        place, origin = Path(chosen).expanduser(), f"RAVINE_CACHE_DIR={chosen}"
    else:
        import platformdirs

        place = Path(platformdirs.user_cache_dir("ravine", appauthor=False)) / "kernels"
        origin = f"the user's cache folder, {place},"
    if (
        not place.is_absolute()
    ):  # an unknown home, a relative XDG_CACHE_HOME: code would be run from wherever one stands
        raise UnusableError(f"{origin} is no absolute path; set RAVINE_CACHE_DIR to one")
    return place


def key(*parts: str) -> str:
    """The name of the code that some text makes with some compiler for some processor."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def read(name: str) -> bytes | None:
    """The code kept under a name; None if there is none that can be trusted."""
    try:
        place = folder()
        if _why_foreign(place.lstat()):
            return None
        descriptor = os.open(place / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as file:
            content = b"" if _why_foreign(os.fstat(descriptor)) else file.read()
    except Exception:  # whatever it is, there is no code; `write` says why
        return None
    digest, code = content[:DIGEST], content[DIGEST:]
    return code if digest == hashlib.sha256(code).digest() else None


def write(name: str, code: bytes) -> None:
    """Keep code under a name, if that can be done; else say why not, once."""
    try:
        place = folder()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if why := _why_foreign(place.lstat()):
            raise UnusableError(f"{place} {why}")
        descriptor, temporary = tempfile.mkstemp(dir=place)  # readable and writable by its owner alone
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
            Path(temporary).replace(place / name)  # at once, so that nobody reads half a file
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
    except Exception as error:
        _say(str(error) or type(error).__name__)


def _say(why: str) -> None:
    if why not in _said:
        _said.add(why)
        _log.warning("compiled kernels are not kept on disk, so every process compiles anew: %s", why)


def _why_foreign(found: os.stat_result) -> str:
    """What is wrong with a folder or file that should be this user's own and writable by nobody else, if anything."""
    if stat.S_ISLNK(found.st_mode):
        return "is a symbolic link"
    if not hasattr(os, "geteuid"):
        return ""
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}, not to {os.geteuid()}"
    if found.st_mode & 0o022:
        return f"is writable by others (mode {stat.S_IMODE(found.st_mode):o}); chmod go-w makes it usable"
    return ""
