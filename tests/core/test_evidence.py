"""Every rule against independent evidence, and every small slip in every rule caught by it."""

from __future__ import annotations

import pytest

import ravine
from equivalents import EQUIVALENT
from evidence import Piece, caught, evidence
from ravine.trace.mutants import mutants, of_outputs

pytest.importorskip("torch")
pytest.importorskip("optax")

ALL = evidence()


@pytest.mark.parametrize("piece", ALL, ids=lambda e: f"{e.rule}-{e.source}")
def test_every_rule_agrees_with_the_evidence(piece: Piece) -> None:
    assert piece.agrees(ravine.rule(piece.rule))


def test_every_rule_has_evidence() -> None:
    assert set(ravine.rules()) <= {e.rule for e in ALL}


@pytest.mark.parametrize("name", sorted({e.rule for e in ALL}))
def test_every_slip_is_caught(name: str) -> None:
    pieces = [e for e in ALL if e.rule == name]
    survivors = {m.description for m in mutants(ravine.rule(name)) if not caught(m.rule, pieces)}
    assert survivors == {description for rule, description in EQUIVALENT if rule == name}


@pytest.mark.parametrize("name", sorted({e.rule for e in ALL}))
def test_a_rule_made_as_slips_are_made_is_not_caught(name: str) -> None:
    """So what catches a slip is the slip."""
    rule = ravine.rule(name)
    assert not caught(of_outputs(rule, rule.graph.outputs), [e for e in ALL if e.rule == name][:1])


def test_the_slips_are_of_every_kind() -> None:
    """A sign, one β for the other, a dropped correction, ε across the root, the old slot for the new, no update."""
    found = {m.description for m in mutants(ravine.rule("adam"))}
    root = "sqrt(add(mul(…, …), mul(…, …)))"
    assert {
        "in mul(beta2, v), beta2 → beta1",
        "in mul(beta2, v), v → m",
        "in power(beta1, t), t → add(t, 1)",
        "add(mul(beta1, m), mul(sub(…, …), g)) → sub(mul(beta1, m), mul(sub(…, …), g))",
        f"div(sqrt(add(…, …)), sqrt(sub(…, …))) → {root}",
        f"in {root}, add(mul(beta2, v), mul(mul(…, …), g)) → v",
        "add(div(sqrt(…), sqrt(…)), eps) → div(sqrt(add(…, …)), sqrt(sub(…, …)))",
        "the step: div(mul(neg(…), div(…, …)), add(div(…, …), eps)) → neg(div(mul(…, …), add(…, …)))",
        "m: add(mul(beta1, m), mul(sub(…, …), g)) → m",
    } <= found
    assert "sqrt(add(add(…, …), eps)) → add(sqrt(add(…, …)), eps)" in {
        m.description for m in mutants(ravine.rule("rmsprop"))
    }
