"""What the tests of the page share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def blank(browser: Any, tmp_path: Path) -> Any:
    """The browser on an empty page from a file."""
    page = tmp_path / "blank.html"
    page.write_text("<!doctype html><meta charset=utf-8><title>blank</title>", encoding="utf-8")
    browser.get(page.as_uri())
    return browser
