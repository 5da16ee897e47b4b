"""Output on terminals and into files that can't hold every character: spelled out, not aborted."""

from __future__ import annotations

import codecs
import unicodedata
from typing import TextIO

SPELLED = {
    "×": "x",
    "÷": "/",
    "′": "'",
    "≡": "=",
    "·": "*",
    "−": "-",
    "‑": "-",
    "–": "-",
    "—": "-",
    "…": "...",
    "√": "sqrt ",
    "∞": "inf",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "≈": "~",
    "±": "+-",
    "→": "->",
    "←": "<-",
    "✓": "yes",
    "✗": "no",
    "‖": "||",
    "∇": "grad ",
    "∂": "d",
    "∈": " in ",
    "⊙": "*",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": "_hat",
    "\N{COMBINING MACRON}": "_bar",
    "\N{COMBINING TILDE}": "_tilde",
}
"""How a reader would type what Ravine prints."""

LEVELS = {"<sub>": "_", "<super>": "^"}
"""What stands before characters that are lowered or raised."""


def spell(error: UnicodeError) -> tuple[str, int]:
    """An error handler for encoders: β as beta, ₜ₋₁ as _t-1, √ as sqrt; what has no spelling as a question mark."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    spelled, level = "", ""
    for character in error.object[error.start : error.end]:
        kind = unicodedata.decomposition(character).partition(" ")[0]
        mark = LEVELS.get(kind, "")
        spelled += (mark if mark != level else "") + _spelled(character)
        level = mark
    return spelled, error.end


def _spelled(character: str) -> str:
    if character in SPELLED:
        return SPELLED[character]
    name = unicodedata.name(character, "")
    if name.startswith("GREEK") and " WITH " not in name:
        letter = name.rpartition(" ")[2].lower()
        return letter.capitalize() if "CAPITAL" in name else letter
    plain = unicodedata.normalize("NFKD", character)
    if plain != character:
        return "".join(map(_spelled, plain))
    return character if character.isascii() else "" if unicodedata.combining(character) else "?"


def never_abort(stream: TextIO) -> None:
    """Let a stream spell out what its encoding lacks. A stream that has no encoding, or was replaced, stays."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        codecs.register_error("ravine-spell", spell)
        reconfigure(errors="ravine-spell")
