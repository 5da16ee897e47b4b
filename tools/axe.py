"""Fetch axe-core, which looks for faults of accessibility in a page, for the tests of the playground.

It comes from npm, by npm's own settings, into the environment that runs this: never into the project. Without npm, or
without a network, the tests that want it skip, and say so.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "axe-core@4.14.1"
FILE = "package/axe.min.js"


def main() -> int:
    """Put it where the tests look for it. The exit status is 0 where it can't be had, too."""
    target = Path(sys.prefix) / "share" / "axe-core" / "axe.min.js"
    npm = shutil.which("npm")
    if target.exists():
        return 0
    if npm is None:
        print("no npm here: the tests that want axe-core will skip")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [npm, "pack", PACKAGE, "--silent"], cwd=folder, capture_output=True, text=True, check=False, timeout=300
        )
        packed = list(Path(folder).glob("*.tgz"))
        if done.returncode or not packed:
            print(f"npm could not fetch {PACKAGE}: the tests that want it will skip")
            return 0
        with tarfile.open(packed[0]) as archive:
            script = archive.extractfile(FILE)
            assert script is not None
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(script.read())
    return 0


if __name__ == "__main__":
    sys.exit(main())
