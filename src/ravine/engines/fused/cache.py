"""Machine code kept on disk, so that a second process need not compile it again.

The folder is the user's cache folder, or RAVINE_CACHE_DIR; it and the files in it must belong to the user and be
writable by nobody else, because what is read from it is run. A file carries its own digest. Whatever is wrong (a
foreign or damaged file, no folder, no room, a read-only home) the kernel is compiled as if there were no cache.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

DIGEST = 32  # bytes of SHA-256, in front of the code


def folder() -> Path:
    """Where machine code is kept."""
    if chosen := os.environ.get("RAVINE_CACHE_DIR"):
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("ravine", appauthor=False)) / "kernels"


def key(*parts: str) -> str:
    """The name of the code that some text makes with some compiler for some processor."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def read(name: str) -> bytes | None:
    """The code kept under a name; None if there is none that can be trusted."""
    try:
        place = folder()
        if not _is_ours(place.lstat()):
            return None
        descriptor = os.open(place / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as file:
            content = file.read() if _is_ours(os.fstat(descriptor)) else b""
    except OSError:
        return None
    digest, code = content[:DIGEST], content[DIGEST:]
    return code if digest == hashlib.sha256(code).digest() else None


def write(name: str, code: bytes) -> None:
    """Keep code under a name, if that can be done."""
    try:
        place = folder()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(place.lstat()):
            return
        descriptor, temporary = tempfile.mkstemp(dir=place)  # readable and writable by its owner alone
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
            Path(temporary).replace(place / name)  # at once, so that nobody reads half a file
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError:
        return


def _is_ours(found: os.stat_result) -> bool:
    """Whether a folder or file, not a link, belongs to this user and nobody else may write to it."""
    if stat.S_ISLNK(found.st_mode):
        return False
    return not hasattr(os, "geteuid") or (found.st_uid == os.geteuid() and not found.st_mode & 0o022)
