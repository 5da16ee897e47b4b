"""What every test runs under: one thread for torch, as training does, and no configuration of the machine's user."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import ravine
from ravine import registry

CHROMIUM = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --force-device-scale-factor=1 --window-size=1280,900 "
    "--enable-unsafe-swiftshader"
)

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
# Machine code of the tests is not kept in their user's home; worker processes inherit the folder.
if "RAVINE_CACHE_DIR" not in os.environ:
    os.environ["RAVINE_CACHE_DIR"] = tempfile.mkdtemp(prefix="ravine-tests-")
    atexit.register(shutil.rmtree, os.environ["RAVINE_CACHE_DIR"], ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _rules_at_first() -> Mapping[str, ravine.Rule]:
    """Those that are there before any fixture of a module registers one."""
    return ravine.rules()


@pytest.fixture(autouse=True)
def _rules_of_one_test_are_not_seen_by_another(_rules_at_first: Mapping[str, ravine.Rule]) -> None:
    registry._registry.clear()
    registry._registry.update(_rules_at_first)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium, a new one for each file of tests."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in CHROMIUM.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    browser.set_script_timeout(120)
    yield browser
    browser.quit()
