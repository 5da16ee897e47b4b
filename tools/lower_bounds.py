"""Print the lowest version of everything that pyproject.toml names, as pip's constraints."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[.*\])?>=(?P<low>[0-9.]+)$")


def lower_bounds(pyproject: str) -> dict[str, str]:
    """Each package's least version, by name. Raises ValueError for a requirement that states none, or two."""
    project = tomllib.loads(pyproject)["project"]
    stated = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    bounds: dict[str, str] = {}
    for requirement in stated:
        if requirement.startswith(f"{project['name']}["):
            continue
        found = REQUIREMENT.match(requirement)
        if found is None:
            raise ValueError(f"{requirement!r} states no lower bound: write name>=version")
        name, low = found["name"], found["low"]
        if bounds.setdefault(name, low) != low:
            raise ValueError(f"{name} has two lower bounds, {bounds[name]} and {low}")
    return bounds


if __name__ == "__main__":
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    print("\n".join(f"{name}=={low}" for name, low in lower_bounds(text).items()))
