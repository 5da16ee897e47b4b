"""Checks any torch optimizer, of Ravine or not, against what training programs do to one. `ravine doctor` prints it."""

from __future__ import annotations

from ravine.doctor.examination import CHECKS, examine
from ravine.doctor.references import load_class
from ravine.doctor.report import Finding, Report, Verdict

__all__ = ["CHECKS", "Finding", "Report", "Verdict", "examine", "load_class"]
