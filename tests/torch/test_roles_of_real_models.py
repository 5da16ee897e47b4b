"""Roles of transformers' models, built without weights, against what `make check-roles` recorded."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", reason="needs transformers")

from ravine import recipe, recipes
from ravine.torch import roles

RECORDED = json.loads((Path(__file__).parents[1] / "recorded" / "roles.json").read_text(encoding="utf-8"))
SAMPLE = {
    "gpt2": "AutoModelForCausalLM",
    "gpt_oss": "AutoModelForCausalLM",
    "mamba": "AutoModelForCausalLM",
    "bert": "AutoModelForMaskedLM",
    "xlm-roberta": "AutoModelForMaskedLM",
    "vit": "AutoModelForImageClassification",
}


def built(name: str) -> Any:
    with torch.device("meta"):
        return getattr(transformers, SAMPLE[name]).from_config(transformers.AutoConfig.for_model(name))


def test_the_record_has_many_architectures_and_no_problem() -> None:
    assert len(RECORDED) >= 70
    assert not any(about["problems"] for about in RECORDED.values())


@pytest.mark.parametrize("name", SAMPLE)
def test_roles_are_what_was_recorded(name: str) -> None:
    found, about = roles(built(name)), RECORDED[f"transformers {name}"]
    assert Counter(p.role for p in found.values()) == about["roles"]
    assert [p.name for p in found.values() if p.role == "head"] == about["heads"]
    assert [p.name for p in found.values() if p.also and p.role == "embedding"] == about["tied"]
    assert sum(bool(p.parts) for p in found.values()) == about["fused"]
    assert sum(p.matrices > 1 for p in found.values()) == about["experts"]
    assert found.depths == about["depths"]


def test_every_parameter_of_a_real_model_gets_one_recipe() -> None:
    model = built("gpt_oss")
    assigned = recipes(hidden=recipe("lion"), rest=recipe("adamw")).assign(model, no_decay=True)
    assert {id(a.place.tensor) for a in assigned.assigned} == {id(p) for p in model.parameters()}
    assert sum(g["recipe"].rule.name == "lion" for g in assigned.groups()) == 1
