"""The page as a person uses it, in headless Chromium: opened from a file, with mouse, touch and keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import numpy as np
import pytest
from pages import Page, keys

import ravine
from ravine.playground import family, html, write
from ravine.playground.bundle import bundle
from ravine.playground.presets import GROUPS, PRESETS

MINE = '''
from ravine import rule
from ravine.math import sign

@rule(title="Mine </script><img src=x onerror=document.title='broken'>", paper="nobody & nowhere")
def my_rule(g, m, *, lr=0.05, heat=0.5):
    """Follows `signs` </script> & <b>more</b>."""
    m = heat * m + sign(g)
    return -lr * m, m
'''


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    (folder / "mine.py").write_text(MINE, encoding="utf-8")
    return write(folder / "page.html", [ravine.rule(f"{folder / 'mine.py'}:my_rule")])


THEME = '[title="Colours: automatic, light or dark"]'


def test_it_is_one_small_file_that_asks_for_nothing(file: Path) -> None:
    text = html()
    assert file.stat().st_size < 1_000_000
    outside = ("<link", "<script src", "@import", "url(", "fetch(", "XMLHttpRequest", "WebSocket", "innerHTML")
    assert [word for word in outside if word in text] == []
    assert "default-src 'none'; script-src 'sha256-" in text
    assert "unsafe" not in text


def test_it_opens_playing_the_first_scenario_and_the_paths_move(page: Page) -> None:
    page.open()
    assert page.find(".scenario select").get_attribute("value") == PRESETS[0].name
    assert page.find(".story").text == PRESETS[0].story
    before = page.step()
    page.wait(lambda: page.step() > before + 3)
    page.named("Pause").click()
    stopped = page.step()
    assert page.link()["t"] == [str(stopped)]
    page.named("One step forward").click()
    assert page.step() == stopped + 1
    page.named("One step back").click()
    page.named("One step back").click()
    assert page.step() == stopped - 1
    page.named("Back to the start").click()
    assert page.step() == 0
    page.named("Step").send_keys(keys().END)
    assert page.step() == int(page.link()["steps"][0])


def test_every_number_is_the_reference_s(page: Page) -> None:
    """What the page shows after 40 steps is what Python computes."""
    from ravine.simulate.runs import run

    page.open("surface=rosenbrock&steps=100&opt=adam,lr=0.02&opt=rmsprop_nesterov&sel=1&coord=1&t=40")
    expected = [run("adam", "rosenbrock", steps=40, lr=0.02), run("rmsprop_nesterov", "rosenbrock", steps=40)]
    assert page.readings() == [f"{float(r.value[40]):.3g}" for r in expected]
    cells = [e.text.replace("−", "-") for e in page.all(".inside .slots tbody td")]
    assert cells[:2] == [f"{v:.4g}" for v in expected[1].x[40]]
    assert cells[2:4] == [f"{v:.4g}" for v in expected[1].gradient[39]]
    results = [e.text.replace("−", "-") for e in page.all(".equation .value")]
    assert results[-1] == f"{expected[1].x[40, 1]:.4g}"
    filled = page.all(".equation .filled")[-1].text.replace("−", "-")
    assert f"{expected[1].x[39, 1]:.4g}" in filled


def test_drag_the_start_with_mouse_keyboard_and_finger(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.pointer_input import PointerInput

    page.open("surface=himmelblau&start=0,-1&steps=100&opt=gd&opt=adam&t=100")
    first, picture = page.readings(), page.picture()
    handle = page.find(".handle")
    ActionChains(page.browser).drag_and_drop_by_offset(handle, 120, -60).perform()
    x, y = (float(v) for v in page.link()["start"][0].split(","))
    box = page.find(".stage").rect
    assert x == pytest.approx(0 + 120 / box["height"] * 12, abs=0.05)  # a unit is as long across as upward
    assert y == pytest.approx(-1 + 60 / box["height"] * 12, abs=0.05)
    assert page.readings() != first
    assert page.picture() != picture
    assert f"Start at x {x:.3g}" in handle.get_attribute("aria-label")

    handle.send_keys(keys().ARROW_RIGHT)
    assert float(page.link()["start"][0].split(",")[0]) == pytest.approx(
        x + 0.12 * box["width"] / box["height"], abs=2e-3
    )

    finger = ActionBuilder(page.browser, mouse=PointerInput("touch", "finger"))
    finger.pointer_action.move_to(handle).pointer_down().move_by(-100, 0).pointer_up()
    finger.perform()
    page.wait(lambda: float(page.link()["start"][0].split(",")[0]) < x)

    page.named("Undo").click()
    page.named("Undo").click()
    page.named("Undo").click()
    assert page.link()["start"] == ["0,-1"]
    assert page.readings() == first
    page.named("Redo").click()
    assert page.link()["start"] == [f"{x:g},{y:g}"]


def test_a_wrong_formula_is_explained_and_a_right_one_runs(page: Page) -> None:
    page.open("surface=oblong_bowl&opt=adam,lr=0.1&steps=50&t=50")
    page.choose("Surface", "Your own formula…")
    formula = page.find(".formula")
    page.type(formula, "x^2 + 5 sn(y)^2")
    problem = page.find(".problem")
    assert problem.text.startswith("Character 9: “sn” is not known; did you mean sin?")
    assert problem.find_element("css selector", "mark").text == "sn"
    assert formula.get_attribute("aria-invalid") == "true"
    good = page.picture()
    page.add("Lion")  # the rest of the page goes on with the last formula that was right
    assert len(page.readings()) == 2
    page.type(formula, "x^2 + 5 sin(y)^2" + keys().TAB)
    assert problem.text == ""
    assert page.picture() != good
    assert page.link()["f"] == ["x^2 + 5 sin(y)^2"]
    page.type(formula, "max(x, -0.1x)" + keys().TAB)
    assert "x" in page.find(".inside .slots thead").text
    assert len(page.all(".inside .slots thead th")) == 1  # one coordinate


def test_ground_without_a_value_is_hatched_and_a_walk_ends_there(page: Page) -> None:
    formula = "surface=formula&f=" + quote("log(x) + y^2")
    page.open(f"{formula}&start=3,2&steps=60&opt=gd,lr=0.3&opt=adam,lr=0.01&t=60")
    assert page.find(".holes").text == "the formula has no value here"
    lost, well = page.readings()
    x, y, t = 3.0, 2.0, 0  # the walk by hand, to the first point left of the edge
    while x > 0:
        x, y, t = x - 0.3 / x, y - 0.3 * 2 * y, t + 1
    assert lost == f"left the ground at {t}"
    assert float(well) > 0
    page.open("surface=oblong_bowl&opt=gd,lr=0.2&steps=2000&t=2000")
    assert not page.find(".holes").is_displayed()
    assert page.readings()[0].startswith("diverged at")
    page.open(
        "surface=formula&f=" + quote("sqrt(x - 1)") + "&start=0&opt=gd&steps=20&t=20"
    )  # a curve, and from nowhere
    assert page.find(".holes").is_displayed()
    assert page.readings() == ["left the ground at 1"]


def test_hatching_marks_exactly_what_has_no_value(blank: Any) -> None:
    """Left of x = 0 the logarithm has no value: two colours there, by stripes; more than two on the other side."""
    found = blank.execute_script(
        bundle("contour.js")
        + """const image = new ImageData(80, 40);
        const surface = { value: (p) => Math.log(p[0]) + p[1] ** 2 };
        const holes = paintContour(image, surface, [-1, 1, -1, 1], [250, 250, 250], [180, 190, 200], [60, 80, 90]);
        const colors = (from, to) => {
          const set = new Set();
          for (let y = 0; y < 40; y++) for (let x = from; x < to; x++) {
            const at = 4 * (80 * y + x);
            set.add(image.data.slice(at, at + 3).join());
          }
          return [...set];
        };
        const slope = { value: (p) => p[0] };
        const gray = [250, 180, 60].map((c) => [c, c, c]);
        const whole = paintContour(new ImageData(80, 40), slope, [-1, 1, -1, 1], ...gray);
        return [holes, whole, colors(0, 38), colors(44, 80)];"""
    )
    holes, whole, left, right = found
    assert (holes, whole) == (True, False)
    assert len(left) == 2
    assert len(right) > 2
    assert not set(left) & set(right) - {"250,250,250"}


def test_a_scenario_s_story_is_told_only_while_it_is_that_scenario(page: Page) -> None:
    bowl = next(p for p in PRESETS if p.name == "bowl")
    page.open("preset=bowl&t=10")
    page.named("One step forward").click()
    page.named("Zoom in").click()
    assert page.find(".story").text == bowl.story
    page.type(page.named("lr, exact value"), "0.3" + keys().TAB)
    assert page.find(".story").text == f"You have changed “{bowl.title}”, so its story is not told here."
    page.browser.refresh()
    assert page.find(".story").text.startswith("You have changed")
    page.find(".scenario button").click()
    assert page.find(".story").text == bowl.story
    page.named("Pause").click()
    assert len(page.link()["opt"]) == len(parse_qs(bowl.link)["opt"])
    assert page.named("lr, exact value").get_attribute("value") == "0.15"
    page.choose("Surface", "Himmelblau")
    page.find(".scenario button").click()
    assert page.find('select[aria-label="Surface"]').get_attribute("value") == "oblong_bowl"


def test_a_unit_is_as_long_across_as_upward_and_nothing_covers_the_picture(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    for link in ("surface=oblong_bowl&opt=gd&t=0", "surface=rosenbrock&opt=gd&view=-2,-1,0,3&t=0"):
        page.open(link)
        stage = page.find(".stage")
        starts = []
        for across, upward in ((-30, -30), (70, -30), (-30, -130)):
            ActionChains(page.browser).move_to_element_with_offset(stage, across, upward).click().perform()
            starts.append([float(v) for v in page.link()["start"][0].split(",")])
        (x, y), (x_right, y_right), (x_up, y_up) = starts
        assert x_right - x == pytest.approx(y_up - y, rel=0.03)  # written to a hundredth
        assert (y_right, x_up) == (y, x)
    assert page.all(".stage button:not(.handle)") == []


def test_paper_gets_the_picture_in_light_colours_and_no_controls(page: Page) -> None:
    page.open("preset=bowl&theme=dark&t=60")
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    page.browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert page.find(".ravine").get_attribute("data-theme") == "light"
    assert page.find(".stage").is_displayed()
    assert page.find(".story").is_displayed()
    assert [e for e in page.all(".play, .zoom, .knob, .add, .top button") if e.is_displayed()] == []
    assert len(page.all(".card .choose")) == 4
    sizes = (
        "const c = document.querySelector('.stage canvas'); return [c.width, c.height, c.clientWidth, c.clientHeight]"
    )
    width, height, *shown = page.browser.execute_script(sizes)
    assert [width, height] == shown  # or paper, to which a picture is drawn anew, gets it in another size
    colors = page.browser.execute_script(
        "const c = document.querySelector('.stage canvas'), g = c.getContext('2d');"
        "const d = g.getImageData(0, 0, c.width, c.height).data, s = new Set();"
        "for (let k = 0; k < d.length; k += 4) s.add(d.slice(k, k + 3).join());"
        "return [...s].some((v) => { const [r, g, b] = v.split(','); return g - r > 80; });"
    )
    assert colors, "the paths are not on the layer that paper shows"
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    page.browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert page.find(".ravine").get_attribute("data-theme") == "dark"


def test_a_link_to_a_file_says_that_it_is_one(page: Page) -> None:
    page.open("preset=bowl&t=3")
    page.named("Copy link to exactly this view").click()
    page.wait(lambda: "opens here only" in page.find(".notice").text)


def test_change_a_knob_while_it_plays(page: Page) -> None:
    page.open("surface=oblong_bowl&steps=2000&speed=20&opt=gd,lr=0.01&opt=adam&sel=0")
    page.wait(lambda: page.step() > 3)
    slider = page.named("lr")
    for _ in range(10):
        slider.send_keys(keys().ARROW_RIGHT)
    assert page.named("Pause")
    lr = float(page.named("lr, exact value").get_attribute("value"))
    assert lr > 0.01
    assert page.link()["opt"] == [f"gd,lr={lr:g}", "adam"]
    before = page.step()
    page.wait(lambda: page.step() > before)
    box = page.named("lr, exact value")
    page.type(box, "-3" + keys().TAB)
    assert "lr must be ≥ 0" in page.find(".knob .note").text
    assert page.link()["opt"][0] == f"gd,lr={lr:g}"
    page.type(box, "0.2" + keys().TAB)
    page.wait(lambda: "diverged" in page.readings()[0] or page.step() > before + 5)
    assert page.link()["opt"][0] == "gd,lr=0.2"


def press(page: Page, slider: Any, share: float) -> None:
    """Press a slider's track at a share of its width, pull to the middle, and let go."""
    from selenium.webdriver.common.action_chains import ActionChains

    width = slider.size["width"]
    there = round((share - 0.5) * width)
    actions = ActionChains(page.browser, duration=50).move_to_element_with_offset(slider, there, 0).click_and_hold()
    actions.move_by_offset(-there // 2, 0).release().perform()


@pytest.mark.parametrize(
    ("link", "label", "field"),
    [
        ("surface=oblong_bowl&opt=adam&t=0", "lr", "opt"),
        ("surface=oblong_bowl&opt=adam&t=0", "beta1", "opt"),
        ("surface=oblong_bowl&opt=gd&t=0", "condition", "param"),
        ("surface=oblong_bowl&opt=gd&noise=gaussian,1,1&t=0", "scale", "noise"),
    ],
)
def test_a_slider_s_track_can_be_pressed(page: Page, link: str, label: str, field: str) -> None:
    for share in (0.15, 0.85):
        page.open(link)
        page.find(".top h1").click()  # the focus is elsewhere
        slider = page.named(label)
        page.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", slider)
        before, link_before = slider.get_attribute("value"), page.link()
        press(page, slider, share)
        after = slider.get_attribute("value")  # the same element: it was not replaced
        pressed = share * 1000
        assert abs(int(after) - 500) < abs(pressed - 500), "the pull to the middle was lost"
        assert after != before
        assert page.link()[field] != link_before.get(field)
        page.find("body").send_keys(keys().CONTROL + "z")
        assert slider.get_attribute("value") == before
        assert page.link().get(field) == link_before.get(field)


@pytest.mark.parametrize(
    "link",
    [
        "surface=oblong_bowl&opt=adam&noise=gaussian,1,1&sel=0&t=0",
        "surface=petal_line&opt=rmsprop_momentum_centered&sel=0&t=0",
    ],
)
def test_every_slider_s_track_can_be_pressed(page: Page, link: str) -> None:
    page.open(link)
    sliders = [s for s in page.all('.knob input[type="range"]') if s.is_displayed()]
    assert len(sliders) > 4
    for slider in sliders:
        label = slider.get_attribute("aria-label")
        page.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", slider)
        before = slider.get_attribute("value")
        press(page, slider, 0.85 if int(before) < 500 else 0.15)
        after = slider.get_attribute("value")  # the same element: it was not replaced
        assert after != before, label
        page.find("body").send_keys(keys().CONTROL + "z")
        assert slider.get_attribute("value") == before, label


def test_what_is_typed_is_what_is_shown_everywhere(page: Page) -> None:
    page.open("surface=oblong_bowl&opt=adam&opt=adam,lr=0.5&sel=0&t=0")
    page.type(page.named("lr, exact value"), "0.25" + keys().ENTER)  # the focus stays
    assert "lr 0.25" in page.find(".card.open .title").text
    for typed, used in (("99999", "10000"), ("3", "10"), ("", "10")):
        page.browser.execute_script("arguments[0].select()", page.named("Number of steps"))
        page.named("Number of steps").send_keys((typed or keys().DELETE) + keys().ENTER)
        assert page.named("Number of steps").get_attribute("value") == used
        assert page.link()["steps"] == [used]


def test_add_duplicate_and_remove_optimizers(page: Page) -> None:
    page.open("surface=oblong_bowl&opt=adam&t=0")
    page.add("NAdam")
    assert page.link()["opt"] == ["adam", "nadam"]
    page.named("momentum_decay")
    next(b for b in page.all(".tools button") if b.text == "duplicate").click()
    page.type(page.named("lr, exact value"), "0.5" + keys().TAB)
    assert page.link()["opt"] == ["adam", "nadam", "nadam,lr=0.5"]
    assert "lr 0.5" in page.find(".card.open").text
    page.named("Remove Adam").click()
    assert page.link()["opt"] == ["nadam", "nadam,lr=0.5"]
    page.find("body").send_keys(keys().CONTROL + "z")
    assert page.link()["opt"] == ["adam", "nadam", "nadam,lr=0.5"]


def test_a_link_reproduces_the_view(page: Page) -> None:
    page.open()
    page.choose("Scenario", "The knob β₂")
    page.named("Pause").click()
    page.choose("Gradient noise", "minibatches")
    page.named("Step").send_keys(keys().HOME + keys().PAGE_UP * 3)
    page.named("Zoom in").click()
    readings, picture, address = page.readings(), page.picture(), page.browser.current_url
    assert page.step() > 0
    page.browser.refresh()
    assert (page.readings(), page.picture()) == (readings, picture)
    page.browser.get("about:blank")
    page.browser.get(address)
    assert (page.readings(), page.picture()) == (readings, picture)
    assert page.named("Play")  # a link to a moment does not run away from it


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.name)
def test_every_scenario_opens_without_a_problem(page: Page, preset: Any) -> None:
    page.open(preset.link)
    assert page.find(".notice").text == ""
    fields = parse_qs(preset.link)
    assert len(page.all(".card")) == len(fields["opt"])
    page.named("Step").send_keys(keys().END)
    lost = [r for r in page.readings() if not r or "diverged" in r]
    assert lost == []
    written = page.link()
    assert {k: written[k] for k in fields if k not in ("start", "noise")} == {
        k: v if k != "opt" else written["opt"] for k, v in fields.items() if k not in ("start", "noise")
    }


def test_the_name_of_a_scenario_alone_is_a_link_to_it(page: Page) -> None:
    wanted = parse_qs(next(p.link for p in PRESETS if p.name == "bowl"))

    def seen() -> tuple[str, int, str]:
        surface = page.find('select[aria-label="Surface"]').get_attribute("value")
        return surface, len(page.all(".card")), page.find(THEME).text

    page.open("preset=bowl&theme=dark")
    assert seen() == (wanted["surface"][0], len(wanted["opt"]), "☾ dark")
    page.open("preset=bowl&surface=rosenbrock&opt=adam")  # a link that says more than a name is left as it is
    assert seen() == ("rosenbrock", 1, "◐ auto")


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("&".join(["opt=adam"] * 30), "24 optimizers"),
        ("opt=adam&start=1,2,3", "start"),
        ("opt=adam&view=1,0,0,1", "view"),
        ("opt=adam&noise=pink,1,1", "noise"),
        ("surface=formula&f=" + "x%2B" * 200 + "x&opt=adam", "300 characters"),
        ("opt=adam&map=foo,bar", "map"),
        ("opt=adam&map=lr,lr", "map must name two knobs, such as lr,mu; not “lr,lr”"),
        (
            "opt=adam&stps=50&depth=3&stps=9",
            "“stps”, “depth” are no keys of a link (there are preset, surface, f, start",
        ),
        ("opt=adam&stps=50", "“stps” is no key of a link (there are preset, surface, f, start"),
        ("opt=adam&steps=50&steps=60", "steps stands twice, the first one counts"),
        ("opt=adam&steps=50.5", "steps must be a whole number, not 50.5"),
        ("opt=adam&steps=9", "steps must be a number from 10 to 10000, not “9”"),
        ("opt=adam&steps=50&t=60", "t must be a number from 0 to 50"),
        ("opt=adam&sel=1", "sel must be a number from 0 to 0"),
        ("opt=adam&noise=gaussian,1,1,9", "noise must be a kind, a scale and a seed"),
        ("opt=adam,lr=0.1=0.2", "Adam’s lr must be ≥ 0, not “0.1 0.2”"),
        ("opt=adam,beta3=0.1", "Adam has no knob “beta3” (it has lr, beta1, beta2, eps)"),
        ("opt=adamm", "opt “adamm” is an optimizer that this page does not have"),
        ("surface=oblong_bowl&opt=gd&param=condition:-5", "param condition must be > 0, not “-5”"),
        ("surface=oblong_bowl&opt=gd&param=tilt:9", "param tilt must be from -2 to 2, not “9”"),
        ("surface=oblong_bowl&opt=gd&param=depth:3", "param “depth”: the surface has condition, tilt"),
        ("surface=oblong_bowl&opt=gd&f=x", "f counts only with surface=formula"),
        ("opt=gd&chart=speed", "chart must be a quantity, or one and log; not “speed”"),
        ("opt=gd&versus=4", "versus must be a number from 0 to 0"),
    ],
)
def test_nothing_in_a_link_is_left_out_in_silence(page: Page, link: str, words: str) -> None:
    page.open(link)
    assert words in page.find(".notice").text


HOSTILE = [
    "surface=formula&f=" + quote("<img src=x onerror=\"document.title='broken'\">"),
    "surface=formula&f=" + quote("x');document.title='broken';//"),
    "surface=__proto__&opt=constructor&opt=__proto__,lr=1&map=__proto__,toString&preset=toString&theme=constructor",
    "opt=" + quote("adam,lr=<script>document.title='broken'</script>,__proto__=2,beta1=1e400,eps=-1"),
    "surface=oblong_bowl&param=__proto__:1&param=condition:NaN&start=Infinity,2&steps=1e99&view=1,0,0,1&noise=toString,1,1",
    "opt=adam&t=-5&sel=99&coord=7&speed=&steps=ten&%E0%A4%A",
    "&".join(["opt=adam"] * 500),
]


@pytest.mark.parametrize("link", HOSTILE)
def test_text_in_a_link_is_inert(page: Page, link: str) -> None:
    page.open(link)
    assert page.browser.title == "Ravine playground"
    assert page.all("img, .ravine script, iframe, .ravine b") == []
    assert len(page.all(".card")) <= 24
    assert page.find(".player .play").is_displayed()


def test_what_a_link_may_not_say_is_left_out_and_named(page: Page) -> None:
    page.open(
        "surface=oblong_bowl&opt=adam,beta1=1,eps=-1,lr=0.5,nothing=3&opt=adamm&start=1e30,2&steps=50&param=depth:3&t=7"
    )
    values = [page.named(f"{name}, exact value").get_attribute("value") for name in ("lr", "beta1", "eps")]
    assert values == ["0.5", "0.9", "1e-8"]
    notice = page.find(".notice").text
    for words in (
        "Adam’s beta1 must be in [0, 1), not “1”",
        "Adam’s eps must be ≥ 0, not “-1”",
        "Adam has no knob “nothing”",
        "an optimizer that this page does not have",
        "start must be a number from -1000000000 to 1000000000, not “1e30”",
        "param",
    ):
        assert words in notice
    page.named("One step forward").click()
    assert page.link()["start"] == ["-4.5,1.5"]


def test_the_browser_itself_refuses_foreign_code(page: Page) -> None:
    page.open()
    page.browser.execute_script(
        """const script = document.createElement("script");
        script.textContent = "document.title = 'broken'";
        document.body.append(script);
        const image = document.createElement("img");
        image.src = "data:image/gif;base64,R0lGODlhAQABAAAAACw=";
        document.body.append(image);"""
    )
    page.wait(
        lambda: len(log := page.browser.get_log("browser")) >= 2 and all("Security Policy" in e["message"] for e in log)
    )
    assert page.browser.title == "Ravine playground"


def test_numbers_are_written_for_reading(blank: Any) -> None:
    numbers = [0, -0.5, 1 / 3, 123.456, 30920.4, 99999, 123456, 0.001, 0.00012345, 1e-8, -2.5e300, "NaN", "-Infinity"]
    written = [
        "0",
        "−0.5",
        "0.3333",
        "123.5",
        "30920",
        "99999",
        "1.23e5",
        "0.001",
        "1.23e−4",
        "1e−8",
        "−2.5e300",
        "—",
        "−∞",
    ]
    script = bundle("dom.js") + "return arguments[0].map((v) => format(Number(v)));"
    assert blank.execute_script(script, numbers) == written


def test_a_rule_of_somebody_s_own_is_there_and_its_words_are_inert(page: Page) -> None:
    page.open("surface=oblong_bowl&opt=my_rule,heat=0.25&t=3")
    assert page.browser.title == "Ravine playground"
    assert page.find(".card .title").text.startswith("Mine </script><img")
    assert "Follows signs </script> & <b>more</b>." in page.find(".inside").text
    page.named("heat")
    lr, m, x = 0.05, 0.0, -4.5
    for _ in range(3):
        m = 0.25 * m + (1 if x > 0 else -1)
        x -= lr * m
    assert page.all(".inside .slots tbody td")[0].text.replace("−", "-") == f"{x:.4g}"


def test_the_map_of_two_knobs_can_be_clicked(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page.open(next(p.link for p in PRESETS if p.name == "map") + "&t=150")
    canvas = page.find("canvas.map")
    page.wait(lambda: "after 150 steps" in page.find(".map-body .hint").text)
    before = page.link()["opt"]
    page.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    ActionChains(page.browser).move_to_element_with_offset(canvas, -60, 20).click().perform()
    after = page.link()["opt"]
    assert after != before
    assert all(f",{name}=" in after[0] for name in ("lr", "mu"))


def test_the_keyboard_alone_adds_and_loses_no_place(page: Page) -> None:
    page.open("surface=oblong_bowl&opt=gd&opt=adam&opt=lion&sel=1&t=0")
    chooser = page.named("Optimizer to add")
    for _ in range(4):
        chooser.send_keys(keys().ARROW_DOWN)  # the list stays closed
    assert len(page.all(".card")) == 3
    title = page.browser.execute_script("return arguments[0].selectedOptions[0].textContent", chooser)
    page.named("Add the chosen optimizer").send_keys(keys().ENTER)
    assert len(page.all(".card")) == 4
    assert page.find(".card.open .title").text.startswith(title)

    def focus() -> str:
        text: str = page.browser.execute_script("return document.activeElement.textContent")
        return text

    page.all(".choose")[1].send_keys(keys().ENTER)
    assert focus().startswith("Adam")
    next(b for b in page.all(".tools button") if b.text == "defaults").send_keys(keys().ENTER)
    assert focus() == "defaults"
    next(b for b in page.all(".tools button") if b.text == "duplicate").send_keys(keys().ENTER)
    assert focus() == page.find(".card.open .choose").get_attribute("textContent")
    page.named("Remove Lion").send_keys(keys().ENTER)
    assert focus() == page.find(".card.open .choose").get_attribute("textContent")
    while removes := page.all(".remove"):
        removes[0].send_keys(keys().ENTER)
    assert page.browser.execute_script("return document.activeElement === arguments[0]", chooser)


def test_a_bowl_is_shown_along_its_own_axes(page: Page) -> None:
    page.open("surface=oblong_bowl&param=tilt:0.5&start=-4,1&opt=gd,lr=0.08&opt=momentum,lr=0.03,mu=0.8&opt=adam&t=40")

    def rows() -> list[list[str]]:
        found = [[c.text for c in row.find_elements("css selector", "td")] for row in page.all(".axes tbody tr")]
        return [list(column) for column in zip(*found, strict=True)]

    along, across = rows()
    assert (along[0], across[0]) == ("1", "20")
    assert (along[2:], across[2:]) == (
        ["0.92", "0.92", "creeps from one side"],
        ["0.6", "0.6", "jumps from side to side"],
    )
    page.all(".choose")[1].click()
    assert [row[3:] for row in rows()] == [["0.8944", "swings"], ["0.8944", "swings"]]
    page.all(".choose")[2].click()
    assert [row[3:] for row in rows()] == [["–", "rescales: no fixed factor"]] * 2
    page.choose("Surface", "Rosenbrock's banana")
    assert not page.find(".axes").is_displayed()


def test_the_map_has_scales_and_the_lines_of_theory(page: Page) -> None:
    link = "surface=oblong_bowl&opt=momentum,lr=0.03,mu=0.8&map=lr,mu&steps=50&t=0"
    page.open(link)
    assert "Beyond the full line it diverges, at lr = 2(1+μ)/h with h = 20." in page.find(".map-body").text
    assert "both axes swing, and shrink by √μ a step" in page.find(".map-body").text
    assert page.find(".map-body .across span").text == "0"
    assert [e.text for e in page.all(".map-body .upward span")] == ["0.9999", "0.999", "0.99", "0.9", "0"]
    assert [e.text for e in page.all(".color-bar span")] == ["10⁻⁸", "", "1"]
    page.open(link.replace("momentum,lr=0.03,mu=0.8", "rmsprop_momentum"))
    assert "full line" not in page.find(".map-body").text


def test_the_ring_of_the_map_follows_the_arrow_keys(page: Page) -> None:
    page.open(next(p.link for p in PRESETS if p.name == "map") + "&t=50")
    canvas = page.find("canvas.map")
    before = page.named("lr, exact value").get_attribute("value"), page.named("mu, exact value").get_attribute("value")
    for key in (keys().ARROW_RIGHT, keys().ARROW_UP):
        canvas.send_keys(key)
    after = page.named("lr, exact value").get_attribute("value"), page.named("mu, exact value").get_attribute("value")
    assert float(after[0]) > float(before[0])
    assert float(after[1]) > float(before[1])
    assert page.step() == 50  # the arrows moved nothing else
    canvas.send_keys(keys().ARROW_LEFT + keys().ARROW_DOWN)
    assert float(page.named("lr, exact value").get_attribute("value")) < float(after[0])
    assert float(page.named("mu, exact value").get_attribute("value")) < float(after[1])


def test_what_changes_while_it_plays_is_not_announced(page: Page) -> None:
    page.open("surface=oblong_bowl&opt=adam&steps=5000&speed=60")
    count = """
        const done = arguments[arguments.length - 1];
        const live = "output, [aria-live]:not([aria-live=off]), [role=alert], [role=status], [role=log]";
        let changes = 0;
        const watch = new MutationObserver((list) => (changes += list.filter((m) => {
            const element = m.target.nodeType === 1 ? m.target : m.target.parentElement;
            return element?.closest(live);
        }).length));
        watch.observe(document.body, { subtree: true, childList: true, characterData: true });
        setTimeout(() => done(changes), 1500);
    """
    before = page.step()
    assert page.browser.execute_async_script(count) == 0
    assert page.step() > before


def test_nothing_moves_by_itself_for_those_who_ask_for_no_motion(page: Page) -> None:
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page.open()
    assert page.all('[aria-label="Play"]')
    page.choose("Scenario", PRESETS[1].title)
    assert page.find(".story").text == PRESETS[1].story
    assert page.all('[aria-label="Play"]')
    page.named("Play").click()
    page.wait(lambda: page.step() > 0)


def chart(page: Page, number: int) -> Any:
    return page.all(".chart")[number - 1]


def chart_values(page: Page, number: int) -> list[str]:
    return [e.text for e in chart(page, number).find_elements("css selector", ".legend .value")]


def test_a_chart_shows_any_quantity_and_reads_it_where_the_pointer_is(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    from ravine.simulate.runs import run

    page.open("surface=oblong_bowl&steps=40&opt=adam,lr=0.1&opt=gd,lr=0.05&t=20&coord=1")
    r = run("adam", "oblong_bowl", steps=40, lr=0.1)
    m, v = r.slots["m"][:, 1], r.slots["v"][:, 1]
    expected = {
        "m, y": m[20],
        "m̂, y": m[20] / (1 - 0.9**20),
        "v, y": v[20],
        "v̂, y": v[20] / (1 - 0.999**20),
        "Effective rate, y": 0.1 / (np.sqrt(v[20] / (1 - 0.999**20)) + 1e-8),
        "Gradient, y": r.gradient[19, 1],
        "Step Δ, y": r.step[19, 1],
        "y": r.x[20, 1],
        "x": r.x[20, 0],
        "Loss": r.value[20],
        "Step size": np.hypot(*r.step[19]),
    }
    for name, value in expected.items():
        page.choose("Quantity of chart 1", name)
        assert chart_values(page, 1)[0] == f"{value:.4g}".replace("-", "−"), name
    page.choose("Quantity of chart 1", "m̂, y")
    assert chart_values(page, 1)[1] == "–"  # gradient descent has none
    assert page.link()["chart"] == ["=m̂", "size,log"]
    canvas = chart(page, 1).find_element("css selector", "canvas")
    ActionChains(page.browser).move_to_element_with_offset(canvas, 21, 0).perform()  # the middle of the axis: step 20
    assert chart(page, 1).find_element("css selector", ".head .hint:last-child").text == "at step 20"
    ActionChains(page.browser).move_to_element_with_offset(canvas, 70, 0).perform()
    at = int(chart(page, 1).find_element("css selector", ".head .hint:last-child").text.split()[-1])
    assert chart_values(page, 1)[0] == f"{m[at] / (1 - 0.9**at):.4g}".replace("-", "−")
    assert page.step() == 20
    page.browser.refresh()
    assert page.named("Quantity of chart 1").get_attribute("value") == "=m̂"


def test_arrows_show_directions_and_bars_the_rate_of_each_axis(page: Page) -> None:
    page.open("surface=oblong_bowl&steps=40&opt=momentum,lr=0.02&opt=rmsprop,lr=0.05&sel=1&t=5")
    plain = page.picture()
    page.find(".below input").click()
    assert page.link()["arrows"] == ["1"]
    assert page.picture() != plain
    rates = [float(e.text) for e in page.all(".slots tr:nth-child(4) td span:first-child")]
    from ravine.simulate.runs import run

    s = run("rmsprop", "oblong_bowl", steps=40, lr=0.05).slots["s"][5]
    assert rates == [float(f"{v:.4g}") for v in 0.05 / np.sqrt(s + 1e-7)]
    parts = [
        float(page.browser.execute_script("return arguments[0].style.getPropertyValue('--part')", bar))
        for bar in page.all(".slots .bar")
    ]
    assert parts == [pytest.approx(1), pytest.approx(rates[1] / rates[0], rel=1e-3)]  # large gradients, a small rate


@pytest.mark.parametrize("start", ["-4.5,1", "4.5,-1"])
def test_an_arrow_s_name_is_within_a_small_picture(page: Page, start: str) -> None:
    metrics = {"width": 360, "height": 640, "deviceScaleFactor": 2, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.open(f"surface=oblong_bowl&start={start}&steps=60&opt=momentum_ema,lr=0.19,beta=0.5&arrows=1&t=0")
    page.browser.execute_script(
        """const { prototype } = CanvasRenderingContext2D, usual = prototype.fillText;
        window.written = [];
        prototype.fillText = function (text, x, y) {
          const from = this.textAlign === "right" ? x - this.measureText(text).width : x;
          if (text) window.written.push([from, from + this.measureText(text).width]);
          usual.call(this, text, x, y);
        };"""
    )
    for t in range(0, 60, 4):
        page.browser.execute_script(
            "const s = document.querySelector('.scrub'); s.value = arguments[0]; s.dispatchEvent(new Event('input'));",
            t,
        )
        page.settle()
    stage = page.find(".stage").size["width"]
    arrows = page.browser.execute_script("return window.written")
    assert len(arrows) > 15
    assert all(0 <= low < high <= stage for low, high in arrows)


def test_a_rate_that_is_not_defined_is_said_to_be_so(page: Page) -> None:
    page.open("surface=oblong_bowl&steps=40&opt=adopt,lr=0.05&opt=rprop&sel=0&chart=rate&chart=loss&t=9")
    assert len(page.all(".slots .bar")) == 2
    assert chart_values(page, 1)[1] == "–"
    page.all(".card .choose")[1].click()
    assert page.find(".slots tr:nth-child(4)").text == "effective rate not defined"
    assert page.all(".slots .bar") == []
    assert chart_values(page, 1)[1] == "–"


def test_what_is_evaluated_is_shown_beside_what_trains(page: Page) -> None:
    from ravine.simulate.runs import run

    link = "surface=oblong_bowl&steps=60&opt=schedule_free_sgd,lr=0.09&opt=adam,lr=0.1&t=50"
    page.open(f"{link}&sel=1")
    assert page.find(".below").text.startswith("arrows")
    assert "○ what is evaluated" in page.find(".below").text
    page.open(f"{link}&sel=0&chart=evaluated,log&chart=%3Devaluated")
    r = run("schedule_free_sgd", "oblong_bowl", steps=60, lr=0.09)
    x, loss = r.evaluated
    adam = run("adam", "oblong_bowl", steps=60, lr=0.1)
    assert page.readings() == [f"{r.value[50]:.3g}\nevaluated {loss[50]:.3g}", f"{adam.value[50]:.3g}"]
    assert chart_values(page, 1) == [f"{loss[50]:.4g}", f"{adam.value[50]:.4g}"]
    shown = f"{x[50, 0]:.4g}".replace("-", "−")
    assert chart_values(page, 2) == [shown, "–"]
    assert page.find(".slots tr:nth-child(2)").text.split()[:3] == ["evaluated", "at", shown]
    lines = page.all(".inside > .equation .line")
    assert lines[-1].text.startswith("evaluated")
    assert lines[-1].find_element("css selector", ".value").text == shown
    page.open("surface=oblong_bowl&opt=adam&t=5")
    assert "evaluated" not in page.find("body").text.replace("Loss, evaluated", "")


def test_two_optimizers_side_by_side_with_what_differs_marked(page: Page) -> None:
    page.open("surface=oblong_bowl&opt=adam,lr=0.02&opt=adam_uncorrected,eps=1e-8&t=5")
    assert page.all(".differs") == []
    page.choose("Compare with", "Adam, not bias-corrected")
    assert page.link()["versus"] == ["1"]
    marked = (
        "return [...document.querySelectorAll('.inside > .equation .line')].map((e) => !!e.querySelector('.differs'))"
    )
    assert page.browser.execute_script(marked) == [False, True, False, True, True]  # m, m̂, v, v̂, x
    assert len(page.all(".versus .differs")) == 1
    assert "Knobs: lr 0.001 instead of 0.02." in page.find(".versus .hint").text


def test_what_a_teacher_wants(page: Page) -> None:
    page.open("preset=bowl&loop=1&steps=20&speed=10")
    page.wait(lambda: page.step() == 20)
    page.wait(lambda: page.step() < 20)  # it begins again
    page.named("Pause").click()
    story, reading = page.find(".story"), page.all(".reading")[0]
    assert story.is_displayed()
    page.named("Hide answers: story, losses, what is to come").click()
    assert not story.is_displayed()
    assert not reading.is_displayed()
    assert page.link()["hide"] == ["1"]
    page.browser.refresh()
    assert not page.find(".story").is_displayed()
    page.named("Hide answers: story, losses, what is to come").click()

    def height() -> float:
        seen: float = page.browser.execute_script(
            "return document.querySelector('.player .play').getBoundingClientRect().height"
        )
        return seen

    size = height()
    page.named("Large type on the full screen").click()
    page.wait(lambda: height() > 1.2 * size)
    page.named("Large type on the full screen").click()
    menus = {
        name: [g.get_attribute("label") for g in page.all(f'[aria-label="{name}"] optgroup')]
        for name in ("Scenario", "Surface")
    }
    assert menus == {"Scenario": list(GROUPS), "Surface": ["Functions", "Real data"]}
    groups = page.all('[aria-label="Optimizer to add"] optgroup')
    assert [g.get_attribute("label") for g in groups] == ["Basic", "All"]
    assert len(groups[1].find_elements("css selector", "option")) == len([*family(), "my_rule"])
    assert 5 < len(groups[0].find_elements("css selector", "option")) < 12


def test_what_is_pressed_can_be_read_under_the_pointer(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page.open("preset=bowl&relief=30,40&hide=1&t=5")
    pressed = [e for e in page.all('[aria-pressed="true"]') if e.is_displayed()]
    assert {e.text for e in pressed} == {"3-D", "Hide answers", "x"}
    colors = "const s = getComputedStyle(arguments[0]); return [s.color, s.backgroundColor]"
    for button in pressed:
        ActionChains(page.browser, duration=0).move_to_element(button).perform()
        ink, ground = page.browser.execute_script(colors, button)
        assert ink != ground, button.text


def test_picture_film_and_numbers_can_be_saved(page: Page, tmp_path: Path) -> None:
    import csv

    from ravine.simulate.runs import run

    page.browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.open("surface=oblong_bowl&steps=20&opt=adam,lr=0.1&opt=gd,lr=0.05&t=20")
    page.find(".save summary").click()
    for button in page.all(".save button"):
        button.click()
    files = {name: tmp_path / f"ravine.{name}" for name in ("png", "gif", "csv")}
    page.wait(lambda: all(f.exists() and f.stat().st_size for f in files.values()))
    assert files["png"].read_bytes()[:4] == b"\x89PNG"
    assert files["gif"].read_bytes()[:6] == b"GIF89a"
    rows = list(csv.DictReader(files["csv"].read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 2 * 21
    r = run("adam", "oblong_bowl", steps=20, lr=0.1)
    last = rows[20]
    assert (last["optimizer"], last["step"]) == ("Adam", "20")
    assert [float(last[c]) for c in ("x", "y", "loss")] == [*r.x[20], r.value[20]]
    assert page.step() == 20


def test_play_and_step_from_the_keyboard(page: Page) -> None:
    page.open("surface=oblong_bowl&opt=adam&steps=500&t=10")
    body = page.find("body")
    page.find(".stage .handle").send_keys(".")
    page.wait(lambda: page.step() == 11)  # drawn with the next frame
    page.find(".stage .handle").send_keys(",,")
    page.wait(lambda: page.step() == 9)
    body.send_keys(" ")
    page.wait(lambda: page.step() > 9)


@pytest.mark.parametrize("width", [320, 360])
def test_nothing_sticks_out_of_a_small_phone(page: Page, width: int) -> None:
    metrics = {"width": width, "height": 640, "deviceScaleFactor": 2, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.open()
    assert page.browser.execute_script("return document.documentElement.scrollWidth") == width
    button = page.find(".top .tools button:last-child")
    assert button.rect["x"] + button.rect["width"] <= width


def test_it_fits_a_phone_and_follows_the_system_s_colours(page: Page) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.open()
    assert page.browser.execute_script("return document.documentElement.scrollWidth") == 390
    small = [
        e.get_attribute("aria-label") or e.text
        for e in page.all(".player button, .zoom button, .top button, .add, .card .remove")
        if e.is_displayed() and min(e.size["width"], e.size["height"]) < 32
    ]
    assert small == []

    def paper() -> str:
        color: str = page.browser.execute_script(
            "return getComputedStyle(document.querySelector('.ravine')).backgroundColor"
        )
        return color

    light = paper()
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    page.wait(lambda: paper() != light)
    button = page.find(THEME)
    button.click()
    assert paper() == light
    assert page.link()["theme"] == ["light"]


def test_everything_that_can_be_used_has_a_name(page: Page) -> None:
    page.open(next(p.link for p in PRESETS if p.name == "map") + "&noise=gaussian,1,1")
    nameless = page.browser.execute_script(
        """return [...document.querySelectorAll("button, input, select, canvas[role]")]
             .filter((e) => e.offsetParent)
             .filter((e) => !(e.getAttribute("aria-label") || (e.labels?.[0] ?? e).textContent.trim()))
             .map((e) => e.outerHTML)"""
    )
    assert nameless == []


def test_the_learning_rate_s_knob_bears_both_its_names(page: Page) -> None:
    page.open("surface=oblong_bowl&opt=adam&t=3")
    names = [e.text for e in page.all(".card.open .symbol")]
    assert "η" in names[0]
    assert names[0].endswith("= lr")
    assert not any("=" in name for name in names[1:])


def test_a_subscript_is_lower_than_its_letter(page: Page) -> None:
    page.open("surface=oblong_bowl&opt=adam&t=3")
    drops = page.browser.execute_script(
        """return [...document.querySelectorAll(".equation msub")]
             .filter((e) => e.textContent === "mt" || e.textContent === "vt")
             .map((e) => {
               const [letter, script] = [...e.children].map((part) => part.getBoundingClientRect().bottom);
               return (script - letter) / parseFloat(getComputedStyle(e).fontSize);
             })"""
    )
    assert len(drops) >= 4
    assert min(drops) > 0.15  # in em; the letters of m, v and t end on their baselines


def test_the_page_measures_its_frames(page: Page) -> None:
    page.open(next(p.link for p in PRESETS if p.name == "family"))
    assert len(page.all(".card")) == 20
    page.wait(lambda: float(page.find(".rate").get_attribute("data-rate") or 0) > 0)


def test_html_holds_every_rule() -> None:
    text = html()
    assert all(f'"name":"{name}"' in text for name in family())
    assert len(family()) >= 37
