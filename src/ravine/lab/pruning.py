"""Whether tuning runs that do badly are stopped early, where nobody said: yes, if a run takes long.

It is decided before there is anything to stop, by what the first run that ends takes, and kept with the comparison: the
same command, here or on another machine, goes on as it began.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ravine.lab.entry import entries
from ravine.lab.pool import Workforce
from ravine.lab.records import DEFAULTS, FINISHED, Record
from ravine.lab.results import Results
from ravine.lab.store import Store

LONG = 20.0
"""Seconds of training from which on it pays: shorter runs are over before they can be judged (docs/compare.md)."""


def decided(
    header: Results, store: Store, pool: Workforce, on_record: Callable[[Record], object] = lambda record: None
) -> Results:
    """The comparison with its decision: the one in the store, or one by measuring. Runs measured are in the store;
    `on_record` is called with each."""
    kept = {e.study: e.protocol for e in store.entered().values()}
    for prune in (False, True):
        found = decide(header, prune)
        for entry in entries(found):
            if entry.study in kept:
                return decide(header, prune, kept[entry.study].run_seconds)
    if header.protocol.trials <= header.protocol.first or not any(c["space"] for c in header.contenders):
        return header  # nothing to stop
    records = measured(header, pool)
    seconds = took(records)
    made = decide(header, seconds >= LONG, seconds)
    for entry in entries(made):
        study = store.enter(entry)
        its = [r for r in records if r.status == FINISHED and r.settings.contender == entry.contender["name"]]
        store.keep(study, entry, its)
        for record in its:
            on_record(record)
    return made


def decide(header: Results, prune: bool, seconds: float = 0.0) -> Results:
    """The comparison with a decision, and what a run took that led to it."""
    return replace(header, protocol=replace(header.protocol, prune=prune, run_seconds=seconds))


def took(records: Sequence[Record]) -> float:
    """Seconds of training that the first run took that finished; 0 if none did."""
    return next((r.timing[-1] for r in records if r.status == FINISHED), 0.0)


def measured(header: Results, pool: Workforce) -> list[Record]:
    """The first runs of two contenders, in the order in which they ended: with defaults, which nothing stops.

    Two, however many workers: a run alone and one in a batch may differ in the last bits, and records must not tell
    how many worked.
    """
    first = []
    for entry in entries(header)[:2]:
        first += [s for s in entry.missing([])[0] if s.stage == DEFAULTS][:1]
    for settings in first:
        pool.start([settings])
    records: list[Record] = []
    while pool.busy:
        records += pool.wait(1.0)
    return records
