"""The page's modules as one script: no build tool, since all a page of this size needs is their text in order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).parent / "page"

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w.]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(class|const|function) )", re.MULTILINE)


def bundle(entry: str, given: Mapping[str, str] | None = None) -> str:
    """The module `entry` and what it imports, as one text without imports and exports, imported modules first.

    `given` holds the text of modules that are no files of `page/`. All modules share one scope, so a name at the top
    of two modules is a syntax error in the browser; only `import { a, b } from "./x.js"` and `export` before a
    declaration are understood.
    """
    parts: dict[str, str] = {}

    def add(name: str) -> None:
        if name in parts:
            return
        text = given[name] if given and name in given else (PAGE / name).read_text(encoding="utf-8")
        parts[name] = ""  # before its imports, so that modules in a circle end
        for wanted in _IMPORT.findall(text):
            add(wanted)
        del parts[name]
        parts[name] = _EXPORT.sub("", _IMPORT.sub("", text)).strip()

    add(entry)
    return "\n\n".join(f"// {name}\n{text}" for name, text in parts.items()) + "\n"
