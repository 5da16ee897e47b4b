"""The borders of the architecture, checked from the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Mapping
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
DOORS = {("ravine.recipe", front) for front in ("ravine.torch", "ravine.optax", "ravine.dialects.rewrite")}
"""A recipe's methods open the front ends, and those take recipes: the one circle that is meant."""
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
    allowed = {"ravine.math", "ravine.registry", "ravine.hyperparameter", "ravine.transforms", "ravine.rules"}
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


def modules() -> dict[str, Path]:
    names = {".".join(f.relative_to(SOURCE.parent).with_suffix("").parts): f for f in files(".")}
    return {name.removesuffix(".__init__"): file for name, file in names.items()}


def run_imports(file: Path, known: Iterable[str]) -> set[str]:
    """Ravine's modules that a file imports when it runs, anywhere in it: not for types alone."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for n in ast.walk(tree):
        if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test):
            n.body = []
    found = set()
    for n in ast.walk(tree):
        if isinstance(n, ast.Import):
            found |= {a.name for a in n.names}
        elif isinstance(n, ast.ImportFrom):
            submodules = {f"{n.module}.{a.name}" for a in n.names} & set(known)
            found |= submodules | ({str(n.module)} if len(submodules) < len(n.names) else set())
    return found & set(known)


def circles(edges: Mapping[str, set[str]]) -> list[set[str]]:
    """Sets of modules each of which imports, by way of others, every other one of its set (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in edges[module]:
            if other not in index:
                visit(other)
            if other in stack:
                low[module] = min(low[module], low[other])
        if low[module] == index[module]:
            at = stack.index(module)
            found.append(set(stack[at:]))
            del stack[at:]

    for module in edges:
        if module not in index:
            visit(module)
    return [circle for circle in found if len(circle) > 1]


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Neither when they are loaded nor later, inside a function."""
    known = modules()
    edges = {name: run_imports(file, known) - {name} for name, file in known.items()}
    assert {(name, other) for name, others in edges.items() for other in others} >= DOORS
    edges = {name: {other for other in others if (name, other) not in DOORS} for name, others in edges.items()}
    assert [sorted(circle) for circle in circles(edges)] == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]
