"""Real problems on the page: the data beside the loss, batches, and what is known of a quadratic over data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from claims_over_data import right
from pages import Page

from ravine.playground import write
from ravine.playground.presets import PRESETS
from ravine.playground.scene import scene
from ravine.simulate import run


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "page.html")


def shown(page: Page) -> str:
    """What is painted beside the loss."""
    page.settle()
    text: str = page.browser.execute_script("return document.querySelector('.fit canvas').toDataURL()")
    return text


def test_the_data_stand_beside_their_loss_and_borders_move(page: Page) -> None:
    page.open("preset=network&t=0")
    assert page.find(".fit").is_displayed()
    stage, fit = page.find(".stage").rect, page.find(".fit").rect
    assert fit["x"] > stage["x"] + stage["width"]
    assert page.find(".fit .hint").text == "○ another ● versicolor"
    runs = scene(next(p.link for p in PRESETS if p.name == "network"))
    before = shown(page)
    for key, step in (("HOME", 0), ("END", 200)):
        page.named("Step").send_keys(getattr(page.keys, key))
        said = page.find(".reading-of-fit").text
        assert said == f"Gradient descent: {right(runs[0], step)} of 150 on the right side"
    assert shown(page) != before
    page.choose("Surface", "Himmelblau")
    assert not page.find(".fit").is_displayed()


def test_a_line_s_error_is_told_and_its_least_loss_known(page: Page) -> None:
    page.open("preset=line&t=40")
    r = run("momentum", "petal_line", steps=40, lr=0.1, mu=0.8)
    rows = r.surface.examples.rows
    error = np.sqrt(np.mean((r.x[-1, 0] * rows[:, 0] + r.x[-1, 1] - rows[:, 1]) ** 2))
    assert page.find(".reading-of-fit").text == f"Momentum (heavy ball): root mean square error {error:.3g}"
    assert page.find(".chart .head .hint:last-child").text == "above the minimum"
    assert [c.text for c in page.all(".axes tbody tr:first-child td")] == ["0.1715", "18.05"]
    page.type(page.named("centred, exact value"), "1" + page.keys.TAB)
    assert [c.text for c in page.all(".axes tbody tr:first-child td")] == ["1", "3.096"]


def test_batches_are_for_data_only(page: Page) -> None:
    page.open("preset=batch&t=0")
    assert page.find(".reading-of-fit").text.startswith("Gradient descent, lr 0.1: root mean square error")
    size = page.named("size, exact value")
    assert size.get_attribute("value") == "5"
    assert not page.named("scale").is_displayed()
    before = page.readings(), page.link()
    page.type(size, "150" + page.keys.TAB)
    page.named("Step").send_keys(page.keys.END)
    assert page.link()["noise"] == ["batches,150,1"]
    assert page.readings() != before[0]
    page.choose("Surface", "Beale")
    assert page.find('select[aria-label="Gradient noise"]').get_attribute("value") == "none"
    assert not page.find('option[value="batches"]').is_enabled()
    page.choose("Surface", "Digits: a rare pixel")
    page.choose("Gradient noise", "batches of the data")
    assert page.link()["noise"] == ["batches,10,1"]
    page.open("surface=beale&opt=gd&noise=batches,5,1")
    assert "noise batches needs a surface over data" in page.find(".notice").text
