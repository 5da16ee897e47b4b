"""The page for those who do not see it, or use no mouse: axe-core's rules in every state, and the keyboard alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ravine.playground import write

STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
STATES = {
    "a race": "preset=family&t=10",
    "a map and noise": "preset=map&noise=gaussian,1,1&t=10",
    "a curve": "preset=turn&t=30",
    "a wrong formula": "surface=formula&f=" + quote("log(x) + sn(y)") + "&opt=gd&t=0",
    "holes": "surface=formula&f=" + quote("log(x) + y^2") + "&start=1,1&opt=gd,lr=0.5&steps=20&t=20",
    "a wrong link": "opt=adam,lr=-1&opt=adamm&stps=3",
    "nobody": "surface=oblong_bowl&t=0",
    "data in three dimensions": "preset=network&noise=batches,10,1&t=10&relief=30,40",
}
INTERACTIVE = "button, input, select, summary, a[href], [tabindex='0']"


@pytest.fixture(scope="module")
def axe() -> str:
    script = Path(sys.prefix) / "share" / "axe-core" / "axe.min.js"
    if not script.exists():
        pytest.skip("needs axe-core, which tools/axe.py fetches by npm")
    return script.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("page") / "page.html").as_uri()


@pytest.fixture
def still(browser: Any) -> Iterator[Any]:
    """The browser, for somebody who has asked for no motion, in a given theme."""

    def show(address: str, theme: str) -> None:
        features = [("prefers-reduced-motion", "reduce"), ("prefers-color-scheme", theme)]
        media = {"features": [{"name": name, "value": value} for name, value in features]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.get("about:blank")
        browser.get(address)

    browser.show = show
    yield browser
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def faults(browser: Any, axe: str) -> list[Any]:
    """What axe-core finds: the rule, and the elements."""
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
    found: list[Any] = browser.execute_async_script(
        """const [standards, done] = arguments;
        const rules = { "empty-table-header": { enabled: false } }; // it takes MathML for nothing
        axe.run(document, { runOnly: standards, rules, resultTypes: ["violations"] }).then((result) =>
          done(result.violations.map((v) => [v.id, v.nodes.map((n) => n.target.join())])));""",
        STANDARDS,
    )
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_no_rule_of_wcag_is_broken(still: Any, axe: str, address: str, state: str, theme: str) -> None:
    still.show(f"{address}#{state}", theme)
    assert faults(still, axe) == []


def test_a_fault_is_found(still: Any, axe: str, address: str) -> None:
    still.show(address, "light")
    still.execute_script("document.querySelector('.play').removeAttribute('aria-label');")
    still.execute_script("document.querySelector('.play').removeAttribute('title');")
    assert "button-name" in [rule for rule, _ in faults(still, axe)]


def test_the_tab_key_reaches_everything_that_can_be_used(still: Any, address: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    still.show(f"{address}#{STATES['a map and noise']}", "light")
    mark = f"""
        const all = [...document.querySelectorAll("{INTERACTIVE}")].filter((e) => e.checkVisibility() && !e.disabled);
        all.forEach((e) => (e.dataset.reached = "no"));
        document.addEventListener("focusin", (event) => (event.target.dataset.reached = "yes"));
        return all.length;"""
    count = still.execute_script(mark)
    actions = ActionChains(still, duration=0)
    for _ in range(count + 5):
        actions.send_keys(Keys.TAB)
    actions.perform()
    left = "return [...document.querySelectorAll('[data-reached=no]')].map((e) => e.outerHTML)"
    assert still.execute_script(left) == []
    assert count > 30


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", "averages"])
def test_the_course_breaks_no_rule(still: Any, axe: str, tmp_path: Path, name: str, theme: str) -> None:
    pytest.importorskip("matplotlib", reason="the stills need Matplotlib")
    from ravine.playground import course
    from ravine.playground.lessons import LESSONS

    lesson = next((x for x in LESSONS if x.name == name), None)
    page = tmp_path / "page.html"
    page.write_text(course.index() if lesson is None else course.page(lesson), encoding="utf-8")
    still.show(page.as_uri(), theme)
    assert faults(still, axe) == []
