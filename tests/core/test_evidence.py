"""Every rule against independent evidence, and every small slip in every rule caught by it."""

from __future__ import annotations

import pytest

import ravine
from evidence import EQUIVALENT, Evidence, caught, evidence
from ravine.trace.mutants import mutants
from recorded import Trace

pytest.importorskip("torch")
pytest.importorskip("optax")

ALL = evidence()


@pytest.mark.parametrize("piece", ALL, ids=lambda e: f"{e.rule}-{e.source}")
def test_every_rule_agrees_with_the_evidence(piece: Evidence | Trace) -> None:
    assert piece.agrees(ravine.rule(piece.rule))


def test_every_rule_has_evidence() -> None:
    assert set(ravine.rules()) <= {e.rule for e in ALL}


@pytest.mark.parametrize("name", sorted({e.rule for e in ALL}))
def test_every_slip_is_caught(name: str) -> None:
    pieces = [e for e in ALL if e.rule == name]
    survivors = {m.description for m in mutants(ravine.rule(name)) if not caught(m.rule, pieces)}
    assert survivors == {description for rule, description in EQUIVALENT if rule == name}
