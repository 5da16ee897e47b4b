"""torch's own tests of its optimizers, with Ravine's classes in torch's place: where do the results differ?

    python tools/torch_suite.py .torch-suite        (`make torch-suite`)

The tests come from Debian's source package of torch, in the version nearest to the installed torch that can be had, by
apt into the folder given, which is never committed. Each file is run twice, with torch's classes and with ours, and
the outcomes are compared test by test. A test that fails both ways, as one that is older or newer than the installed
torch may, says nothing and is counted. Exits 1 if any outcome differs. Needs apt-get and Debian's keys.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

FILES = {
    "test_optim.py": "",  # also the learning rate schedulers', averaging's and differentiable optimizers' tests
    "optim/test_swap_in_optimizer_state.py": "",  # traced on swapped-in parameters and state; since torch 2.14
    "test_stateless.py": "",
    "test_functional_optim.py": "",
    "test_torch.py": "grad_scal or optim",
    "test_autograd.py": "optim",
    "test_nn.py": "optim",
    "test_serialization.py": "optim",
    "test_subclass.py": "optim",
    "profiler/test_profiler.py": "optim",
    "profiler/test_memory_profiler.py": "optim or sgd or adam",
    "distributed/optim/test_apply_optimizer_in_backward.py": "",
    "distributed/optim/test_named_optimizer.py": "",
}
"""The files of torch's folder test/ that are run, and the part of each (pytest's -k) that steps an optimizer."""

SIDES = ("torch", "ravine")
SUITES = ("bookworm", "trixie", "sid", "experimental")
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"

Outcomes = dict[str, tuple[str, str]]
"""(outcome, first line of the reason) by test."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the tests are downloaded to")
    parser.add_argument("--only", default="", help="the files whose name contains this")
    arguments = parser.parse_args()
    tests = downloaded(arguments.folder.absolute())
    return report({name: compared(tests, name, chosen) for name, chosen in FILES.items() if arguments.only in name})


def downloaded(folder: Path) -> Path:
    """The folder test/ of torch's sources, fetched if it isn't there yet."""
    if found := sorted(folder.glob("*/test/test_optim.py")):
        return found[-1].parent
    apt, sources = folder / "apt", folder / "sources"
    for place in (apt / "lists" / "partial", apt / "archives" / "partial", sources):
        place.mkdir(parents=True, exist_ok=True)
    mirror = f"deb-src [signed-by={KEYS}] http://deb.debian.org/debian"
    (apt / "sources.list").write_text("".join(f"{mirror} {suite} main\n" for suite in SUITES))
    settings = {"Dir::Etc::SourceList": apt / "sources.list", "Dir::Etc::SourceParts": "/dev/null"}
    settings |= {"Dir::State::Lists": apt / "lists", "Dir::Cache": apt, "APT::Sandbox::User": "root"}
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    subprocess.run(["apt-get", *options, "-q", "update"], check=True)
    listed = subprocess.run(["apt-cache", *options, "madison", "pytorch"], check=True, capture_output=True, text=True)
    versions = {line.split("|")[1].strip() for line in listed.stdout.splitlines() if line.endswith("Sources")}
    for version in sorted(versions, key=_distance):
        command = ["apt-get", *options, "-q", "source", "--download-only", f"pytorch={version}"]
        if subprocess.run(command, cwd=sources, check=False).returncode:
            print(f"pytorch {version} can't be had", file=sys.stderr)
            continue
        (archive,) = sources.glob("*.orig.tar.*")
        with tarfile.open(archive) as tar:
            members = [m for m in tar if m.name.split("/")[1:2] == ["test"] and m.name.endswith(".py")]
            tar.extractall(folder, members, filter="data")
        return downloaded(folder)
    raise SystemExit("no version of Debian's source package pytorch can be had")


def _distance(version: str) -> tuple[int, ...]:
    """How far a version of the package is from the installed torch."""
    from importlib.metadata import version as installed

    theirs, ours = ([int(n) for n in v.partition("+")[0].split(".")[:2]] for v in (version, installed("torch")))
    return tuple(abs(a - b) for a, b in zip(theirs, ours, strict=True))


def compared(tests: Path, name: str, chosen: str) -> dict[str, Outcomes]:
    """What one file's tests do on each side; nothing where this version of the sources hasn't got the file."""
    found: dict[str, Outcomes] = {side: {} for side in SIDES}
    if not (tests / name).exists():
        print(f"{name}: not in these sources")
        return found
    for side in SIDES:
        results = tests.parent / f"{name.replace('/', '-')}-{side}.xml"
        results.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-p", "torch_suite", "-q", "-n", "2", "--dist", "worksteal"]
        command += [
            "-p",
            "no:cacheprovider",
            "--noconftest",
            f"--junitxml={results}",
            name,
            *(["-k", chosen] if chosen else []),
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAVINE_TORCH_SUITE": side}
        environment["PYTHONPATH"] = f"{Path(__file__).parent}{os.pathsep}{tests}"
        with (tests.parent / f"{results.stem}.log").open("w") as log:
            subprocess.run(command, cwd=tests, env=environment, stdout=log, stderr=log, check=False)
        found[side] = outcomes(results)
        print(f"{name} with {side}'s classes: {_counts(found[side])}", flush=True)
    return found


def outcomes(results: Path) -> Outcomes:
    """What pytest wrote down of a run."""
    if not results.exists():
        return {}
    found: Outcomes = {}
    for case in ElementTree.parse(results).iter("testcase"):
        what = next((c for c in case if c.tag in ("failure", "error", "skipped")), None)
        reason = "" if what is None else (what.get("message") or "").partition("\n")[0]
        found[f"{case.get('classname')}.{case.get('name')}"] = ("passed" if what is None else what.tag, reason)
    return found


def _counts(found: Outcomes) -> str:
    counted = Counter(outcome for outcome, _ in found.values())
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(counted.items())) or "no test was run"


def report(files: dict[str, dict[str, Outcomes]]) -> int:
    """Print where the sides differ. Returns the number to exit with."""
    differing, compared_tests, both = 0, 0, 0
    for name, sides in files.items():
        theirs, ours = (sides[side] for side in SIDES)
        for test in sorted({*theirs, *ours}):
            a, b = (found.get(test, ("not run", "")) for found in (theirs, ours))
            compared_tests += 1
            both += a[0] == b[0] != "passed" and a[0] != "skipped"
            if a[0] != b[0]:
                differing += 1
                print(f"DIFFERS {name} {test}: torch's {' '.join(a)}; ours {' '.join(b)}")
    print(f"{compared_tests} tests, {both} of which fail both ways; {differing} differ")
    return 1 if differing or not compared_tests else 0


def pytest_configure() -> None:
    """As a plug-in of pytest: put our classes in torch's place, before tests or torch's own helpers are imported."""
    if os.environ.get("RAVINE_TORCH_SUITE") != "ravine":
        return
    import torch

    import ravine.torch

    for name in ("SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "AdamW", "NAdam", "RAdam", "Adamax"):
        ours = getattr(ravine.torch, name)
        setattr(torch.optim, name, ours)
        setattr(sys.modules[f"torch.optim.{name.lower()}"], name, ours)


if __name__ == "__main__":
    sys.exit(main())
