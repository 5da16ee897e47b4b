"""What `make` does before there is anything to run: finding a Python, and torch's CPU build."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
CUDA = {"version": "2.13.0", "requires_dist": ["filelock", 'nvidia-cublas==13.1; platform_system == "Linux"']}
CPU = {"version": "2.13.0+cpu", "requires_dist": ["filelock"]}
CLEAN = {"GPU", "TORCH_CPU_INDEX"}


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("install", TOOLS / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in CLEAN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setattr(module, "sees_gpu", lambda: False)
    monkeypatch.setattr(module.sys, "argv", ["install.py", "lab", "--constraint", "pins.txt"])
    return module


def pip(called: list[tuple[str, ...]], configured: Any, cpu_index: Any) -> Any:
    """A pip that would take one torch from the configured index, and has another (or none) on that of CPU builds."""

    def run(*arguments: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
        called.append(arguments)
        found = cpu_index if "--index-url" in arguments else configured
        report = {"install": [] if found == "installed" else [{"metadata": found}]}
        return subprocess.CompletedProcess(
            arguments, 1 if found is None else 0, json.dumps(report) if capture else None
        )

    return run


def real(called: list[tuple[str, ...]]) -> list[list[str]]:
    """What was installed, without the questions."""
    return [list(a) for a in called if "--dry-run" not in a]


EVERYTHING = ["install", "--quiet", "--constraint", "pins.txt", "--editable", ".[lab]"]


@pytest.mark.parametrize("configured", [CPU, "installed"])
def test_a_torch_without_cuda_is_taken_as_it_is(install: Any, configured: Any, monkeypatch: Any) -> None:
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(install, "pip", pip(called, configured, None))
    assert install.main() == 0
    assert real(called) == [EVERYTHING]
    assert not any("--index-url" in a for a in called), "nobody was asked who need not be"


@pytest.mark.parametrize("index", [None, "https://mirror/cpu"])
def test_only_torch_comes_from_the_index_of_cpu_builds(install: Any, index: str | None, monkeypatch: Any) -> None:
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(install, "pip", pip(called, CUDA, CPU))
    if index:
        monkeypatch.setenv("TORCH_CPU_INDEX", index)
    assert install.main() == 0
    first, second = real(called)
    assert first[:3] == ["install", "--quiet", "--no-deps"]
    assert first[-3:] == ["--index-url", index or install.CPU_INDEX, "torch"]
    assert second == EVERYTHING


@pytest.mark.parametrize("cpu_index", [None, CUDA])
def test_cuda_is_not_pulled_in_silence(install: Any, cpu_index: Any, monkeypatch: Any, capsys: Any) -> None:
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(install, "pip", pip(called, CUDA, cpu_index))
    assert install.main() == 3
    assert real(called) == []
    told = capsys.readouterr().err
    for word in ("torch 2.13.0", "5 GB", "TORCH_CPU_INDEX=", "GPU=1", install.CPU_INDEX):
        assert word in told


@pytest.mark.parametrize(("said", "has_one", "takes_cuda"), [("1", False, True), ("0", True, False), ("", True, True)])
def test_a_gpu_lifts_it(install: Any, said: str, has_one: bool, takes_cuda: bool, monkeypatch: Any) -> None:
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(install, "pip", pip(called, CUDA, CPU))
    monkeypatch.setattr(install, "sees_gpu", lambda: has_one)
    monkeypatch.setenv("GPU", said)
    assert install.main() == 0
    assert (len(real(called)) == 1) is takes_cuda


def test_libraries_for_other_machines_do_not_count(install: Any, monkeypatch: Any) -> None:
    needs = ['nvidia-cublas==13; platform_system == "Linux" and platform_machine == "x86_64"']
    monkeypatch.setattr(install.platform, "machine", lambda: "aarch64")
    assert not install.is_cuda({"metadata": {"requires_dist": needs}})
    monkeypatch.setattr(install.platform, "machine", lambda: "x86_64")
    assert install.is_cuda({"metadata": {"requires_dist": needs}})
    monkeypatch.setattr(install.sys, "platform", "darwin")
    assert not install.is_cuda({"metadata": {"requires_dist": needs}})


def python(folder: Path, name: str, version: str, modules: bool = True) -> None:
    """A stand-in that answers what the script asks of a Python."""
    minor = version.partition(".")[2]
    file = folder / name
    answer = f"case $2 in *version_info*) echo {minor};; *venv*) exit {0 if modules else 1};; esac"
    file.write_text(f"#!/bin/sh\n{answer}\n", encoding="utf-8")
    file.chmod(0o755)


def found(folder: Path, *named: str) -> tuple[int, str, str]:
    done = subprocess.run(
        ["/bin/sh", str(TOOLS / "find_python.sh"), *named],
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.strip(), done.stderr


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_the_python_that_is_there_is_taken(tmp_path: Path) -> None:
    python(tmp_path, "python3", "3.10")
    python(tmp_path, "python3.12", "3.12")
    python(tmp_path, "python3.11", "3.11")
    assert found(tmp_path)[:2] == (0, "python3.12")
    python(tmp_path, "python3", "3.11")
    assert found(tmp_path)[:2] == (0, "python3")
    assert found(tmp_path, "python3.12")[:2] == (0, "python3.12")
    assert found(tmp_path, sys.executable)[:2] == (0, sys.executable)


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_what_is_missing_is_said(tmp_path: Path) -> None:
    status, output, told = found(tmp_path)
    assert (status, output) == (1, "")
    assert "No Python from 3.11 to 3.13" in told
    python(tmp_path, "python3", "3.11", modules=False)
    assert "apt install python3.11-venv" in found(tmp_path)[2]
    python(tmp_path, "python3.14", "3.14")
    assert found(tmp_path)[0] == 1, "not by itself"
    status, output, told = found(tmp_path, "python3.14")
    assert (status, output) == (0, "python3.14")
    assert "newer than any that the suite was run with" in told
    assert "python3.15 is not there, or does not run" in found(tmp_path, "python3.15")[2]
