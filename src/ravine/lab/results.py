"""The results of a comparison: its header, its records and, computed from these, its summary; as one JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ravine.lab.protocol import Protocol
from ravine.lab.records import Record

if TYPE_CHECKING:
    from ravine.lab.summary import Summary

FORMAT = 1


@dataclass(frozen=True)
class Results:
    """`task`, `contenders` and `environment` are descriptions for the reader; nothing in them is run again."""

    task: Mapping[str, Any]
    protocol: Protocol
    contenders: Sequence[Mapping[str, Any]]
    environment: Mapping[str, Any]
    records: Sequence[Record] = field(default_factory=list)

    def of(self, contender: str, stage: str | None = None) -> list[Record]:
        """The records of a contender, of one stage or of all, by repetition and trial."""
        chosen = [r for r in self.records if r.settings.contender == contender and stage in (None, r.settings.stage)]
        return sorted(chosen, key=lambda r: r.settings.key)

    @property
    def names(self) -> list[str]:
        """The contenders' names, as entered."""
        return [c["name"] for c in self.contenders]

    @property
    def measure(self) -> str:
        """What scored runs are compared by: "test loss", where the task has data apart for it, or "validation loss"."""
        return "test loss" if any(r.test for r in self.records) else "validation loss"

    @property
    def runs(self) -> int:
        """How many runs the comparison has when it is complete."""
        return sum(self.protocol.runs(c["space"]) for c in self.contenders)

    @cached_property
    def summary(self) -> Summary:
        """The numbers of the report, computed once: ask when the records are there."""
        from ravine.lab.summary import summary

        return summary(self)

    @property
    def is_complete(self) -> bool:
        """Whether every contender has all its runs."""
        return all(len(self.of(c["name"])) == self.protocol.runs(c["space"]) for c in self.contenders)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        from ravine.lab.summary import summarise

        return {
            "format": FORMAT,
            "task": dict(self.task),
            "protocol": self.protocol.to_dict(),
            "contenders": [dict(c) for c in self.contenders],
            "environment": dict(self.environment),
            "complete": self.is_complete,
            "summary": plain(summarise(self)),
            "records": [r.to_dict() for n in self.names for r in self.of(n)],
        }

    def save(self, folder: Path) -> Path:
        """Write results.json, whole or not at all."""
        path = folder / "results.json"
        write(path, json.dumps(self.to_dict(), allow_nan=False, ensure_ascii=False, indent=1))
        return path

    @staticmethod
    def load(path: Path) -> Results:
        """Read what `save` wrote. Raises ValueError for anything else."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["format"] != FORMAT:
                raise ValueError(f"{path} has format {data['format']!r}; this version reads format {FORMAT}")
            records = [Record.from_dict(r) for r in data["records"]]
            protocol = Protocol(**data["protocol"])
            return Results(data["task"], protocol, data["contenders"], data["environment"], records)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is not a results.json of ravine compare") from error


def write(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def plain(value: Any) -> Any:
    """The value with named tuples as objects and what is not finite as null: what JSON can hold."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {n: plain(v) for n, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
