"""Examining a class in a process of its own, so that no crash, hang or output of it reaches anything else."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import IO, Any

import torch

from ravine.doctor.report import Finding, Report, Verdict


@dataclass(frozen=True)
class Case:
    """What is to be examined, in the user's own words: values are texts for `references.value` to read."""

    reference: str
    options: Mapping[str, str] = field(default_factory=dict)
    group: Mapping[str, str] = field(default_factory=dict)
    factory: bool = False


class Late(Exception):  # noqa: N818 - what happened, no error of ours
    """The time is up."""


def examine_apart(
    case: Case, checks: Sequence[str], timeout: float, progress: Callable[[str], None] = lambda check: None
) -> Report:
    """The report on a class by these checks, within `timeout` seconds.

    A check during which the process dies has failed. One that takes half of the time that is left is undecided. The
    others go on in a new process. `progress` is called with the name of each check that begins.
    """
    found: dict[str, Finding] = {}
    end = time.monotonic() + timeout
    error: str | None = None
    while error is None and (left := [c for c in checks if c not in found]):
        now: str | None = None
        until = end
        with _worker(case, left) as (lines, ended):
            try:
                while (message := _next(lines, until)) is not None:
                    if "begun" in message:
                        now = message["begun"]
                        until = (time.monotonic() + end) / 2
                        progress(message["begun"])
                    elif "finding" in message:
                        check, verdict, evidence = message["finding"].values()
                        found[check] = Finding(check, Verdict(verdict), evidence)
                        now, until = None, end
                    else:
                        error = message["error"]
                if now is not None:
                    found[now] = Finding(now, Verdict.FAIL, f"the process {ended()}")
                elif error is None and len(found) < len(checks):
                    error = f"the process {ended()}"
            except Late:
                if now is None:
                    reason = f"the {timeout:g} s for this class were over"
                    found.update({c: Finding(c, Verdict.UNDECIDED, reason) for c in left if c not in found})
                else:
                    found[now] = Finding(now, Verdict.UNDECIDED, f"not done in half of the time left of {timeout:g} s")
    findings = () if error is not None else tuple(found[c] for c in checks)
    settings = {**case.options, **{f"group {name}": text for name, text in case.group.items()}}
    return Report(case.reference, settings, torch.__version__, findings, error)


def _next(lines: queue.Queue[str | None], until: float) -> dict[str, Any] | None:
    """The next message, None after the last. Raises Late."""
    try:
        line = lines.get(timeout=max(0.0, until - time.monotonic()))
    except queue.Empty as late:
        raise Late from late
    return None if line is None else dict(json.loads(line))


@contextmanager
def _worker(case: Case, checks: Sequence[str]) -> Iterator[tuple[queue.Queue[str | None], Callable[[], str]]]:
    """A process at work: the lines it writes, None after the last, and a function that says how it ended."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ravine.doctor.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            encoding="utf-8",
            start_new_session=True,  # what it starts goes with it
        )
        assert process.stdin is not None
        assert process.stdout is not None
        lines: queue.Queue[str | None] = queue.Queue()
        reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
        reader.start()

        def ended() -> str:
            log.seek(0)
            last = next((line.strip() for line in reversed(log.readlines()) if line.strip()), "")
            return _how(process.wait()) + f"; its last words: {last[:160]}" * bool(last)

        try:
            with process.stdin:
                json.dump({**asdict(case), "checks": list(checks)}, process.stdin)
            yield lines, ended
        finally:
            _end(process)
            reader.join()
            process.stdout.close()


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"died of {signal.Signals(-status).name}"
    except ValueError:
        return f"died of signal {-status}"


def _end(process: subprocess.Popen[str]) -> None:
    """End it and what it started, such as compilers."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
