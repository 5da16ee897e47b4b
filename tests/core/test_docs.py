"""The written pages say what the code says, and every public name is documented."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import ravine
from ravine.cli import group
from ravine.userfile import load

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"(?:^|`)ravine ([a-z][^`#\n]*[^`#\s])", README, re.MULTILINE)))


def test_the_page_of_rules_is_current() -> None:
    written = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    assert written == load(ROOT / "tools" / "make_docs.py").page(), "run `make docs`"


def test_the_stub_for_type_checkers_is_current() -> None:
    torch = pytest.importorskip("torch")
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    if f"\ntorch=={torch.__version__.partition('+')[0]}\n" not in pins:
        pytest.skip("the stub follows the signatures of the torch that constraints.txt names")
    stub = load(ROOT / "tools" / "torch_stub.py")
    assert stub.FILE.read_text(encoding="utf-8") == stub.text(), "run `make docs`"


@pytest.mark.parametrize("name", ravine.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    value = getattr(ravine, name)
    assert inspect.getdoc(value)
    if inspect.isclass(value):
        for key, member in vars(value).items():
            if not key.startswith("_") and inspect.isfunction(member):
                assert inspect.getdoc(member), f"{name}.{key}"


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/*.md")), ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if not (page.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("line", COMMANDS)
def test_the_readme_shows_commands_that_exist(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    snippet = re.search(r"```python\n(import ravine\n.*?)\n\n\noptimizer", README, re.DOTALL)
    assert snippet
    (tmp_path / "mine.py").write_text(snippet[1], encoding="utf-8")
    name, *arguments = shlex.split(line)
    if name == "explain":
        done = CliRunner().invoke(group, [name, *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    else:  # takes long, or opens a browser: its arguments are read, and it is not run
        context = click.Context(group)
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            command = command.get_command(context, arguments.pop(0))
        assert command is not None
        command.make_context(name, arguments, parent=context)
