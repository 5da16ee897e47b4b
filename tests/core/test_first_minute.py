"""What a newcomer meets: output that a terminal can't hold, packages that are not there, the package's metadata."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

import ravine
from ravine import errors
from ravine.cli.encoding import spell

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTION = {"sklearn": "scikit-learn", "imageio_ffmpeg": "imageio-ffmpeg"}
BROUGHT_ALONG = {"PIL": "matplotlib", "traitlets": "anywidget"}
"""Packages that come with another for good, being part of its interface."""
USED_IF_THERE = {"transformers"}
"""Packages that help where they are, and that nobody is told to install."""


def tool(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*arguments: str, without: tuple[str, ...] = (), cwd: Path | None = None, **environment: str):
    """The command line in a process of its own, where some packages are not to be found."""
    code = f"import sys; sys.modules.update(dict.fromkeys({without!r})); from ravine.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, cwd=cwd, env={**os.environ, **environment}, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437"])
@pytest.mark.parametrize("arguments", [("explain", "adam"), ("simulate", "accumulate"), ("simulate", "surfaces")])
def test_an_encoding_that_lacks_characters_does_not_abort(encoding: str, arguments: tuple[str, ...]) -> None:
    status, output, told = run(*arguments, PYTHONIOENCODING=encoding)
    assert (status, told) == (0, b"")
    assert "?" not in output.decode(encoding)


def test_an_equation_can_still_be_read_in_ascii() -> None:
    _, output, _ = run("explain", "adam", PYTHONIOENCODING="ascii")
    assert "v_t = beta_2*v_t-1 + (1 - beta_2)*g_t^2" in output.decode("ascii")
    assert "x_t = x_t-1 - lr*m_hat_t / (sqrt v_hat_t + epsilon)" in output.decode("ascii")


def test_an_error_is_told_in_any_encoding() -> None:
    status, _, told = run("explain", "β", PYTHONIOENCODING="ascii")
    assert status == 2
    assert told.startswith(b"Error: unknown rule 'beta'")


def test_spelling_is_for_what_cannot_be_written_only() -> None:
    with pytest.raises(UnicodeDecodeError):
        spell(UnicodeDecodeError("ascii", b"\xff", 0, 1, "ordinal not in range"))


@pytest.mark.parametrize(
    ("arguments", "without", "told", "extra"),
    [
        (["worker", "--storage", "sqlite:///x.db"], ("optuna",), "ravine worker needs optuna", "lab"),
        (["worker", "--storage", "sqlite:///x.db"], ("torch",), "ravine worker needs torch", "lab"),
        (["compare", "digits"], ("torch",), "ravine compare needs torch", "lab"),
        (["compare", "mine.py"], ("torch",), "ravine compare needs torch", "lab"),
        (["compare", "--parquet"], ("pyarrow",), "--parquet needs pyarrow", "parquet"),
        (["compare", "--tensorboard"], ("tensorboard",), "--tensorboard needs tensorboard", "tensorboard"),
        (["compare", "--on", "tcp://h:1"], ("distributed",), "--on needs distributed", "cluster"),
        (["compare", "--storage", "postgresql://h/d"], ("psycopg",), "PostgreSQL needs psycopg", "postgresql"),
        (["doctor", "torch.optim:Adam"], ("torch",), "this command needs torch", "torch"),
        (["simulate", "accumulate", "--out", "x.png"], ("matplotlib",), "a picture needs matplotlib", "lab"),
        (["simulate", "accumulate", "--out", "x.mp4"], ("imageio_ffmpeg",), ".mp4 needs imageio_ffmpeg", "film"),
    ],
)
def test_a_missing_package_is_one_line_before_the_work(arguments, without, told, extra, tmp_path) -> None:
    (tmp_path / "mine.py").write_text("import torch\n")
    status, output, error = run(*arguments, without=without, cwd=tmp_path, PATH=str(tmp_path))
    text = error.decode()
    assert status == 2
    assert output == b""
    assert told in text
    assert text.rstrip().endswith(f"install -e '{ROOT}[{extra}]'")
    assert text.count("\n") == 1
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["mine.py"]


@pytest.mark.parametrize(
    ("origin", "source"),
    [
        (None, "'ravine[lab]'"),
        ({"url": "file:///somewhere/ravine-1-py3-none-any.whl"}, "'ravine[lab] @ file:///somewhere/ravine-1-py3-none-any.whl'"),
        ({"url": "https://host/ravine", "vcs_info": {"vcs": "git"}}, "'ravine[lab] @ git+https://host/ravine'"),
    ],
)  # fmt: skip
def test_the_hint_names_where_ravine_came_from(origin, source, tmp_path, monkeypatch) -> None:
    text = None if origin is None else json.dumps(origin)
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "lib" / "ravine" / "errors.py"))
    monkeypatch.setattr(metadata, "distribution", lambda name: SimpleNamespace(read_text=lambda file: text))
    assert errors.install("lab").endswith(f" install {source}")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert errors.install("lab").startswith(f"{sys.executable} -m pip")


def test_every_package_that_is_imported_is_named() -> None:
    core = {requirement.partition(">")[0] for requirement in PROJECT["dependencies"]}
    imported = set()
    for file in (ROOT / "src" / "ravine").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    optional = imported - set(sys.stdlib_module_names) - core - {"ravine"} - USED_IF_THERE
    assert optional <= set(errors.EXTRAS), "ravine.errors.EXTRAS says which extra brings a package"
    for package in optional - set(BROUGHT_ALONG):
        wanted = DISTRIBUTION.get(package, package)
        extra = PROJECT["optional-dependencies"][errors.EXTRAS[package]]
        assert any(requirement.partition(">")[0].partition("[")[0] == wanted for requirement in extra), package


def test_every_requirement_states_one_lower_bound_that_the_pins_respect() -> None:
    bounds = tool("lower_bounds").lower_bounds((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line and not line.startswith("#")
    )
    assert set(bounds) <= set(pins)
    for name, low in bounds.items():
        assert _numbers(low) <= _numbers(pins[name]), name
    with pytest.raises(ValueError, match="states no lower bound"):
        tool("lower_bounds").lower_bounds(
            '[project]\nname="x"\ndependencies=["numpy"]\n[project.optional-dependencies]\n'
        )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_the_readme_of_the_package_links_to_the_repository() -> None:
    sys.modules.setdefault("hatchling.metadata.plugin.interface", SimpleNamespace(MetadataHookInterface=object))
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    text = hook.absolute((ROOT / "README.md").read_text(encoding="utf-8"), "https://host/me/ravine", "v1")
    assert "](docs/" not in text
    assert "![Optimizers race" in text
    assert "](https://host/me/ravine/raw/v1/docs/gallery/" in text
    assert "](https://host/me/ravine/blob/v1/docs/rules.md)" in text
    kept = "[a](https://x/y) [b](#c) [d](mailto:e@f)"
    assert hook.absolute(kept, "https://host", "v1") == kept


def test_the_version_is_written_once() -> None:
    assert "version" in PROJECT["dynamic"]
    assert metadata.version("ravine") == ravine.__version__
