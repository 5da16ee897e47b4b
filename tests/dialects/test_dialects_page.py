"""docs/dialects.md says what the tables say."""

from __future__ import annotations

import re
from pathlib import Path

from ravine import dialects
from ravine.userfile import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "dialects.md").read_text(encoding="utf-8")


def test_the_page_of_dialects_is_current() -> None:
    assert load(ROOT / "tools" / "dialects_page.py").page() == PAGE, "run `make docs`"


def test_every_framework_and_optimizer_is_on_it() -> None:
    for framework in dialects.FRAMEWORKS:
        section = re.search(rf"^## {framework}$(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
        assert section
        for name, constructor in dialects.constructors(framework).items():
            rows = re.findall(rf"^\| `{name}` \|.*\| \[?`", section[1], re.MULTILINE)
            assert len(rows) >= len(constructor.forms)
