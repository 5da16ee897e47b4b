"""What a person does on the page, for tests of what they see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Page:
    """What a person does on the page, and what they see."""

    def __init__(self, browser: Any, file: Path) -> None:
        self.browser, self.address = browser, file.as_uri()

    def open(self, link: str = "") -> None:
        self.browser.get("about:blank")  # so that another link alone is a new page too
        self.browser.get(f"{self.address}#{link}" if link else self.address)

    def find(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements("css selector", selector))

    def named(self, label: str) -> Any:
        return self.find(f'[aria-label="{label}"]')

    def choose(self, label: str, text: str) -> None:
        from selenium.webdriver.support.ui import Select

        Select(self.find(f'select[aria-label="{label}"]')).select_by_visible_text(text)

    def add(self, title: str) -> None:
        self.choose("Optimizer to add", title)
        self.named("Add the chosen optimizer").click()

    def type(self, element: Any, text: str) -> None:
        element.clear()
        element.send_keys(text)

    def wait(self, condition: Callable[[], Any]) -> Any:
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.browser, 60, poll_frequency=0.05).until(lambda _: condition())

    def link(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.browser.current_url).fragment, keep_blank_values=True)

    def step(self) -> int:
        return int(self.find(".now").text)

    def readings(self) -> list[str]:
        self.settle()
        return [e.text for e in self.all(".reading")]

    @property
    def keys(self) -> Any:
        return keys()

    def settle(self) -> None:
        """Wait until what was asked for is painted."""
        self.browser.execute_async_script(
            "requestAnimationFrame(() => requestAnimationFrame(arguments[arguments.length - 1]))"
        )

    def picture(self) -> str:
        """The paths as they are painted."""
        self.settle()
        result: str = self.browser.execute_script(
            "return [...document.querySelectorAll('.stage canvas')].map((c) => c.toDataURL()).join()"
        )
        return result


def keys() -> Any:
    from selenium.webdriver.common.keys import Keys

    return Keys


RULES_OF = {
    "light": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "dark": ["color-contrast", "link-in-text-block"],
}
"""What axe-core looks for: all of the standards in the light, and in the dark the rules that colours can break."""


def faults(browser: Any, axe: str, theme: str = "light") -> list[Any]:
    """What axe-core finds on a page in a theme: the rule, and the elements."""
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
    found: list[Any] = browser.execute_async_script(
        """const [runOnly, done] = arguments;
        const rules = { "empty-table-header": { enabled: false } }; // it takes MathML for nothing
        const settings = { runOnly, resultTypes: ["violations"], ...(runOnly[0] === "wcag2a" ? { rules } : {}) };
        axe.run(document, settings).then((result) =>
          done(result.violations.map((v) => [v.id, v.nodes.map((n) => n.target.join())])));""",
        RULES_OF[theme],
    )
    return found
