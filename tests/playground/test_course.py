"""The course: numbers that are computed, sentences that hold, pages that read without a script and play with one."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the stills need Matplotlib")

from pages import faults
from selenium.webdriver.support.ui import WebDriverWait

from ravine.playground import course, write
from ravine.playground.lessons import LESSONS, Lesson
from ravine.playground.presets import PRESETS
from ravine.playground.scene import scene, view
from ravine.simulate import figures

FORMULAS = (
    *(r"1/\(1−[μβ]₂?\)", "1 − βᵗ", "1 − lr·h", "2/h", r"\(1−β\)", "[μβ]₁? = 0"),
    *(r"β₂ to 0\.9", "ε = 1", "tilt to 1", "45 degrees"),
)
"""Digits that are no measured numbers."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write(folder / "playground.html")
    course.write(folder)
    for name in ("index.html", "claims.html"):  # of the docs
        (folder / name).touch()
    return folder


def numbers(lesson: Lesson) -> dict[str, float]:
    return lesson.numbers(scene(next(p.link for p in PRESETS if p.name == lesson.preset)))


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda x: x.name)
def test_what_a_lesson_says_holds_and_would_not_for_other_numbers(lesson: Lesson) -> None:
    found = numbers(lesson)
    assert lesson.holds(found)
    assert not lesson.holds(dict.fromkeys(found, 0.5))


def test_a_lesson_has_no_measured_number_of_its_own() -> None:
    """What stands in the text as digits is a name, a formula or a setting; the rest has a place."""
    for lesson in LESSONS:
        for text in (lesson.predict, lesson.play, *lesson.explain, lesson.question, lesson.answer):
            own = re.sub(r"\{[^}]*\}", "", text)
            own = re.sub(
                r"1/\(1−[μβ]₂?\)|1 − βᵗ|1 − lr·h|2/h|\(1−β\)|[μβ]₁? = 0|β₂ to 0\.9|ε = 1|tilt to 1|45 degrees", "", own
            )
            own = own.replace("TensorFlow 1", "")
            assert not re.search(r"\d", own), (lesson.name, own)


def test_a_lesson_that_does_not_hold_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(LESSONS[0], holds=lambda n: False)
    monkeypatch.setattr(course, "LESSONS", (wrong, *LESSONS[1:]))
    with pytest.raises(ValueError, match="lesson slope: its text does not hold"):
        course.page(wrong)


def test_a_still_holds_its_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    rare = next(p for p in PRESETS if p.name == "infrequent")
    runs, seen = scene(rare.link), []
    monkeypatch.setattr(figures, "terrain", lambda axes, surface, view: seen.append(np.transpose(view)))
    course.still(runs, view(rare.link))
    course.still(runs)  # the surface's view ends below the start
    assert np.all(seen[0] == [[-0.5, -0.5], [3.5, 3.5]])
    for low, high in seen:
        assert all(np.all((r.x > low) & (r.x < high)) for r in runs)


def test_ten_pages_lead_to_each_other_and_to_the_playground(site: Path) -> None:
    pages = sorted((site / "course").glob("*.html"))
    assert len(pages) == 11
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert len(text) < 600_000
        assert "{" not in re.sub(r"<(style|script|svg).*?</\1>", "", text, flags=re.DOTALL)
        for link in re.findall(r'<a href="([^"#?]+)', text):
            assert (page.parent / link).is_file(), (page.name, link)
    lesson = (site / "course" / "slope.html").read_text(encoding="utf-8")
    assert "passes the limit: 10.9 at step 17" in lesson
    assert '<svg role="img" aria-label="Paths of RMSprop' in lesson


def test_a_lesson_plays_in_its_place_and_hides_its_answer(site: Path, browser: Any) -> None:
    browser.get((site / "course" / "adam.html").as_uri())
    assert not browser.find_element("css selector", "figure").is_displayed()
    frame = browser.find_element("css selector", "iframe")
    assert browser.find_element("css selector", "details p").is_displayed() is False
    browser.switch_to.frame(frame)
    WebDriverWait(browser, 30).until(lambda b: b.find_elements("css selector", ".card"))
    assert len(browser.find_elements("css selector", ".card")) == 4
    inside = "return document.documentElement.scrollHeight - innerHeight"
    WebDriverWait(browser, 10).until(lambda b: b.execute_script(inside) == 0)  # all of it is seen
    assert browser.find_element("css selector", ".versus select").is_displayed()
    browser.find_element("css selector", ".inside details summary").click()
    WebDriverWait(browser, 10).until(lambda b: b.execute_script(inside) == 0)
    parts = {".stage": True, ".player": True, ".top": False, ".scenario": False}
    assert {s: browser.find_element("css selector", s).is_displayed() for s in parts} == parts
    browser.find_element("css selector", '[aria-label="One step forward"]').click()
    assert browser.find_element("css selector", ".now").text == "1"
    browser.switch_to.default_content()
    assert not [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]


def test_a_lesson_is_read_without_a_script(site: Path, browser: Any) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get((site / "course" / "axes.html").as_uri())
        assert browser.find_element("css selector", "figure svg").is_displayed()
        assert "a ratio of 1, where gradient descent" in browser.find_element("css selector", "main").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_no_page_breaks_a_rule_of_wcag(still: Any, axe: str, site: Path) -> None:
    (site / "playground.html").rename(site / "away.html")  # it is looked at elsewhere, and takes its time
    try:
        found = {}
        for page in sorted((site / "course").glob("*.html")):
            still.show(page.as_uri(), "light")
            still.execute_script("document.querySelector('details')?.toggleAttribute('open')")
            still.execute_script("document.querySelector('figure svg')?.replaceChildren()")  # one image to everybody
            found[page.name] = faults(still, axe, "light")
            still.turn("dark")
            found[page.name] += faults(still, axe, "dark")
    finally:
        (site / "away.html").rename(site / "playground.html")
    assert len(found) == 11
    assert {name: f for name, f in found.items() if f} == {}


def test_paper_gets_the_still_and_the_answer(site: Path, browser: Any) -> None:
    browser.get((site / "course" / "bowl.html").as_uri())
    answer = browser.find_element("css selector", "details p")
    assert not answer.is_displayed()
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert browser.find_element("css selector", "figure").is_displayed()
        assert not browser.find_element("css selector", "iframe").is_displayed()
        assert answer.rect["height"] > 10
        for lesson in LESSONS:  # on one page each
            browser.get((site / "course" / f"{lesson.name}.html").as_uri())
            paper = browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})["data"]
            assert len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(paper))) == 1, lesson.name
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize("name", ["averages", "rare"])
def test_both_charts_of_a_lesson_are_seen_without_scrolling(site: Path, browser: Any, name: str) -> None:
    browser.get((site / "course" / f"{name}.html").as_uri())
    browser.switch_to.frame(browser.find_element("css selector", "iframe"))
    WebDriverWait(browser, 30).until(lambda b: b.find_elements("css selector", ".card"))
    bottoms = browser.execute_script(
        "return [...document.querySelectorAll('.chart canvas, .handle')].map((e) => e.getBoundingClientRect().bottom)"
    )
    assert len(bottoms) == 3
    assert max(bottoms) <= browser.execute_script("return window.innerHeight")
    assert min(bottoms) > 40  # the start is in the picture, not at its edge
    browser.switch_to.default_content()


def test_a_phone_shows_the_picture_and_a_way_past_it(site: Path, browser: Any) -> None:
    """A frame that fills the screen could not be scrolled past; no line of Adam's equation is cut."""
    metrics = {"width": 360, "height": 640, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.get((site / "course" / "adam.html").as_uri())
        frame = browser.find_element("css selector", "iframe")
        assert browser.execute_script("return document.documentElement.scrollWidth") == 360
        browser.switch_to.frame(frame)
        WebDriverWait(browser, 30).until(lambda b: b.find_elements("css selector", ".card"))
        parts = [browser.find_element("css selector", part) for part in (".equation", ".axes .slots", "html")]
        wide = "return arguments[0].scrollWidth - arguments[0].clientWidth"
        assert [browser.execute_script(wide, part) for part in parts] == [0, 0, 0]
        browser.switch_to.default_content()
        assert 400 < frame.rect["height"] <= 0.9 * 640
    finally:
        browser.switch_to.default_content()
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
