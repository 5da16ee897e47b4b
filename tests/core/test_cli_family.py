"""`ravine list` and `ravine explain`, and how the command line answers mistakes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

import ravine
from ravine.errors import install


def run(*args: str, cwd: Path | None = None, columns: int = 80) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ravine", *args]
    env = {**os.environ, "COLUMNS": str(columns)}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, check=False)


@pytest.mark.parametrize("columns", [32, 40, 64, 80, 120])
def test_list_names_every_rule(columns: int) -> None:
    out = run("list", columns=columns).stdout
    assert max(map(cell_len, out.splitlines())) <= columns
    assert all(name in out for name in ravine.rules())
    hyper = {f"{n}={h.default:g}" for rule in ravine.rules().values() for n, h in rule.hyperparameters.items()}
    assert all(default in out for default in hyper)  # none is cut off
    assert "…" not in out


@pytest.mark.parametrize("columns", [28, 44, 60, 80])
def test_explain_cuts_no_word(columns: int) -> None:
    for names in (["radam"], ["adam", "rmsprop_momentum"]):
        out = run("explain", *names, columns=columns).stdout
        assert "…" not in out
        words = {f"{h.default:g}" for name in names for h in ravine.rule(name).hyperparameters.values()}
        assert words <= set(out.replace("│", " ").split())


def test_explain_shows_equation_hyperparameters_state_paper_and_kin() -> None:
    out = run("explain", "adam").stdout
    for part in ("xₜ = xₜ₋₁ − lr·m̂ₜ / (√v̂ₜ + ε)", "beta1", "in [0, 1)", "8 bytes", "1412.6980", "adam_eps_hat"):
        assert part in out


def test_a_rule_from_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import ravine\n@ravine.rule\ndef mine(g, *, lr=0.5):\n    return -lr * g\n")
    assert "xₜ = xₜ₋₁ − lr·gₜ" in run("explain", "mine.py:mine", cwd=tmp_path).stdout


def test_the_words_of_a_rule_are_shown_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import ravine\n@ravine.rule(title='[red]T', paper='A [2] B [/x]')\n"
        "def mine(g, *, lr=0.5):\n    'Over [0, 1) and [/i] and [bold]b.'\n    return -lr * g\n"
    )
    out = run("explain", "mine.py:mine", cwd=tmp_path).stdout
    for part in ("[red]T (mine)", "Over [0, 1) and [/i] and [bold]b.", "A [2] B [/x]"):
        assert part in out


def test_a_mistake_in_a_rule_is_one_line_that_says_where(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import ravine\n@ravine.rule\ndef mine(g, *, lr=0.5):\n    return -lr * sqr(g)\n")
    done = run("explain", "mine.py:mine", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: rule mine, mine.py, line 4: NameError: name 'sqr' is not defined\n"


def test_the_version_is_told_also_where_nothing_is_installed() -> None:
    assert run("--version").stdout == f"ravine, version {ravine.__version__}\n"


def test_mistakes_get_one_line_and_a_status() -> None:
    for args, hint in {
        ("explain", "adamm"): "did you mean 'adam'",
        ("explan", "adam"): "Did you mean 'explain'",
        ("explain",): "Missing argument 'RULE'",
        ("list", "--wrong"): "No such option",
    }.items():
        done = run(*args)
        assert done.returncode == 2
        assert hint in done.stderr
        assert "Traceback" not in done.stderr


def test_a_file_that_cannot_be_written_is_named_without_error_numbers(tmp_path: Path) -> None:
    done = run("playground", "--no-open", "--out", "nowhere/page.html", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "Error: can't open 'nowhere/page.html': No such file or directory\n")


BLOCK = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in {"torch", "jax", "optax", "scipy", "matplotlib", "anywidget"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""


@pytest.mark.parametrize(
    ("use", "extra"),
    [
        ("import ravine.torch", "torch"),
        ("ravine.recipe('adam').torch([])", "torch"),
        ("ravine.recipe('adam').optax()", "jax"),
        ("ravine.minimize(abs, [1.0])", "scipy"),
        ("import ravine.playground.widget", "notebook"),
        ("from ravine.simulate.figures import look; look().__enter__()", "lab"),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(use: str, extra: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"{BLOCK}\nimport ravine\n{use}"], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].endswith(install(extra))


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["bench", "--shapes", "small"], "torch"),
        (["doctor", "torch.optim:Adam"], "torch"),
        (["compare", "digits"], "lab"),
        (["simulate", "accumulate", "--out", "a.gif"], "lab"),
    ],
)
def test_so_does_the_command_line(arguments: list[str], extra: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"{BLOCK}\nfrom ravine.cli import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.rstrip().endswith(install(extra))
    assert "Traceback" not in done.stderr
