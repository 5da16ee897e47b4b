"""Mutation run: every small slip in every rule, against the evidence. Prints a table; exits 1 if a slip survives.

Run by `make mutants`, which puts tests/ on the path. Survivors that compute the same function are known by name, with
the reason, in tests/equivalents.py.
"""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

import ravine
from equivalents import EQUIVALENT
from evidence import caught, evidence
from ravine.trace.mutants import mutants


def main() -> int:
    table = Table(title="Slips caught, rule by rule")
    for heading in ("rule", "slips", "caught", "equivalent", "survive"):
        table.add_column(heading, justify="left" if heading == "rule" else "right")
    pieces = evidence()
    survivors = []
    for name in sorted({e.rule for e in pieces}):
        slips = list(mutants(ravine.rule(name)))
        missed = [m.description for m in slips if not caught(m.rule, [e for e in pieces if e.rule == name])]
        equivalent = [d for d in missed if (name, d) in EQUIVALENT]
        survivors += [f"{name}: {d}" for d in missed if d not in equivalent]
        counts = len(slips), len(slips) - len(missed), len(equivalent), len(missed) - len(equivalent)
        table.add_row(name, *map(str, counts))
    console = Console()
    console.print(table)
    for (name, description), reason in EQUIVALENT.items():
        console.print(f"equivalent: {name}: {description}: {reason}", highlight=False)
    for line in survivors:
        console.print(f"SURVIVES: {line}", highlight=False)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
