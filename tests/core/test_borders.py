"""The borders of the architecture, checked from the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ravine

SOURCE = Path(ravine.__file__).parent
HEAVY = {
    "torch",
    "jax",
    "optax",
    "llvmlite",
    "numba",
    "matplotlib",
    "sklearn",
    "scipy",
    "optuna",
    "keras",
    "tensorflow",
}
AVERAGES = ("simulate", "scenarios", "bias.py")
"""The scenario that shows the averages themselves, beside what an optimizer makes of them."""


def imports(file: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found = set()
    for n in nodes:
        if isinstance(n, ast.Import):
            found |= {a.name for a in n.names}
        elif isinstance(n, ast.ImportFrom) and n.module:
            found |= {n.module} | {f"{n.module}.{a.name}" for a in n.names}
    return found


def files(folder: str) -> list[Path]:
    return sorted((SOURCE / folder).rglob("*.py"))


@pytest.mark.parametrize("file", files("rules"), ids=lambda p: p.name)
def test_rules_import_only_the_declaration_mathematics_and_transforms(file: Path) -> None:
    allowed = {"ravine.math", "ravine.rule", "ravine.transforms"}
    assert {".".join(i.split(".")[:2]) for i in imports(file)} <= allowed


@pytest.mark.parametrize("file", files("engines"), ids=lambda p: p.name)
def test_engines_know_no_rule_by_name(file: Path) -> None:
    names = set(ravine.rules())
    strings = {n.value for n in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(n, ast.Constant)}
    assert not names & strings
    assert not any(
        i.startswith(("ravine.rules", "ravine.torch", "ravine.dialects", "ravine.lab")) for i in imports(file)
    )


@pytest.mark.parametrize("file", files("."), ids=lambda p: str(p.relative_to(SOURCE)))
def test_equations_are_nowhere_else(file: Path) -> None:
    """Only rules and transforms import the functions that equations are written with."""
    part = file.relative_to(SOURCE).parts
    if part[0] in ("rules", "transforms.py", "math.py") or part == AVERAGES:
        return
    assert not imports(file) & {"ravine.math.ema", "ravine.math.debias"}


@pytest.mark.parametrize("file", [f for f in files("lab") if "report" in str(f.relative_to(SOURCE))], ids=str)
def test_the_report_runs_nothing(file: Path) -> None:
    assert not {i.split(".")[0] for i in imports(file)} & {"torch", "jax"}
    assert not any("runner" in i or "worker" in i for i in imports(file))


def test_the_report_loads_nothing_that_could_run() -> None:
    """Whatever it imports, and whatever that imports."""
    script = "import sys, ravine.lab.report.html, ravine.lab.report.figures; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"ravine.lab.runner", "ravine.lab.pool", "ravine.lab.compare", "torch", "jax"} & set(loaded)


@pytest.mark.parametrize("module", ["ravine", "ravine.dialects.torch"])
def test_importing_ravine_imports_nothing_heavy(module: str) -> None:
    script = f"import sys, {module}; print(*{{m.partition('.')[0] for m in sys.modules}})"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert not HEAVY & set(out.split())


def test_no_rule_runs_at_import() -> None:
    """The family is loaded when it is first asked for."""
    script = "import sys, ravine; print([m for m in sys.modules if m.startswith('ravine.rules.')])"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
