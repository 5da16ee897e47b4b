"""What an examination finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """The outcome of one check; undecided if something kept it from coming to one."""

    PASS = "pass"
    FAIL = "FAIL"
    NOT_APPLICABLE = "n/a"
    UNDECIDED = "?"


Outcome = tuple[Verdict, str]
"""A verdict, and a line of what was seen."""


@dataclass(frozen=True)
class Finding:
    """One check's verdict, with a line of evidence from the run that led to it."""

    check: str
    verdict: Verdict
    evidence: str


@dataclass(frozen=True)
class Report:
    """The findings on one class, constructed with `options`, under a version of torch; or why there are none."""

    subject: str
    options: Mapping[str, Any]
    torch_version: str
    findings: tuple[Finding, ...]
    error: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the class was examined and every check passed or did not apply."""
        return self.error is None and all(f.verdict in (Verdict.PASS, Verdict.NOT_APPLICABLE) for f in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it; options that are no JSON values as text."""
        plain = {n: v if isinstance(v, (bool, int, float, str)) else str(v) for n, v in self.options.items()}
        return {
            "subject": self.subject,
            "options": plain,
            "torch": self.torch_version,
            "passed": self.passed,
            "error": self.error,
            "findings": [asdict(f) for f in self.findings],
        }
