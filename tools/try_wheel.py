"""Install the wheel of a folder, without extras, into an empty environment, and use it as somebody with nothing else.

Prints what the installation weighs. Exits with status 1 at the first thing that does not work.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

COMMANDS = (
    ("--version",),
    ("list",),
    ("explain", "adam"),
    ("simulate", "accumulate"),
    ("playground", "--no-open", "--out", "playground.html"),
)
LIBRARY = """
import numpy as np
import ravine

adam = ravine.recipe("adam", lr=0.1)
x, state = np.ones(1000, np.float32), None
state = adam.init(x)
for _ in range(3):
    x, state = adam.update(2 * x, state, x)
assert abs(x[0] - 0.7) < 0.01, x[0]

y = np.ones(1000, np.float32)
state = adam.init(y)
for _ in range(3):
    state = adam.update_(2 * y, state, y)
assert np.array_equal(x, y), "the kernel and the reference differ"
"""
NEEDS_MORE = (("compare", "digits"), ("bench",), ("doctor", "torch.optim:Adam"), ("worker", "--storage", "sqlite:///x"))


def main(wheel: Path) -> None:
    """Try it."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        venv.create(home / "env", with_pip=True)
        scripts = home / "env" / ("Scripts" if sys.platform == "win32" else "bin")
        before = weight(home / "env")
        run(
            [scripts / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel.resolve()],
            home,
        )
        for command in COMMANDS:
            run([scripts / "ravine", *command], home)
        run([scripts / "python", "-W", "error", "-c", LIBRARY], home)
        for command in NEEDS_MORE:
            told = run([scripts / "ravine", *command], home, status=2)
            if "which is not installed" not in told or told.count("\n") != 1:
                sys.exit(f"ravine {' '.join(command)} should say in a line what it needs, and says:\n{told}")
        installed = subprocess.check_output([scripts / "python", "-m", "pip", "list", "--format", "freeze"], text=True)
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB; works in an empty environment")
        print(f"pip install {wheel.name} adds {(weight(home / 'env') - before) / 1e6:.0f} MB:")
        print("  " + ", ".join(line for line in installed.split() if not line.startswith(("pip=", "setuptools="))))


def run(command: list[str | Path], folder: Path, status: int = 0) -> str:
    """Run a command, and return what it wrote to stderr; another status than this ends the trial."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != status:
        sys.exit(f"{' '.join(map(str, command))} ended with status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stderr


def weight(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


if __name__ == "__main__":
    (built,) = Path(sys.argv[1]).glob("*.whl")
    main(built)
