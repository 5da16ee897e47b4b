"""Pictures: every kind of file, the films' frames, the pages; the command line in front of them."""

import io
import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("matplotlib", reason="pictures need Matplotlib")

from PIL import Image

from outcomes import by_default
from ravine import palette
from ravine.cli import group, main
from ravine.cli.simulate import show
from ravine.simulate import figures, files, run, surface
from ravine.simulate.outcome import cell
from ravine.simulate.page import page
from ravine.simulate.scenarios import SCENARIOS, accumulate, bias, maps, paths


@pytest.fixture(scope="module")
def short():
    return accumulate(steps=20)


def ffmpeg_is_missing():
    try:
        files.ffmpeg()
    except ImportError:
        return True
    return False


def test_a_gif_moves_and_keeps_the_optimizers_colours_apart(short, tmp_path):
    with Image.open(files.save(short, tmp_path / "x.gif")) as film:
        assert film.n_frames == 21
        frames = []
        for i in (0, 10, 20):
            film.seek(i)
            frames.append(np.asarray(film.convert("RGB"), dtype=int))
    assert np.any(frames[0] != frames[1])
    assert np.any(frames[1] != frames[2])
    for name in ("momentum", "rmsprop_momentum", "adam"):
        color = [int(palette.style(name).color[i : i + 2], 16) for i in (1, 3, 5)]
        distance = np.abs(frames[2] - color).max(axis=-1)
        assert np.sum(distance <= 10) > 100, name


def test_a_map_holds_every_start_and_grows_for_paths_that_stay_near():
    bowl = surface("oblong_bowl")
    assert np.array_equal(figures.view(bowl, [run("gd", bowl, start=(-4, 1), steps=9, lr=0.01).x]), bowl.view)
    (left, right), (low, high) = figures.view(bowl, [run("gd", bowl, start=(7, 3), steps=9, lr=0.01).x])
    assert (left, low) == (-5, -2.5)
    assert 7 < right < 8
    assert 3 < high < 3.5
    leaving = run("gd", bowl, start=(-4, 1), steps=200, lr=0.2).x  # three times as far in each step
    _, (low, high) = figures.view(bowl, [leaving])
    assert -3.5 < low < -3
    assert high == 2.5
    with figures.look():
        from matplotlib.figure import Figure

        made = Figure()
        outcome = paths(optimizers=["gd[lr=0.01]"], surface="oblong_bowl", start=(7, 3), steps=9)
        outcome.draw(made)
        assert made.axes[0].get_xlim()[1] > 7


def test_a_png_is_the_same_each_time(short, tmp_path):
    one, two = (files.save(short, tmp_path / f"{n}.png").read_bytes() for n in "ab")
    assert one == two
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (1320, 744)


@pytest.mark.skipif(ffmpeg_is_missing(), reason="ffmpeg is missing")
def test_an_mp4_is_written(short, tmp_path):
    film = files.save(short, tmp_path / "x.mp4")
    assert film.read_bytes()[4:8] == b"ftyp"
    told = subprocess.run([files.ffmpeg(), "-i", str(film)], capture_output=True, text=True, check=False).stderr
    assert "Video: h264" in told
    assert "880x496" in told
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OSError, match="ffmpeg could not write"):
        files.save(short, tmp_path / "folder.mp4")


def test_what_is_missing_is_named(short, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ImportError, match=r"without ffmpeg on the PATH, \.mp4 needs imageio_ffmpeg"):
        files.save(short, tmp_path / "x.mp4")
    with pytest.raises(ValueError, match="a picture's name must end in"):
        files.save(short, tmp_path / "x.jpg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="a picture needs matplotlib, which is not installed"):
        files.save(short, tmp_path / "x.png")


def test_a_film_of_what_happens_early_gives_the_early_steps_more_time():
    slow, even = bias(steps=1000), accumulate(steps=1000)
    assert files.moments(slow)[:4] == [0, 1, 2, 3]
    assert files.moments(slow)[-1] == slow.last
    assert files.moments(even)[1] == 14
    assert files.moments(maps(rules=("momentum",), size=2, steps=2)) == [0, 1, 2]


def test_the_svg_is_xml_and_the_page_is_inert():
    o = paths(optimizers=["adam"], surface="kinked_valley", steps=5)
    ET.fromstring(files.svg(o))
    hostile = type(o)(**{**vars(o), "title": "<script>alert(1)</script>", "story": "a & <b>"})
    text = page(hostile, files.svg(hostile))
    assert "<script" not in text  # without a film
    assert "&lt;script&gt;alert(1)" in text
    assert "a &amp; &lt;b&gt;" in text
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "").replace("https://matplotlib.org", "")


@pytest.fixture(scope="module", params=SCENARIOS)
def scenario(request):
    """Every scenario's outcome, a small one where the default takes long."""
    small = {"maps": {"size": 20}, "bowl": {"steps": 60}, "paths": {"steps": 60}, "knobs": {"steps": 60}}
    name = request.param
    return SCENARIOS[name](**small[name]) if name in small else by_default(name)


def test_level_lines_do_not_make_an_svg_heavy(scenario):
    assert len(files.svg(scenario)) < 600_000


@pytest.mark.skipif(ffmpeg_is_missing(), reason="ffmpeg is missing")
def test_every_scenario_makes_a_film(scenario, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "FRAMES", 3)
    monkeypatch.setattr(files, "FILM_DPI", 40)
    film = files.save(scenario, tmp_path / "x.mp4")
    read = [files.ffmpeg(), "-i", str(film), "-f", "null", "-"]
    told = subprocess.run(read, capture_output=True, text=True, check=False).stderr
    assert "Video: h264" in told
    assert int(re.findall(r"frame=\s*(\d+)", told)[-1]) == len(files.moments(scenario)) + 27  # the last one stays


def test_a_page_s_film_is_the_pictures_of_the_gif(short):
    """Each picture is the one before with what differs put on it."""
    pictures = list(files.frames(short))
    film = files.reel(iter(pictures), files.moments(short))
    assert [step for step, _ in film.pictures] == files.moments(short)
    canvas = Image.new("RGBA", (film.width, film.height))
    for picture, (_, (x, y, data)) in zip(pictures, film.pictures, strict=True):
        if data:
            patch = Image.open(io.BytesIO(data)).convert("RGBA")
            canvas.alpha_composite(patch, (x, y))
        few = np.asarray(canvas.convert("RGB"), dtype=int)
        assert np.mean(np.abs(few - picture).max(axis=-1) > 24) < 0.02
    assert sum(len(data) for _, (_, _, data) in film.pictures) < 300_000


def test_a_page_plays_and_stands_still_for_those_who_ask(short, tmp_path, browser):
    target = files.save(short, tmp_path / "x.html")
    assert target.stat().st_size < 1_000_000

    def label():
        return browser.find_element("css selector", ".player span").text

    def wait(condition):
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(browser, 30, poll_frequency=0.05).until(lambda _: condition())

    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    )
    browser.get(target.as_uri())
    wait(lambda: label() == "step 20")
    pixels = "const c = document.querySelector('canvas'); return c.toDataURL();"
    last = browser.execute_script(pixels)
    browser.find_element("css selector", ".player input").send_keys("\ue011")  # Home
    assert label() == "step 0"
    assert browser.execute_script(pixels) != last
    browser.find_element("css selector", ".player button").click()
    wait(lambda: label() == "step 20")
    assert browser.execute_script(pixels) == last
    assert not [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]


def command(*arguments):
    return CliRunner().invoke(group, ["simulate", *arguments])


def test_a_run_that_diverges_is_shown_and_drawn_without_complaint(tmp_path):
    told = command("paths", "--with", "gd[lr=1]", "--with", "adam", "--out", str(tmp_path / "x.png"))
    assert told.exit_code == 0, told.output
    assert "gd, lr 1" in told.output


@pytest.mark.parametrize("name", ["accumulate", "bias", "knobs", "paths"])
def test_a_scenario_is_a_command(name):
    shown = command(name)
    assert shown.exit_code == 0, shown.output
    assert by_default(name).tables[0].title in shown.output
    data = json.loads(command(name, "--json").output)
    assert data == json.loads(by_default(name).to_json())
    assert data["scenario"] == name


def test_options_are_the_functions_keywords(tmp_path):
    target = tmp_path / "x.html"
    options = ["--with", "adam[lr=0.5]", "--surface", "beale", "--start", "-1,0.5", "--steps", "9"]
    told = command("paths", *options, "--out", str(target))
    assert told.exit_code == 0, told.output
    assert "adam, lr 0.5" in told.output
    assert "adam, lr 0.5" in target.read_text()
    settings = json.loads(command("paths", *options, "--json").output)["settings"]
    assert settings["start"] == [-1.0, 0.5]
    assert json.loads(command("accumulate", "--mu", "0.5", "--json").output)["settings"]["mu"] == 0.5
    assert "oblong_bowl" in command("surfaces").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["paths", "--surface", "rosenbrok"], "did you mean 'rosenbrock'"),
        (["paths", "--with", "adm"], "did you mean 'adam"),
        (["paths", "--with", "adam[learning=3]"], "unknown hyperparameter"),
        (["paths", "--start", "here"], "numbers such as"),
        (["paths", "--noise", "gausian"], "did you mean 'gaussian'"),
        (["accumulate", "--out", "x.jpg"], "must end in"),
        (["paths", "--start", "nan,1"], "start must be finite"),
        (["paths", "--steps", "1000000000"], "'--steps': 1000000000 is not in the range x<=1000000"),
    ],
)
def test_a_users_mistake_is_one_line(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ravine", "simulate", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def test_importing_the_scenarios_does_not_import_matplotlib():
    code = "import sys, ravine.simulate.scenarios, ravine.cli.simulate; print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("name", ["bowl", "turn"])
def test_no_number_is_cut_off_in_a_narrow_terminal(name, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    show(by_default(name))
    words = set(capsys.readouterr().out.split())
    cells = (cell(value) for table in by_default(name).tables for row in table.rows for value in row)
    assert {word for text in cells for word in text.split()} <= words


def test_a_picture_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    for target, reason in {"x.bmp": "must end in .png", "nowhere/x.png": "there is no folder"}.items():
        told = command("bias", "--out", str(tmp_path / target))
        assert told.exit_code != 0
        assert reason in str(told.exception)
        assert told.output == ""
