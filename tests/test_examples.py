"""Every example runs, from a clean process, as its reader would run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ravine

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_a_rule_of_matrices_from_a_file_is_stepped_by_the_fused_engine() -> None:
    """And by the reference's bits; nothing but the file was written for it."""
    torch = pytest.importorskip("torch")
    recipe = ravine.recipe(ravine.rule(f"{EXAMPLES[0].parent / 'my_matrix_rule.py'}:row_sign"))
    params = [torch.nn.Parameter(torch.randn(shape)) for shape in ((32, 8), (32,))]
    optimizer = recipe.torch(params)
    own = [(p.detach().numpy().copy(), recipe.init(p.detach().numpy())) for p in params]
    for _ in range(3):
        for k, p in enumerate(params):
            p.grad = torch.randn_like(p)
            x, state = own[k]
            own[k] = recipe.update(p.grad.numpy(), state, x)
        optimizer.step()
        assert not optimizer._plans[0].rest
        for p, (x, state) in zip(params, own, strict=True):
            assert (p.detach().numpy() == x).all()
            assert (optimizer.state[p]["m"].numpy() == state.slots["m"]).all()
