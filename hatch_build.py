"""What the package says of where it comes from: the project's address, and a README whose links work everywhere.

The address is the build's, so that a fork's package points at the fork: REPOSITORY_URL, which the release workflow
sets. Without it the package names no address, and the README's links stay as they are.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<path>(?![a-z]+:|#)[^)\s]+)\)")


class Address(MetadataHookInterface):
    """Fills in `readme` and `urls`."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        if address := os.environ.get("REPOSITORY_URL", "").rstrip("/"):
            text = absolute(text, address, f"v{metadata['version']}")
            metadata["urls"] = {
                "Homepage": address,
                "Documentation": f"{address}/tree/HEAD/docs",
                "Changelog": f"{address}/blob/HEAD/CHANGELOG.md",
                "Issues": f"{address}/issues",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def absolute(text: str, address: str, tag: str) -> str:
    """Markdown whose relative links and images lead to a repository as it was at a tag."""

    def link(found: re.Match[str]) -> str:
        way = "raw" if found["image"] else "blob"
        return f"{found['image']}[{found['text']}]({address}/{way}/{tag}/{found['path']})"

    return LINK.sub(link, text)
