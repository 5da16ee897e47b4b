"""The view in three dimensions: there for those who ask, turned by pointer and keyboard, told in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import Page

from ravine.playground import generate, write
from ravine.playground.bundle import bundle
from ravine.simulate import run, surface


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("relief") / "page.html")


WATCH = """
window.asked = [];
const get = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  window.asked.push(kind);
  return kind.startsWith("webgl") && location.hash.includes("speed=7") ? null : get.call(this, kind, ...rest);
};
"""


@pytest.fixture
def watched(page: Page) -> Any:
    """The page in a browser that notes the contexts of canvases, and has no WebGL at a speed of 7 steps a second."""
    made = page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
    yield page
    page.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", made)


def asked(page: Page) -> bool:
    found: bool = page.browser.execute_script("return window.asked.includes('webgl2')")
    return found


def solid(page: Page) -> str:
    page.settle()
    text: str = page.browser.execute_script("return document.querySelector('.relief canvas').toDataURL()")
    return text


def button(page: Page) -> Any:
    return next(b for b in page.all(".zoom button") if b.text == "3-D")


def test_nothing_of_it_runs_before_it_is_asked_for(watched: Page) -> None:
    watched.open("surface=himmelblau&opt=adam,lr=0.1&steps=100&t=100")
    assert not watched.find(".relief").is_displayed()
    assert not asked(watched)
    button(watched).click()
    assert asked(watched)
    assert watched.find(".relief").is_displayed()
    assert watched.link()["relief"] == ["30,40"]
    button(watched).click()
    assert not watched.find(".relief").is_displayed()
    assert "relief" not in watched.link()
    last = button(watched)
    watched.choose("Surface", "Kinked valley")
    assert not last.is_displayed()


def test_it_turns_by_keys_and_by_dragging_and_says_so(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page.open("surface=himmelblau&opt=adam,lr=0.1&opt=gd&steps=100&t=50&relief=30,40")
    first = solid(page)
    loss = run("adam", "himmelblau", steps=100, lr=0.1).value[50]
    words = page.find(".relief .hint")
    assert f"Adam is at {loss:.3g}. Turned by 30°, seen from 40° above." in words.text
    canvas = page.find(".relief canvas")
    canvas.send_keys(page.keys.ARROW_RIGHT + page.keys.ARROW_UP + page.keys.ARROW_UP)
    assert page.link()["relief"] == ["35,50"]
    page.settle()
    assert "Turned by 35°, seen from 50° above." in words.text
    turned = solid(page)
    assert turned != first
    assert page.step() == 50  # the arrows moved nothing else
    ActionChains(page.browser).drag_and_drop_by_offset(canvas, -40, 20).perform()
    assert page.link()["relief"] == ["55,60"]
    page.find("body").send_keys(page.keys.CONTROL + "z")
    assert page.link()["relief"] == ["35,50"]
    assert solid(page) == turned
    page.named("Step").send_keys(page.keys.END)
    assert solid(page) != turned  # the paths are longer


def test_where_there_is_no_webgl_the_words_say_so(watched: Page) -> None:
    watched.open("surface=himmelblau&opt=adam&speed=7&t=0&relief=30,40")
    assert "This browser has no WebGL 2" in watched.find(".relief .hint").text
    watched.named("One step forward").click()
    assert watched.step() == 1


def test_angles_in_a_link_are_checked(page: Page) -> None:
    for link, words in (
        ("relief=30,2", "relief must have a tilt from 5 to 90, not 2"),
        ("relief=400,40", "relief must be a number from 0 to 359, not “400”"),
        ("relief=30", "relief must be 2 numbers, not “30”"),
    ):
        page.open(f"surface=beale&opt=gd&t=0&{link}")
        assert words in page.find(".notice").text
        assert not page.find(".relief").is_displayed()


def test_heights_are_the_loss_and_paths_lie_on_the_ground(blank: Any) -> None:
    found = blank.execute_script(
        bundle("model.js", {"generated.js": generate.module([])})
        + bundle("terrain.js")
        + """return [["oblong_bowl", [20, 0]], ["beale", []]].map(([name, parameters]) => {
          const terrain = terrainOf(bindSurface({ surface: name, parameters }), [-4, 4, -2, 2]);
          const { vertices, triangles } = mesh(terrain);
          const walk = { x: Float64Array.of(-3, 1, -1, 0.5, 1, 0.5), end: 2 };
          const { pieces, counts } = ribbon(walk, terrain, 40);
          return { ...terrain, heights: [...terrain.heights], point: terrain.at(-3, 1), counts,
            last: [...pieces.slice(-6, -3)], corners: triangles.length, normal: [...vertices.slice(3, 6)] };
        });"""
    )
    bowl, beale = found
    assert (bowl["columns"], bowl["rows"], bowl["size"]) == (72, 36, [1, 0.5])
    assert bowl["corners"] == 6 * 71 * 35
    x, y = np.meshgrid(np.linspace(-4, 4, 72), np.linspace(-2, 2, 36))
    z = surface("oblong_bowl").value(np.stack([x, y], axis=-1))
    heights = (z - z.min()) / (z.max() - z.min()) * bowl["tall"]
    np.testing.assert_allclose(np.reshape(bowl["heights"], z.shape), heights, atol=1e-12)
    assert bowl["point"] == pytest.approx([1 / 8, 3 / 8, (14.5 - z.min()) / (z.max() - z.min()) / 2], abs=2e-3)
    assert bowl["last"] == pytest.approx([5 / 8, 2.5 / 8, bowl["last"][2]])
    assert bowl["counts"] == [0, 6 * 11, 6 * 21]  # steps of 2 of 8, and 40 pieces to a side
    assert (bowl["isLog"], beale["isLog"]) == (False, True)  # half of Beale's ground is a hundredth of its corners
