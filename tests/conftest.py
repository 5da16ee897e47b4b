"""What every test runs under: one thread for torch, as training does, and no configuration of the machine's user."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

import pytest

import ravine

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
# Machine code of the tests is not kept in their user's home; worker processes inherit the folder.
if "RAVINE_CACHE_DIR" not in os.environ:
    os.environ["RAVINE_CACHE_DIR"] = tempfile.mkdtemp(prefix="ravine-tests-")
    atexit.register(shutil.rmtree, os.environ["RAVINE_CACHE_DIR"], ignore_errors=True)


@pytest.fixture(autouse=True)
def _rules_of_one_test_are_not_seen_by_another() -> Iterator[None]:
    before = ravine.rules()
    yield
    registry = sys.modules["ravine.rule"]._registry  # the attribute ravine.rule is the function
    registry.clear()
    registry.update(before)
