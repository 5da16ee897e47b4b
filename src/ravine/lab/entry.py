"""One contender of one comparison, as a storage holds it: what decides its runs, and which are missing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ravine.lab.contender import Contender
from ravine.lab.protocol import Protocol, missing
from ravine.lab.records import Record, Settings

if TYPE_CHECKING:
    from ravine.lab.results import Results

DECISIVE = ("name", "rule", "fixed", "schedule", "equation", "defaults", "space", "tuned_at")
"""What of a contender decides its runs' numbers; of what is transferred, where it is from."""


@dataclass(frozen=True)
class Entry:
    """One contender of one comparison, as a study holds it: all that a worker needs."""

    task: Mapping[str, Any]
    protocol: Protocol
    contender: Mapping[str, Any]
    environment: Mapping[str, Any]

    @property
    def study(self) -> str:
        """The study's name: runs are shared by comparisons that agree in all that decides a run's numbers."""
        decisive = {
            "task": [self.task["spec"], self.task["digest"]],
            "protocol": asdict(self.protocol.of_runs),
            "points": "turned in every repetition",  # runs of the time when all tried the same points are others
            "contender": {n: v for n, v in self.contender.items() if n in DECISIVE},
            "environment": {n: self.environment[n] for n in ("ravine", "torch")},
        }
        digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]
        return f"{self.task['name']} / {self.contender['name']} / {digest}"

    def missing(self, records: Sequence[Record]) -> tuple[list[Settings], int]:
        """The runs that can start now, and how many more will follow."""
        c = self.contender
        kept = {n: c[n] for n in ("schedule", "transferred") if n in c}
        contender = Contender(c["name"], c["rule"], c["fixed"], **kept)
        return missing(self.protocol, self.task["spec"], contender, c["space"], records)


def entries(results: Results) -> list[Entry]:
    """The entries of a comparison."""
    return [Entry(results.task, results.protocol, c, results.environment) for c in results.contenders]
