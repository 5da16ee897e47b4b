"""Whether every line can be seen and told from every other: on either ground, and by eyes that mix colours up."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ravine.playground import write
from ravine.playground.presets import PRESETS
from ravine.simulate import run

TWINS = "opt=rmsprop,lr=0.01&opt=rmsprop,lr=0.02&opt=rmsprop,lr=0.03&opt=rmsprop,lr=0.04"
CROWD = "&".join(["opt=adam"] * 12 + ["opt=gd"] * 11 + ["opt=lion"])
SCENES = [pytest.param(p.link, id=p.name) for p in PRESETS]
SCENES += [pytest.param(TWINS, id="twins"), pytest.param(CROWD, id="crowd")]

# Machado, Oliveira & Fernandes (2009), severity 1: what is left of linear red, green and blue.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
NOTICEABLE = 10.0
"""A distance in CIELAB that anybody sees at a glance: about four times a just noticeable difference (2.3)."""


def linear(color: str) -> Any:
    """Linear red, green and blue of #RRGGBB, rgb(…) or three numbers."""
    text = color.strip()
    parts = [int(text[k : k + 2], 16) for k in (1, 3, 5)] if text[0] == "#" else map(float, re.findall(r"[\d.]+", text))
    c = np.array(list(parts)[:3]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    """As WCAG 2 defines it."""
    low, high = sorted(float(XYZ[1] @ linear(c)) for c in (a, b))
    return (high + 0.05) / (low + 0.05)


def difference(a: str, b: str, deficiency: str) -> float:
    def lab(color: str) -> list[float]:
        seen = np.clip(np.array(DEFICIENCIES[deficiency]) @ linear(color), 0, 1)
        x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in XYZ @ seen / XYZ.sum(axis=1))
        return [116 * y - 16, 500 * (x - y), 200 * (y - z)]

    return math.dist(lab(a), lab(b))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(Path(tmp_path_factory.mktemp("looks")) / "page.html").as_uri()


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Any]:
    def show(link: str, theme: str) -> Any:
        browser.get("about:blank")
        browser.get(f"{address}#{link}&theme={theme}&t=50")
        return browser

    return show


def lines(browser: Any) -> list[tuple[str, str]]:
    """The colour and the dashes of every optimizer's line."""
    return [
        (e.get_attribute("stroke"), e.get_attribute("stroke-dasharray"))
        for e in browser.find_elements("css selector", ".card .swatch line:last-child")
    ]


def grounds(browser: Any) -> dict[str, str]:
    names = ["--low", "--high", "--paper", "--card", "--casing"]
    script = """const style = getComputedStyle(document.querySelector('.ravine'));
        return arguments[0].map((name) => style.getPropertyValue(name));"""
    return dict(zip(names, browser.execute_script(script, names), strict=True))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("link", SCENES)
def test_every_line_stands_out_and_is_told_from_every_other(opened: Any, link: str, theme: str) -> None:
    page = opened(link, theme)
    ground = grounds(page)
    casing = ground.pop("--casing")
    drawn = lines(page)
    for color, _ in drawn:
        for name, below in ground.items():
            cased = min(
                contrast(color, casing), contrast(casing, below)
            )  # what stands out is the casing, then the line
            assert max(contrast(color, below), cased) >= 3, (color, name)
    for (a, dash_a), (b, dash_b) in itertools.combinations(drawn, 2):
        if dash_a == dash_b:
            assert all(difference(a, b, kind) >= NOTICEABLE for kind in DEFICIENCIES), (a, b)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_four_of_one_rule_have_four_dashes(opened: Any, theme: str) -> None:
    drawn = lines(opened(TWINS, theme))
    assert len({dash for _, dash in drawn}) == len({color for color, _ in drawn}) == 4


def test_the_casing_is_painted_below_the_paths(opened: Any) -> None:
    """In the middle of every step there is the path's colour, though the path crosses itself; beside it the casing."""
    page = opened("surface=oblong_bowl&opt=momentum,lr=0.05,mu=0.9&steps=50&t=50", "light")
    x = run("momentum", "oblong_bowl", steps=50, lr=0.05, mu=0.9).x
    middles = ((x[1:] + x[:-1]) / 2)[:30]
    near = page.execute_async_script(
        """const [points, done] = arguments;
        requestAnimationFrame(() => requestAnimationFrame(() => {
          const canvas = document.querySelector(".stage canvas"), context = canvas.getContext("2d");
          const { width, height } = canvas;
          const unit = Math.max(10 / width, 5 / height);
          done(points.map(([x, y]) => {
            const [u, v] = [Math.floor(width / 2 + x / unit), Math.floor(height / 2 - y / unit)];
            const { data } = context.getImageData(u - 3, v - 3, 7, 7);
            const pixels = Array.from({ length: 49 }, (_, k) => [...data.slice(4 * k, 4 * k + 3)]);
            return [pixels[24], Math.min(...pixels.map((p) => p[0] + p[1] + p[2]))];
          }));
        }));""",
        middles.tolist(),
    )
    assert {tuple(color) for color, _ in near} == {(86, 180, 233)}
    assert max(darkest for _, darkest in near) < 250  # of the path's 499 and the ground's 600 and more
