"""Machine code on disk: used by the next process, and never trusted when anything is wrong."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ravine.engines.fused import cache, jit

SOURCE = "define i64 @answer() {\n  ret i64 42\n}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAVINE_CACHE_DIR", str(tmp_path / "kernels"))
    return tmp_path / "kernels"


def answer() -> int:
    compiled = jit.compile_source(SOURCE)  # the code lives as long as this
    return int(compiled.function("answer", ctypes.c_int64)())


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []
    optimised = jit._optimised

    def counting(text: str, machine: object) -> object:
        made.append(text)
        return optimised(text, machine)

    monkeypatch.setattr(jit, "_optimised", counting)
    return made


def test_what_is_compiled_is_kept_for_its_owner_alone(folder: Path, compilations: list[str]) -> None:
    assert answer() == 42
    assert answer() == 42
    assert len(compilations) == 1
    (file,) = folder.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


def test_another_process_does_not_compile(folder: Path) -> None:
    answer()
    (file,) = folder.iterdir()
    before = file.stat().st_mtime_ns, file.stat().st_ino
    script = (
        "import ctypes; from ravine.engines.fused import jit; jit._optimised = None\n"
        f"compiled = jit.compile_source({SOURCE!r})\nprint(compiled.function('answer', ctypes.c_int64)())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "42"
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == before


def spoil(file: Path, how: str) -> None:
    content = file.read_bytes()
    if how == "one bit":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif how == "cut short":
        file.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "writable by others":
        file.chmod(0o622)
    elif how == "folder writable by others":
        file.parent.chmod(0o777)
    elif how == "a link":
        other = file.parent.with_name("elsewhere")
        file.rename(other)
        file.symlink_to(other)
    else:
        if os.geteuid() != 0:
            pytest.skip("only root can give a file away")
        os.chown(file, 12345, -1)


@pytest.mark.parametrize(
    "how",
    ["one bit", "cut short", "empty", "writable by others", "folder writable by others", "a link", "somebody else's"],
)
def test_what_is_damaged_or_foreign_is_compiled_again(folder: Path, compilations: list[str], how: str) -> None:
    answer()
    (file,) = folder.iterdir()
    spoil(file, how)
    assert cache.read(file.name) is None
    assert answer() == 42
    assert len(compilations) == 2


def test_a_home_that_cannot_be_written_to_still_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RAVINE_CACHE_DIR", str(tmp_path / "file" / "below"))
    assert answer() == 42


def test_another_source_or_compiler_has_another_name() -> None:
    assert cache.key("a", "b") != cache.key("ab", "") != cache.key("a", "c")
