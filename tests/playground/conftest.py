"""What the tests of the page share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import Page


@pytest.fixture
def blank(browser: Any, tmp_path: Path) -> Any:
    """The browser on an empty page from a file."""
    page = tmp_path / "blank.html"
    page.write_text("<!doctype html><meta charset=utf-8><title>blank</title>", encoding="utf-8")
    browser.get(page.as_uri())
    return browser


@pytest.fixture
def page(browser: Any, file: Path) -> Iterator[Page]:
    """The page in a file that the tests of a module have written, which must leave nothing in the browser's log."""
    page = Page(browser, file)
    page.browser.get_log("browser")
    yield page
    reading = "GL Driver Message"  # what a graphics driver says of tests that read a picture back
    assert [line for line in page.browser.get_log("browser") if reading not in line["message"]] == []
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
