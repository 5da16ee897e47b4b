"""Ctrl-C that is not lost. Python raises KeyboardInterrupt wherever the program is; in the callback of a weak
reference, of which databases' libraries have many, it can only be printed, and the program goes on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_lost: list[KeyboardInterrupt] = []


@contextmanager
def kept() -> Iterator[None]:
    """Keep interrupts that nobody could catch, instead of printing them, for `raise_lost`."""
    before = sys.unraisablehook

    def keep(error: UnraisableHookArgs, /) -> None:
        if issubclass(error.exc_type, KeyboardInterrupt):
            _lost.append(KeyboardInterrupt())
        else:
            before(error)

    sys.unraisablehook = keep
    try:
        yield
    finally:
        sys.unraisablehook = before
        _lost.clear()


def raise_lost() -> None:
    """Raise KeyboardInterrupt if one was kept. For loops that wait."""
    if _lost:
        raise _lost.pop()
