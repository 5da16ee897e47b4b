"""What a step needs is imported when an optimizer is made: an import in a step garbles a profiler's stacks."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest


@pytest.mark.parametrize("how", ["made", "unpickled"])
def test_the_first_step_imports_nothing(how: str) -> None:
    program = f"""
        import io, pickle, sys, torch, ravine.torch
        p = torch.nn.Parameter(torch.ones(3))
        if {how == "made"}:
            optimizer = ravine.torch.Adam([p])
        else:
            optimizer = object.__new__(ravine.torch.Adam)
            optimizer.__setstate__(torch.optim.Adam([p]).__getstate__())
        p.grad = torch.ones(3)
        before = set(sys.modules)
        optimizer.step()
        print(sorted(set(sys.modules) - before))
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.stdout.strip() == "[]", ran.stdout + ran.stderr
