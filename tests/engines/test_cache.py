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
    optimised = jit.optimised

    def counting(text: str, *given: object) -> object:
        made.append(text)
        return optimised(text, *given)

    monkeypatch.setattr(jit, "optimised", counting)
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
        "import ctypes; from ravine.engines.fused import jit; jit.optimised = None\n"
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


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("below a file", "Not a directory"),
        ("a link", "is a symbolic link"),
        ("writable by the group", "is writable by others (mode 775)"),
        ("relative", "is no absolute path"),
        ("of nobody known", "home directory"),
        ("a null byte", "embedded null "),
        ("a surrogate", "surrogates not allowed"),
    ],
)
def test_a_folder_that_cannot_be_used_fails_nothing_and_is_named_once(
    how: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cache, "_said", set())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o775)
    places = {"below a file": "file/below", "a link": "link", "writable by the group": "shared"}
    places |= {"a null byte": "a\0b", "a surrogate": "\ud800"}
    chosen = {"relative": "here", "of nobody known": "~nobody-of-that-name/kernels"}
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(
        os, "environ", {**os.environ, "RAVINE_CACHE_DIR": chosen.get(how) or str(tmp_path / places[how])}
    )
    for _ in range(2):
        assert answer() == 42
    (line,) = caplog.messages
    assert says in line
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("home", [None, "", "relative", "/proc/none"])
def test_a_process_without_a_home_steps(home: str | None, tmp_path: Path) -> None:
    """As in a container that runs under a user id that has no name."""
    script = (
        "import ctypes, os, platformdirs.unix, llvmlite.binding; from ravine.engines.fused import jit\n"
        "if os.geteuid() == 0: os.setresuid(54321, 54321, 54321)\n"
        f"compiled = jit.compile_source({SOURCE!r})\nprint(compiled.function('answer', ctypes.c_int64)())"
    )
    hidden = ("RAVINE_CACHE_DIR", "HOME", "XDG_CACHE_HOME")
    environment = {k: v for k, v in os.environ.items() if k not in hidden} | ({} if home is None else {"HOME": home})
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.stdout.strip() == "42", done.stderr
    assert done.stderr.count("not kept on disk") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_relative_xdg_folder_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cache, "_said", set())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAVINE_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert answer() == 42
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("error", [RuntimeError, KeyError, ValueError, ImportError, MemoryError, OSError])
def test_no_error_of_the_cache_fails_a_compilation(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Path:
        raise error("no home")

    monkeypatch.setattr(cache, "folder", fail)
    assert answer() == 42


def test_the_key_has_the_passes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer()
    monkeypatch.setitem(jit.PASSES, "slp_vectorization", False)
    answer()
    monkeypatch.setattr(jit, "OPTIMISE", 2)
    answer()
    assert len(list(folder.iterdir())) == 3


def test_another_source_or_compiler_has_another_name() -> None:
    assert cache.key("a", "b") != cache.key("ab", "") != cache.key("a", "c")
