"""How an optimizer is written in text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ravine
from ravine.spelling import read, split

WORDS = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "name", "rule", "values"),
    [
        ("adam", "", "adam", {}),
        (" slow = adam [ lr = 1e-4 , beta1=0.8 ] ", "slow", "adam", {"lr": "1e-4", "beta1": "0.8"}),
        ("clip_value(weight_decay(adam))", "", "clip_value(weight_decay(adam))", {}),
        ("Adam 2.0=decoupled_weight_decay(adam)[lr=0.1]", "Adam 2.0", "decoupled_weight_decay(adam)", {"lr": "0.1"}),
        ("../my-rules/mine.py:my_rule[lr=2]", "", "../my-rules/mine.py:my_rule", {"lr": "2"}),
        ("adam[lr=1e-4..1e-2]", "", "adam", {"lr": "1e-4..1e-2"}),
        ("adam[]", "", "adam", {}),
    ],
)
def test_a_text_is_taken_apart(text: str, name: str, rule: str, values: dict[str, str]) -> None:
    assert read(text)[1:] == (name, rule, values)


@given(name=WORDS, rule=WORDS, values=st.dictionaries(WORDS, st.floats(allow_nan=False).map(str), max_size=3))
def test_what_is_written_is_read(name: str, rule: str, values: dict[str, str]) -> None:
    text = f"{name}={rule}[{','.join(f'{k}={v}' for k, v in values.items())}]"
    assert read(text) == (text, name, rule, values)
    assert split(f"{text},{rule} , {text}") == [text, rule, text]
    assert read(text).numbers() == {k: float(v) for k, v in values.items()}


def test_a_recipe_comes_of_it(tmp_path: Path) -> None:
    assert read("adam").recipe() == ravine.recipe("adam")
    assert read("mine=weight_decay(adam)[lr=0.1,weight_decay=1e-4]").recipe() == ravine.recipe(
        "weight_decay(adam)", lr=0.1, weight_decay=1e-4
    )
    file = tmp_path / "mine.py"
    file.write_text("from ravine import rule\n\n@rule\ndef mine(g, *, lr=0.5):\n    return -lr * g\n")
    assert read(f"{file}:mine[lr=0.25]").recipe().hyper == {"lr": 0.25}
    assert read(f"{file}:mine").recipe().rule.name == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "can't read optimizer ''"),
        ("adam[lr=0.1", "can't read optimizer 'adam[lr=0.1': expected RULE, NAME=RULE or RULE[beta1=0.8]"),
        ("adam[lr=0.1]]", "can't read optimizer"),
        ("weight_decay(adam[lr=0.1])", "can't read optimizer"),
        ("adam[lr]", "optimizer 'adam[lr]': 'lr' is not NAME=NUMBER"),
        ("adam[=3]", "'=3' is not NAME=NUMBER"),
        ("adam[lr=]", "'lr=' is not NAME=NUMBER"),
        ("adam[lr=fast]", "optimizer 'adam[lr=fast]': 'lr=fast' is not NAME=NUMBER"),
        ("adam[lr=1,lr=2]", "optimizer 'adam[lr=1,lr=2]': lr is given twice"),
        ("adam:lr=0.1,beta1=0.5", "values go in square brackets, as in adam[lr=0.1,beta1=0.5]"),
        ("mine.py:mine:lr=0.1", "values go in square brackets, as in mine.py:mine[lr=0.1]"),
        ("x=adam(lr=0.1, eps=1)", "values go in square brackets, as in adam[lr=0.1, eps=1]"),
        ("adan[lr=1]", "did you mean 'adam'"),
        ("adam[beta_1=0.1]", "did you mean 'beta1'"),
        ("adam[start=1]", "unknown hyperparameter"),
        ("adam[beta1=1.5]", "beta1 = 1.5 is not legal"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read(text).recipe()
