"""Every rule against independent evidence, and every small slip in every rule caught by it."""

from __future__ import annotations

import pytest

import ravine
from evidence import Evidence, evidence
from ravine.trace.mutants import mutants

pytest.importorskip("torch")
pytest.importorskip("optax")

ALL = evidence()

EQUIVALENT = {
    ("adamax", "in abs(g), g → neg(g)"): "|−g| is |g|",
    ("momentum_torch", "in gt(t, 1), 1 → 1.125"): "t is a whole number, so t > 1.125 is t > 1",
}
"""Slips that compute the same function, so no test can catch them, with the reason."""


@pytest.mark.parametrize("piece", ALL, ids=lambda e: f"{e.rule}-{e.source}")
def test_every_rule_agrees_with_the_evidence(piece: Evidence) -> None:
    assert piece.agrees(ravine.rule(piece.rule))


def test_every_rule_has_evidence() -> None:
    assert set(ravine.rules()) <= {e.rule for e in ALL}


@pytest.mark.parametrize("name", sorted({e.rule for e in ALL}))
def test_every_slip_is_caught(name: str) -> None:
    pieces = [e for e in ALL if e.rule == name]
    survivors = {m.description for m in mutants(ravine.rule(name)) if not caught(m.rule, pieces)}
    assert survivors == {description for rule, description in EQUIVALENT if rule == name}


def caught(mutant: ravine.Rule, pieces: list[Evidence]) -> bool:
    try:
        return not all(e.agrees(mutant) for e in pieces)
    except (ZeroDivisionError, OverflowError, TypeError):
        return True  # a slip that can't even be computed, such as a negative number to a fractional power
