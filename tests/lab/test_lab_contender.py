"""Reading --optimizers."""

from __future__ import annotations

from pathlib import Path

import pytest

from ravine.lab.contender import DEFAULT, parse, search_space
from ravine.rule import rule, rules


def test_the_nine_of_the_default():
    assert [c.name for c in parse(",".join(DEFAULT))] == list(DEFAULT)


def test_names_transforms_and_fixed_hyperparameters():
    first, second, third = parse("adam, clip_value(adam) ,slow = weight_decay(adam)[beta1=0.8,weight_decay=1e-4]")
    assert (first.name, first.rule, first.fixed) == ("adam", "adam", {})
    assert (second.name, second.rule) == ("clip_value(adam)", "clip_value(adam)")
    assert (third.name, third.rule) == ("slow", "weight_decay(adam)")
    assert third.fixed == {"beta1": 0.8, "weight_decay": 1e-4}


def test_a_rule_in_a_file(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text("import ravine\n@ravine.rule()\ndef my_rule(g, *, lr=0.1):\n    return -lr * g\n")
    (mine,) = parse(f"{file}:my_rule")
    assert (mine.name, mine.rule) == ("my_rule", f"{file}:my_rule")
    assert "<math" in mine.describe()["mathml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adan", "did you mean 'adam'"),
        ("adam[beta_1=0.9]", "did you mean 'beta1'"),
        ("adam[beta1=1.5]", "beta1 = 1.5 is not legal"),
        ("adam[beta1]", "NAME=NUMBER"),
        ("adam[beta1=0.9", "can't read optimizer"),
        ("adam,gd,adam", "'adam' is given twice"),
        (" , ", "no optimizers"),
        ("nowhere.py:mine", "no such file"),
    ],
)
def test_mistakes_are_named(text: str, message: str):
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        parse(text)


def test_the_search_space_is_equally_wide_for_every_rule():
    for name, found in rules().items():
        low, high = search_space(found, {})["lr"]
        default = found.hyperparameters["lr"].default
        assert low < default < high, name
        assert high / low == pytest.approx(1e4), name


def test_what_is_fixed_is_not_tuned():
    assert search_space(rule("adam"), {"lr": 0.1}) == {}
