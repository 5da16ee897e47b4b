"""The written pages say what the code says, and every public name is documented."""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import ravine

ROOT = Path(__file__).parents[2]


def test_the_page_of_rules_is_current() -> None:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "tools" / "make_docs.py")
    assert spec
    assert spec.loader
    make_docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_docs)
    written = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    assert written == make_docs.page(), "run `make docs`"


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
