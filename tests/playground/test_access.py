"""The page for those who do not see it, or use no mouse: axe-core's rules in every state, and the keyboard alone."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from pages import faults

from ravine.playground import write

STATES = {
    "a race": "preset=family&t=10",
    "a map and noise": "preset=map&noise=gaussian,1,1&t=10",
    "a curve": "preset=turn&t=30",
    "a wrong formula": "surface=formula&f=" + quote("log(x) + sn(y)") + "&opt=gd&t=0",
    "holes": "surface=formula&f=" + quote("log(x) + y^2") + "&start=1,1&opt=gd,lr=0.5&steps=20&t=20",
    "a wrong link": "opt=adam,lr=-1&opt=adamm&stps=3",
    "nobody": "surface=oblong_bowl&t=0",
    "what is evaluated": "surface=oblong_bowl&opt=schedule_free_sgd,lr=0.09&opt=rprop&chart=evaluated,log&t=10",
    "no rate": "surface=oblong_bowl&opt=schedule_free_sgd,lr=0.09&opt=rprop&sel=1&t=10",
    "compared, with arrows and hidden answers": "preset=average&versus=0&arrows=1&hide=1&t=10",
    "data in three dimensions": "preset=network&noise=batches,10,1&t=10&relief=30,40",
}
INTERACTIVE = "button, input, select, summary, a[href], [tabindex='0']"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("page") / "page.html").as_uri()


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_no_rule_of_wcag_is_broken(still: Any, axe: str, address: str, state: str) -> None:
    still.show(f"{address}#{state}", "light")
    assert faults(still, axe, "light") == []
    still.turn("dark")
    assert faults(still, axe, "dark") == []


def test_no_rule_of_wcag_is_broken_in_a_frame(still: Any, axe: str, address: str) -> None:
    still.show(f"{address}?embed#preset=average&t=10", "light")
    assert [
        f for f in faults(still, axe, "light") if f[0] != "page-has-heading-one"
    ] == []  # the lesson around it has one
    still.turn("dark")
    assert faults(still, axe, "dark") == []


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


def test_a_fault_of_the_dark_theme_is_found(still: Any, axe: str, address: str) -> None:
    still.show(f"{address}#{STATES['a race']}", "dark")
    still.execute_script("document.querySelector('.ravine').style.setProperty('--muted', '#444')")
    assert {rule for rule, _ in faults(still, axe, "dark")} == {"color-contrast"}
