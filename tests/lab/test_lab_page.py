"""The report in a browser: its controls, with a mouse and with keys, at two widths."""

from __future__ import annotations

import math
import time

import pytest
from made_up import make_up

from ravine.lab.protocol import Protocol
from ravine.lab.report import html


def hostile_loss(s):
    """gd diverges in a repetition; in another trial of adam too; where trials may be stopped, one is."""
    if s.contender == "gd" and s.stage == "final" and s.repetition == 1:
        return math.inf
    if s.contender == "adam" and s.trial == 3:
        return math.inf
    if s.rivals and s.trial == 5 and s.repetition == 1:
        return None
    return 0.1 + 0.05 * len(s.contender) + s.seed / 100 + abs(math.log10(s.hyper.get("lr", 0.01)) + 2) / 10


@pytest.fixture
def page(browser, tmp_path):
    """A function that opens the report of a comparison."""

    def open_report(optimizers, task="made-up", tune=None, **protocol):
        made = Protocol(**{"steps": 10, "trials": 8, "seeds": 3, **protocol})
        results = make_up(optimizers, hostile_loss, task, made, tune)
        file = tmp_path / "report.html"
        file.write_text(html.page(results), encoding="utf-8")
        browser.get(file.as_uri())
        return browser

    yield open_report
    # A console that says nothing: no error, no request that the policy stopped.
    assert browser.get_log("browser") == []


def count(browser, selector):
    return len(browser.find_elements("css selector", selector))


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_legend_hides_and_shows(page):
    browser = page("adam,gd,rmsprop", task="<script>document.title='run'</script>")
    assert "<script>" in browser.find_element("css selector", "h1").text
    assert browser.title.startswith("<script>document.title")
    assert count(browser, "#curves polyline.curve:not(.broken)") == 3
    assert count(browser, "#curves polyline.broken") == 1
    assert count(browser, "#curves .casing") == 1  # around rmsprop's orange
    assert count(browser, "#curves .cross") == 1
    # adam's fourth trial did not finish: not known is what lies between the trials on its two sides, of two repetitions
    # or more of three
    assert count(browser, "#tried .cross") == 3
    gd = browser.find_element("css selector", 'button[data-name="gd"]')
    gd.click()
    assert gd.get_attribute("aria-pressed") == "false"
    assert count(browser, "#curves polyline") == 2
    assert count(browser, "#tried polyline") == 2
    gd.send_keys(" ")  # by keyboard, on again
    assert count(browser, "#curves polyline") == 4
    everything = browser.find_element("css selector", "#all")
    everything.click()
    assert "nothing to show" in browser.find_element("css selector", "#curves").text
    everything.click()
    assert count(browser, "#curves polyline") == 4


def test_metrics_axes_and_scales(page):
    browser = page("adam,gd")

    def choose(control, option):
        browser.find_element("css selector", f'#{control} option[value="{option}"]').click()
        return browser.find_element("css selector", "#curves svg").get_attribute("outerHTML")

    pictures = [
        choose("metric", "accuracy"),
        choose("metric", "train_loss"),
        choose("metric", "loss"),
        choose("axis", "linear"),
        choose("across", "seconds"),
    ]
    assert len(set(pictures)) == 5
    assert "seconds of training" in pictures[-1]


def test_the_chart_is_read_with_arrow_keys_and_with_the_mouse(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser = page("adam,gd")
    chart = browser.find_element("css selector", "#curves")
    tip = chart.find_element("xpath", "../div[@class='tip']")
    assert not tip.is_displayed()
    chart.send_keys(Keys.ARROW_RIGHT)
    assert tip.text.splitlines()[0] == "steps 0"
    chart.send_keys(Keys.END)
    assert tip.text.splitlines()[0] == "steps 10"
    assert {line.split()[0] for line in tip.text.splitlines()[1:]} == {"adam", "gd"}
    chart.send_keys(Keys.ARROW_LEFT)
    assert tip.text.splitlines()[0] == "steps 5"
    ActionChains(browser).move_to_element_with_offset(chart, -chart.size["width"] // 2 + 60, 0).perform()
    assert tip.text.splitlines()[0] == "steps 0"


def test_what_was_tuned_is_chosen(page):
    browser = page("adam,gd", tune=["lr", "beta1"])
    chart = browser.find_element("css selector", "#tried")
    assert count(browser, "#tried polyline") == 1  # gd's: adam's trials differ in beta1 too
    assert count(browser, "#tried circle") == 24 + 21  # adam's fourth trial did not finish
    assert "learning rate" in chart.text
    browser.find_element("css selector", '#hyper option[value="beta1"]').click()
    assert count(browser, "#tried polyline") == 0
    assert count(browser, "#tried circle") == 21
    assert "1 − beta1" in chart.text


def test_trials_that_were_stopped_early_are_triangles(page):
    from selenium.webdriver.common.keys import Keys

    browser = page("gd", prune=True)
    assert count(browser, "#tried circle") == 23
    assert count(browser, "#tried .stopped") == 1
    assert count(browser, "#tried .cross") == 0
    chart = browser.find_element("css selector", "#tried")
    tip = chart.find_element("xpath", "../div[@class='tip']")
    said = []
    for _ in range(24):
        chart.send_keys(Keys.ARROW_RIGHT)
        said.append("stopped early" in tip.text)
    assert said.count(True) == 1
    assert "A triangle: stopped early" in browser.page_source


def test_trials_that_differ_between_repetitions_are_dots_of_their_own(page):
    browser = page("gd", search="tpe")
    assert count(browser, "#tried circle") == 8 * 3
    assert count(browser, "#tried polyline") == 0
    assert count(browser, "#tuning polyline") == 1


def test_light_and_dark(page):
    browser = page("adam,gd")

    def paper():
        return browser.execute_script("return getComputedStyle(document.body).backgroundColor")

    before = paper()
    button = browser.find_element("css selector", "#theme")
    button.click()
    assert paper() != before
    button.click()
    assert paper() == before


def test_a_phone_scrolls_only_down(page):
    browser = page("adam,gd,rmsprop,momentum,nesterov,adagrad,adadelta,adamw,lion", task="a-long-name-" * 12)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        width = "return document.querySelector('#curves svg').clientWidth"
        wait_until(lambda: browser.execute_script(width) < 390)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
        loss = browser.find_element("css selector", "table.wide tbody td").rect  # in the first table beside the name
        assert loss["x"] + loss["width"] <= 390
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_hundreds_of_runs_are_drawn(page):
    browser = page("adam,gd,rmsprop,momentum,nesterov,adagrad,adadelta,adamw,lion", seeds=10)  # 900 runs
    assert count(browser, "#curves polyline") >= 9


def test_on_paper_it_is_light_and_nothing_is_cut_off(page):
    browser = page("adam,gd,rmsprop_momentum,decayed=adamw[weight_decay=0.01]", tune=["lr", "beta1"])
    button = browser.find_element("css selector", "#theme")
    while browser.execute_script("return getComputedStyle(document.documentElement).colorScheme") != "dark":
        button.click()
    before = browser.execute_script("return document.querySelector('#curves svg').getAttribute('width')")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 688, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    )
    try:
        browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
        assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 688
        widths = "return [...document.querySelectorAll('.chart svg')].map(s => s.getAttribute('width'))"
        assert browser.execute_script(widths) == ["680", "330", "330"]
        assert not browser.find_element("css selector", "#metric").is_displayed()
        browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    wait_until(
        lambda: browser.execute_script("return document.querySelector('#curves svg').getAttribute('width')") == before
    )
