"""The main flows in Firefox: play, drag, knobs, formulas, links, undo, a small screen, the course."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from firefox import Firefox

from ravine.playground import write
from ravine.simulate import run


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("firefox")
    write(folder / "playground.html")
    return folder


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    pytest.importorskip("websocket", reason="needs websocket-client, which comes with selenium")
    found = shutil.which("firefox-esr") or shutil.which("firefox")
    if found is None:
        pytest.skip("needs Firefox (Debian's firefox-esr)")
    opened = Firefox(found, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def firefox(program: Firefox, site: Path) -> Iterator[Any]:
    def show(link: str = "") -> None:
        program.open((site / "playground.html").as_uri() + (f"#{link}" if link else ""))

    program.show = show  # type: ignore[attr-defined]
    program.size(1280, 900)
    yield program
    assert program.errors == []


def link(firefox: Firefox) -> dict[str, list[str]]:
    return parse_qs(urlsplit(firefox.evaluate("location.href")).fragment)


def step(firefox: Firefox) -> int:
    return int(firefox.text(".now"))


def readings(firefox: Firefox) -> list[str]:
    return list(firefox.evaluate("[...document.querySelectorAll('.reading')].map((e) => e.textContent)"))


def test_it_plays_stops_and_steps(firefox: Any) -> None:
    firefox.show()
    firefox.wait(lambda: step(firefox) > 3)
    firefox.click(".play")
    stopped = step(firefox)
    assert link(firefox)["t"] == [str(stopped)]
    firefox.press(".", ".", ",")
    firefox.wait(lambda: step(firefox) == stopped + 1)


def test_the_numbers_are_the_reference_s(firefox: Any) -> None:
    firefox.show("surface=rosenbrock&steps=100&opt=adam,lr=0.02&opt=rmsprop_nesterov&t=40")
    expected = [run("adam", "rosenbrock", steps=40, lr=0.02), run("rmsprop_nesterov", "rosenbrock", steps=40)]
    assert readings(firefox) == [f"{float(r.value[40]):.3g}" for r in expected]
    firefox.show("preset=network&noise=batches,10,1&t=200")
    assert firefox.text(".reading-of-fit") == "Gradient descent: 144 of 150 on the right side"


def test_the_start_is_dragged_and_moved_by_keys_and_undo_goes_back(firefox: Any) -> None:
    firefox.show("surface=himmelblau&start=0,-1&steps=100&opt=gd&t=100")
    first = readings(firefox)
    firefox.drag(".handle", 120, 60)
    x, y = (float(v) for v in link(firefox)["start"][0].split(","))
    assert (x > 1, y > -0.5) == (True, True)
    assert readings(firefox) != first
    firefox.press("ArrowRight")
    assert float(link(firefox)["start"][0].split(",")[0]) > x
    firefox.press("Control+z", "Control+z")
    assert link(firefox)["start"] == ["0,-1"]
    assert readings(firefox) == first


@pytest.mark.parametrize("name", ["lr", "beta1"])
def test_a_slider_s_track_can_be_pressed_and_pulled(firefox: Any, name: str) -> None:
    firefox.show("surface=oblong_bowl&opt=adam&t=0")
    slider = f'[aria-label="{name}"]'
    before = int(firefox.evaluate(f"document.querySelector('{slider}').value"))
    firefox.drag(slider, -30, 0, start=60)
    after = int(firefox.evaluate(f"document.querySelector('{slider}').value"))
    assert after != before
    assert 500 < after < 800
    assert f"{name}=" in link(firefox)["opt"][0]


def test_a_formula_is_explained_and_runs(firefox: Any) -> None:
    firefox.show("surface=formula&f=x%5E2&opt=adam,lr=0.1&steps=50&t=50")
    firefox.click(".formula")
    firefox.press("End", *" + 5 sn(y)^2")
    assert "did you mean sin?" in firefox.text(".problem")
    firefox.show("surface=formula&f=x%5E2&opt=adam,lr=0.1&steps=50&t=50")
    firefox.click(".formula")
    firefox.press("End", *" + y^2", "Tab")
    assert firefox.text(".problem") == ""
    assert link(firefox)["f"] == ["x^2 + y^2"]


def test_a_scenario_and_an_optimizer_are_chosen(firefox: Any) -> None:
    firefox.show("preset=bowl&t=0")
    firefox.evaluate(
        """{ const s = document.querySelector('[aria-label="Scenario"]');
        s.value = "eps";
        s.dispatchEvent(new Event("change", { bubbles: true })); }"""
    )
    assert firefox.text(".story").startswith("With a small ε")
    firefox.click('[aria-label="Add the chosen optimizer"]')
    assert len(readings(firefox)) == 4


def test_nothing_sticks_out_of_a_small_phone(firefox: Any) -> None:
    firefox.size(360, 640)
    firefox.show("preset=network&t=10")
    assert firefox.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_a_lesson_has_the_playground_in_it(firefox: Any, site: Path) -> None:
    pytest.importorskip("matplotlib", reason="the stills need Matplotlib")
    from ravine.playground import course
    from ravine.playground.lessons import LESSONS

    (site / "course").mkdir(exist_ok=True)
    page = site / "course" / "slope.html"
    page.write_text(course.page(LESSONS[0]), encoding="utf-8")
    firefox.open(page.as_uri())
    frames = firefox.ask("browsingContext.getTree", root=firefox.context)["contexts"][0]["children"]
    assert [f["url"].partition("?")[2] for f in frames] == ["embed#preset=accumulate&t=0"]
    assert firefox.evaluate("document.querySelector('figure').hidden")
