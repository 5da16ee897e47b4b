"""The short form of `make lab-null`: equals are not told apart, a planted difference is, on recorded real runs."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))
import lab_null

RECORDED = json.loads((BENCH / "results" / "lab_null.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(("k", "n", "comparisons"), [(2, 5, 100), (9, 5, 40), (9, 10, 40)])
def test_copies_are_not_separated_and_a_handicap_is(k, n, comparisons, shifted):
    """At most 5% of comparisons, and by luck not so many more; the planted one always but for one."""
    row = lab_null.real(lab_null.read(), k, n, comparisons, shifted)
    assert row["falsely"] <= 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / comparisons)
    assert row["planted"] >= 1 - 1 / comparisons


def test_points_that_stay_would_separate_an_optimizer_from_itself():
    row = lab_null.real(lab_null.read(), 2, 20, 60, shifted=True, turned=False)
    assert row["falsely"] > 0.2


def test_the_bank_holds_what_the_runs_give():
    bank, threads = json.loads(lab_null.BANK.read_text(encoding="utf-8")), torch.get_num_threads()
    try:
        i = int(np.nanargmin(lab_null.read().mean(axis=1)))
        settings = {**bank["settings"], "seeds": 2}
        assert lab_null.runs(**settings, rate=bank["rates"][i]) == pytest.approx(bank["losses"][i][:2], rel=0.01)
    finally:
        torch.set_num_threads(threads)


def test_what_is_recorded_is_good_and_whole():
    assert lab_null.is_good(RECORDED)
    kinds = {(r["kind"], r["k"], r["n"]) for r in RECORDED["made up"]}
    assert kinds == {(kind, k, n) for kind in lab_null.KINDS for k in (2, 9, 20) for n in (3, 5, 10, 20)}
    assert {r["ranges"] for r in RECORDED["real"] if r["of"] >= 50} >= {"equal", "shifted by a quarter of a decade"}
    made = {**RECORDED, "made up": [{**RECORDED["made up"][0], "low": 0.06}]}
    assert not lab_null.is_good(made)
