"""Install Ravine with some of its extras into the environment that runs this, with torch's CPU build if that will do.

On Linux the package index gives torch with some 5 GB of CUDA libraries. On a machine without a GPU they are of no use,
so torch alone is taken first from an index of its CPU builds; pip then finds it in place. Nothing changes where there
is a GPU, or where pip would take a CPU build anyway (macOS, Windows, an index or folder that has one).

Environment: GPU=1 takes what the package index has, GPU=0 the CPU build, whatever the machine has.
TORCH_CPU_INDEX is an index of CPU builds, such as a mirror's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
STOPPED = """\
{torch} for Python {python} comes here as a CUDA build only, about 5 GB with its libraries, and no GPU is to be seen.
No CPU build was found at {index}
Set one of these, and run the same command again:
  TORCH_CPU_INDEX=URL   an index that has CPU builds: a mirror of {default}
  GPU=1                 take the CUDA build all the same; it runs on the CPU too
  PYTHON=python3.x      another Python, for which pip may have a CPU build at hand"""


def main() -> int:
    """Install. The exit status is pip's, or 3 where only a CUDA build can be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("extras", help="as in dev or lab,jax")
    parser.add_argument("--constraint", type=Path, help="a file of versions; the newest where not given")
    options = parser.parse_args()
    pins = ["--constraint", str(options.constraint)] if options.constraint else []
    if not gpu_is_wanted():
        chosen = would_take(pins)
        if chosen is not None and is_cuda(chosen):
            index = os.environ.get("TORCH_CPU_INDEX") or CPU_INDEX
            of_index = [*pins, "--index-url", index]
            # One short try: where the index is out of reach, pip by itself would wait for minutes.
            found = would_take([*of_index, "--retries", "0", "--timeout", "10"])
            if found is None or is_cuda(found):
                torch = f"torch {chosen['metadata']['version']}"
                python = ".".join(platform.python_version_tuple()[:2])
                print(STOPPED.format(torch=torch, python=python, index=index, default=CPU_INDEX), file=sys.stderr)
                return 3
            status = pip("install", "--quiet", "--no-deps", *of_index, "torch").returncode
            if status:
                return status
    return pip("install", "--quiet", *pins, "--editable", f".[{options.extras}]").returncode


def gpu_is_wanted() -> bool:
    """Whether the machine has an NVIDIA GPU, or the user says so."""
    if said := os.environ.get("GPU"):
        return said != "0"
    return sees_gpu()


def sees_gpu() -> bool:
    """Whether there is an NVIDIA driver."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def would_take(arguments: list[str]) -> dict[str, Any] | None:
    """Pip's report on the torch that it would install, from its metadata alone; None if it has one, or finds none."""
    done = pip("install", "--quiet", "--dry-run", "--no-deps", "--report", "-", *arguments, "torch", capture=True)
    if done.returncode:
        return None
    installed: list[dict[str, Any]] = json.loads(done.stdout)["install"]
    return installed[0] if installed else None


def is_cuda(report: dict[str, Any]) -> bool:
    """Whether a build of torch asks for CUDA's libraries on this machine."""
    if sys.platform != "linux":
        return False
    needs = [n for n in report["metadata"].get("requires_dist", ()) if n.startswith(("nvidia-", "cuda-"))]
    return any(platform.machine() in n or "platform_machine" not in n for n in needs)


def pip(*arguments: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """Run this environment's pip. Its word on what it can't find is shown unless its output is captured."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, text=True, capture_output=capture, check=False)


if __name__ == "__main__":
    sys.exit(main())
