"""What the tests of the page share."""

from __future__ import annotations

import sys
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


@pytest.fixture(scope="module")
def axe() -> str:
    script = Path(sys.prefix) / "share" / "axe-core" / "axe.min.js"
    if not script.exists():
        pytest.skip("needs axe-core, which tools/axe.py fetches by npm")
    return script.read_text(encoding="utf-8")


@pytest.fixture
def still(browser: Any) -> Iterator[Any]:
    """The browser, for somebody who has asked for no motion, in a given theme."""

    def turn(theme: str) -> None:
        features = [("prefers-reduced-motion", "reduce"), ("prefers-color-scheme", theme)]
        media = {"features": [{"name": name, "value": value} for name, value in features]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    def show(address: str, theme: str) -> None:
        turn(theme)
        browser.get("about:blank")
        browser.get(address)

    browser.show, browser.turn = show, turn
    yield browser
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
