"""The site: built without a warning, and read from the disk, where nothing else can be loaded."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

for package in ("sphinx", "furo", "myst_parser", "latex2mathml", "torch", "jax"):
    pytest.importorskip(package, reason="the site is built with it")

from selenium.webdriver.support.ui import WebDriverWait

from ravine.playground import course, write

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make site` builds it."""
    source, built = (tmp_path_factory.mktemp(name) for name in ("source", "site"))
    for folder in ("docs", "tools/site"):
        shutil.copytree(ROOT / folder, source, dirs_exist_ok=True)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(source), str(built)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONUTF8": "1"})
    assert done.returncode == 0, done.stderr
    write(built / "playground.html")
    course.write(built)
    return built


def test_nothing_is_loaded_from_elsewhere_and_every_link_leads_somewhere(site: Path) -> None:
    pages = {page.name: page.read_text(encoding="utf-8") for page in site.glob("*.html")}
    assert {"index.html", "rules.html", "gallery.html", "api.html", "search.html", "playground.html"} <= set(pages)
    for name, text in pages.items():
        if name == "playground.html":
            continue  # its own tests say so
        loaded = re.findall(r"<(?:script|img|link)[^>]*?\b(?:src|href)=\"([^\"#]+)", text)
        assert not [u for u in loaded if urlsplit(u).scheme or u.startswith("//")], name
        for link in {*loaded, *re.findall(r"<a [^>]*?href=\"([^\"#]+)[\"#]", text)}:
            path = urlsplit(link)
            assert path.scheme or (site / unquote(path.path)).is_file(), (name, link)


def test_formulas_are_set_and_the_search_finds_from_the_disk(site: Path, browser: Any) -> None:
    browser.get(f"{(site / 'rules.html').as_uri()}#adam")
    rows = "return document.querySelectorAll('#adam math[display=block] mtr').length"
    assert browser.execute_script(rows) == 5
    assert (
        browser.execute_script("return [...document.querySelectorAll('math')].some(m => /[&\\\\]/.test(m.textContent))")
        is False
    )
    browser.get(f"{(site / 'search.html').as_uri()}?q=NAdam")
    found = "return [...document.querySelectorAll('#search-results li a')].map(a => a.textContent)"
    WebDriverWait(browser, 20).until(lambda b: b.execute_script(found))
    assert "ravine.torch.NAdam" in browser.execute_script(found)
    assert not [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    import ravine
    import ravine.torch

    text = (site / "api.html").read_text(encoding="utf-8")
    for module in (ravine, ravine.torch):
        for name in module.__all__:
            assert re.search(rf'id="ravine[a-z_.]*\.{name}"', text), f"{module.__name__}.{name}"
