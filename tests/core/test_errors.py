"""What a user is told of a name that nothing answers to."""

from __future__ import annotations

import pytest

import ravine
from ravine.errors import MANY, unknown, with_article

FEW = ["large", "small", "gpt2"]
MANY_NAMES = ["adam", *"bcdefghijklmnop", "nadam", "radam"]


@pytest.mark.parametrize(
    ("name", "known", "listed_by", "message"),
    [
        ("smal", FEW, "", "unknown shape 'smal'; did you mean 'small'? Known: gpt2, large, small"),
        ("smal", FEW, "ravine list", "unknown shape 'smal'; did you mean 'small'? Known: gpt2, large, small"),
        ("xyz", FEW, "", "unknown shape 'xyz'. Known: gpt2, large, small"),
        ("xyz", [], "", "unknown shape 'xyz'. Known: none"),
        (
            "adan",
            MANY_NAMES,
            "ravine list",
            "unknown shape 'adan'; did you mean 'adam', 'radam' or 'nadam'? `ravine list` shows all",
        ),
        ("xyz", MANY_NAMES, "ravine list", "unknown shape 'xyz'. `ravine list` shows all"),
        ("xyz", MANY_NAMES, "", f"unknown shape 'xyz'. Known: {', '.join(sorted(MANY_NAMES)[:MANY])}, … (18 in all)"),
    ],
)
def test_the_nearest_names_and_where_all_are(name: str, known: list[str], listed_by: str, message: str) -> None:
    assert str(unknown("shape", name, known, listed_by)) == message


def test_a_rule_is_told_the_nearest_few_instead_of_the_family() -> None:
    with pytest.raises(ValueError, match=r"^unknown rule 'adamm'; did you mean 'adam', .*\? `ravine list` shows all$"):
        ravine.rule("adamm")


def test_an_article_goes_with_what_is_spoken() -> None:
    words = ("int", "list", "OrderedDict", "Adam", "uint8", "Tensor")
    assert [with_article(w) for w in words] == ["an int", "a list", "an OrderedDict", "an Adam", "a uint8", "a Tensor"]
