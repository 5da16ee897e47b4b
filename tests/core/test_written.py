"""How an optimizer is written in text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ravine
from ravine.spelling import is_set, read, read_set, split

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
        ("adamm[lr=1]", "did you mean 'adam'"),
        ("adam[beta_1=0.1]", "did you mean 'beta1'"),
        ("adam[start=1]", "unknown hyperparameter"),
        ("adam[beta1=1.5]", "beta1 = 1.5 is not legal"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read(text).recipe()


def test_a_set_has_an_optimizer_for_each_part() -> None:
    text = "duo=[hidden=lion[lr=1e-3,beta1=0.8], rest=weight_decay(adam)]"
    written = read_set(text)
    assert (written.name, list(written.parts)) == ("duo", ["hidden", "rest"])
    assert written.parts["hidden"][2:] == ("lion", {"lr": "1e-3", "beta1": "0.8"})
    assert written.recipes()["hidden"] == ravine.recipe("lion", lr=1e-3, beta1=0.8)
    assert split(f"adam,{text},lion-set") == ["adam", text, "lion-set"]
    assert [is_set(t) for t in (text, "lion-set", "mine=lion-set", "adam[lr=0.1]", "a-set=adam")] == [1, 1, 1, 0, 0]


def test_a_set_in_short() -> None:
    assert read_set("lion-set").recipes() == read_set("[hidden=lion,rest=adamw]").recipes()
    for rule in ("weight_decay(lion)", "my-rules/mine.py:rule", "keras.Lion"):
        assert is_set(f"x={rule}-set")
        assert read_set(f"x={rule}-set").parts["hidden"].rule == rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "can't read set '[]': expected [PART=RULE"),
        ("[hidden=lion,adamw]", "'adamw' has no part: write which, as in hidden=adamw"),
        ("[a=lion,a=adamw]", "the part 'a' is given twice"),
        ("[a=lion[lr=1e-3]", "expected RULE, NAME=RULE or RULE[beta1=0.8]"),
        ("[a=lino]", "part 'a' of '[a=lino]': unknown rule 'lino'; did you mean 'lion'"),
        ("[a=lion[lr=fast]]", "'lr=fast' is not NAME=NUMBER"),
    ],
)
def test_a_set_that_is_none(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_set(text).recipes()


def test_one_is_wanted_and_not_a_set() -> None:
    with pytest.raises(ValueError, match="is a set of optimizers, and one is wanted here"):
        read("lion-set")
