"""The optimizers' colours stay apart for colour-blind eyes, and can be seen on white and on near-black."""

from itertools import combinations

import numpy as np
import pytest

from ravine.palette import CASING, COLORS, LEAST_CONTRAST, Style, contrast, on_paper, style, styles

# What is left of linear RGB without one kind of cone: Machado, Oliveira & Fernandes 2009, severity 1.
SIGHT = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(color):
    part = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    x, y, z = np.cbrt(XYZ @ rgb / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_stay_apart(sight):
    seen = {name: lab(np.clip(np.array(SIGHT[sight]) @ linear(c), 0.01, 1)) for name, c in COLORS.items()}
    apart = {(a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in combinations(COLORS, 2)}
    assert min(apart.values()) > 15, min(apart, key=apart.get)  # CIE76: 2 is just visible, 10 at a glance


@pytest.mark.parametrize("name", COLORS)
def test_colours_can_be_seen_on_light_and_dark(name):
    luminance = float(XYZ[1] @ linear(COLORS[name]))
    assert 1.05 / (luminance + 0.05) > 2.2
    assert (luminance + 0.05) / (0.009 + 0.05) > 3


@pytest.mark.parametrize("color", [*COLORS.values(), "#FFFFFF", CASING])
def test_a_line_on_paper_or_its_casing_stands_out(color):
    assert contrast(color) == pytest.approx(1.05 / (float(XYZ[1] @ linear(color)) + 0.05), rel=1e-3)
    effects = on_paper(Style(color, ())).get("path_effects", [])
    assert contrast(color) >= LEAST_CONTRAST or contrast(effects[0]._gc["foreground"]) >= LEAST_CONTRAST
    assert bool(effects) == (contrast(color) < LEAST_CONTRAST)


def test_what_is_seen_together_looks_different():
    names = ["AdamWScheduleFree", "adamw", "Muon"]
    assert style("AdamWScheduleFree") == style("adamw"), "the example is no longer one"
    found = styles(names)
    assert list(map(len, map(set, zip(*found.values(), strict=True)))) == [3, 2]  # three colours
    assert found["adamw"] == style("adamw")  # who has a look keeps it
    assert found == styles(["adamw", "AdamWScheduleFree", "Muon"])
    many = [f"mine{i}" for i in range(24)]
    assert len(set(styles(many).values())) == 24
    assert styles([*many, "another"])["another"] == style("another")
