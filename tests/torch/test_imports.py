"""What an optimizer needs is imported with it: an import in its making or its step garbles a profiler's stacks."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest


@pytest.mark.parametrize("how", ["made", "unpickled"])
def test_neither_making_nor_the_first_step_imports_anything(how: str) -> None:
    program = f"""
        import io, pickle, sys, torch, ravine.torch
        p = torch.nn.Parameter(torch.ones(3))
        torch.optim.Adam([p])  # torch imports a hundred modules of its own for that
        before = set(sys.modules)
        if {how == "made"}:
            optimizer = ravine.torch.Adam([p])
        else:
            optimizer = object.__new__(ravine.torch.Adam)
            optimizer.__setstate__(torch.optim.Adam([p]).__getstate__())
        p.grad = torch.ones(3)
        optimizer.step()
        print(sorted(set(sys.modules) - before))
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.stdout.strip() == "[]", ran.stdout + ran.stderr


def test_a_profiler_that_sees_an_optimizer_made_has_whole_names() -> None:
    """In a process of its own: what is imported once is imported."""
    program = """
        import torch, ravine.torch
        p = torch.nn.Parameter(torch.ones(3))
        p.grad = torch.ones(3)
        with torch.profiler.profile():
            torch.optim.Adam([p]).step()  # torch imports modules of its own in its first step
        with torch.profiler.profile(with_stack=True) as profile:
            ravine.torch.Adam([p]).step()
        events = list(profile.profiler.kineto_results.experimental_event_tree())
        while events:
            event = events.pop()
            event.name  # raises for a name that is garbled
            events += event.children
        print("whole")
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.stdout.strip() == "whole", ran.stdout + ran.stderr


def test_a_torch_that_is_too_old_is_named_in_one_line() -> None:
    program = """
        import sys, torch
        del torch.optim.Muon  # as before 2.9
        from ravine.cli import main
        sys.argv = ["ravine", "compare", "digits", "--optimizers", "adam"]
        main()
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode != 0
    assert "needs torch 2.9 or newer" in ran.stderr
    assert "Traceback" not in ran.stderr
