"""Runs are kept: nothing finished is lost, nothing is counted twice, whoever dies when."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import pytest

pytest.importorskip("optuna", reason="the lab needs Optuna")

from made_up import header, record

from ravine.lab import owner
from ravine.lab.database import StoreError
from ravine.lab.entry import entries
from ravine.lab.protocol import Protocol
from ravine.lab.records import FAILED, FINISHED
from ravine.lab.rows import Row
from ravine.lab.store import Store

PROTOCOL = Protocol(steps=10, trials=2, seeds=2)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'runs.sqlite3'}"


@pytest.fixture
def entry():
    return entries(header("adam", protocol=PROTOCOL))[0]


def work(store, study, entry, most=100):
    """Claim and finish runs; return what was run."""
    done = []
    while len(done) < most and (claim := store.claim({study: entry})):
        store.finish(claim, record(claim.settings, 0.5 + 0.1 * claim.settings.trial))
        done.append(claim.settings)
    return done


def test_runs_are_handed_out_once_and_come_back_as_they_were(url, entry):
    store = Store(url)
    study = store.enter(entry)
    done = work(store, study, entry)
    assert len(done) == PROTOCOL.runs(entry.contender["space"]) == 8
    assert store.claim({study: entry}) is None
    again = Store(url)
    assert again.enter(entry) == study
    assert again.claim({study: entry}) is None
    records = {r.settings.key: r for r in again.records(study)}
    assert records == {s.key: record(s, 0.5 + 0.1 * s.trial) for s in done}
    assert len(store.storage.get_all_trials(study)) == 8  # nothing was queued twice, though the queue was filled often


def test_the_first_repetition_of_all_comes_first_and_is_scored_before_the_second_is_begun(url, monkeypatch):
    monkeypatch.setattr("ravine.lab.store.LOOK_AGAIN", 0.0)  # as if every run took longer than that
    store = Store(url)
    studies = {store.enter(e): e for e in entries(header("gd,adam", protocol=PROTOCOL))}
    order = []
    while claim := store.claim(studies):
        store.finish(claim, record(claim.settings, 0.5))
        order.append((claim.settings.repetition, claim.settings.stage, claim.settings.contender))
    assert [repetition for repetition, _, _ in order] == [0] * 8 + [1] * 8
    assert order[:2] == [(0, "defaults", "gd"), (0, "defaults", "adam")]
    assert [stage for _, stage, _ in order[:8]].count("final") == 2


def test_more_repetitions_only_add_runs(url, entry):
    store = Store(url)
    study = store.enter(entry)
    work(store, study, entry)
    longer = replace(entry, protocol=replace(PROTOCOL, seeds=3))
    assert store.enter(longer) == study
    assert {s.repetition for s in work(store, study, longer)} == {2}
    assert store.enter(entry) == study
    assert work(store, study, entry) == []
    assert store.entered()[study].protocol.seeds == 3


@pytest.mark.parametrize(
    "change",
    [
        {"task": {"spec": "made-up", "digest": "changed", "name": "made-up"}},
        {"protocol": replace(PROTOCOL, steps=11)},
        {"protocol": replace(PROTOCOL, schedule="constant")},
        {"environment": {"ravine": "1", "torch": "0"}},
    ],
)
def test_what_decides_the_numbers_decides_the_study(url, entry, change):
    store = Store(url)
    assert store.enter(replace(entry, **change)) != store.enter(entry)


def test_a_store_closes_its_connections(url):
    store = Store(url)
    engine = store.engine
    assert store.entered() == {}
    assert engine.pool.checkedin() > 0
    del store
    assert engine.pool.checkedin() == 0


def test_a_rule_that_was_changed_is_run_again(url, entry):
    store = Store(url)
    changed = {**entry.contender, "equation": "another"}
    assert store.enter(replace(entry, contender=changed)) != store.enter(entry)


def test_two_that_fill_the_queue_at_once_run_nothing_twice(url, entry):
    first, second = Store(url), Store(url)
    study = first.enter(entry)
    for settings in entry.missing([])[0]:  # as if the other had looked before anything was there
        second.storage.add_trials(study, [Row(settings, entry.contender)])
    done = []
    while claims := [c for s in (first, second) if (c := s.claim({study: entry}))]:
        for store, claim in zip((first, second), claims, strict=False):
            store.finish(claim, record(claim.settings, 0.5))
            done.append(claim.settings.key)
    assert max(Counter(done).values()) == 1
    assert len(first.records(study)) == len(done) == 8


def test_runs_that_are_taken_together_are_taken_by_one_only(url, entry):
    first, second = Store(url), Store(url)
    study = first.enter(entry)
    taken = [second.claim({study: entry})]  # so it has a list of what waited, which the first makes old
    together = first.claim_some({study: entry}, lambda settings: 3)
    assert len(together) == 3
    taken += together
    while more := second.claim_some({study: entry}, lambda settings: 2):
        taken += more
    assert max(Counter(c.trial_id for c in taken).values()) == 1
    assert len(taken) == len(entry.missing([])[0])
    second.finish_all([(c, record(c.settings, 0.5)) for c in taken])
    assert {r.settings.key for r in first.records(study)} == {c.settings.key for c in taken}


def test_runs_of_several_optimizers_are_taken_together_where_each_has_few(url, entry):
    store = Store(url)
    longer = replace(entry, protocol=replace(entry.protocol, steps=2 * entry.protocol.steps))
    other = replace(entry, contender={**entry.contender, "name": "other"})
    studies = {store.enter(e): e for e in (entry, longer, other)}
    many = len(entry.missing([])[0])
    together = store.claim_some(studies, lambda settings: 4 * many)
    assert Counter(c.settings.contender for c in together) == {"adam": many, "other": many}
    assert {c.settings.steps for c in together} == {entry.protocol.steps}
    assert all(studies[c.study_id].contender == c.contender for c in together)
    (alone,) = {c.settings.steps for c in store.claim_some(studies, lambda settings: many)}
    assert alone == longer.protocol.steps


def test_runs_of_several_optimizers_are_left_to_others_where_each_has_many(url, entry):
    store = Store(url)
    other = replace(entry, contender={**entry.contender, "name": "other"})
    studies = {store.enter(e): e for e in (entry, other)}
    many = len(entry.missing([])[0])
    for _ in studies:
        assert len({c.study_id for c in store.claim_some(studies, lambda settings: 3 * many)}) == 1


def test_two_that_drop_the_same_copy_at_once(url, entry, monkeypatch):
    first, second = Store(url), Store(url)
    study = first.enter(entry)
    first.fill(study, entry)
    for settings in entry.missing([])[0]:
        second.storage.add_trials(study, [Row(settings, entry.contender)])
    seen = second.storage.get_all_trials(study)  # before the first drops the copies
    assert first.claim({study: entry})
    monkeypatch.setattr(second.storage, "get_all_trials", lambda *args, **kwargs: seen)
    assert second.claim({study: entry})


def dead_owner() -> str:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return f"{owner.machine()}:{process.pid}:12345"


def test_the_run_of_an_owner_that_died_here_is_given_back_at_once(url, entry):
    dead = Store(url)
    study = dead.enter(entry)
    dead.owner = dead_owner()
    lost = dead.claim({study: entry}).settings
    store = Store(url)
    store.enter(entry)
    assert work(store, study, entry).count(lost) == 1
    assert len(store.records(study)) == 8


def test_the_run_of_an_owner_elsewhere_is_given_back_after_a_silence(url, entry):
    elsewhere = Store(url, heartbeat=1, grace=4, host="elsewhere")
    study = elsewhere.enter(entry)
    claim = elsewhere.claim({study: entry})
    store = Store(url, heartbeat=1, grace=4)
    store.enter(entry)
    assert claim.settings not in work(store, study, entry)
    assert len(store.records(study)) < 8  # the repetition of the run that is missing can't be scored
    time.sleep(2.2)
    elsewhere._next_beat = 0.0
    elsewhere.beat([claim])
    time.sleep(2.2)
    store.enter(entry)
    assert store.claim({study: entry}) is None  # it gave a sign of life
    time.sleep(4.5)
    store.enter(entry)
    assert claim.settings in work(store, study, entry)
    assert len(store.records(study)) == 8
    elsewhere.finish(claim, record(claim.settings, 0.5))  # it was alive after all
    assert len(store.records(study)) == 8


def test_a_record_counts_though_its_owner_died_before_saying_so(url, entry):
    dead = Store(url)
    study = dead.enter(entry)
    dead.owner = dead_owner()
    claim = dead.claim({study: entry})
    dead.storage.set_trial_user_attr(claim.trial_id, "record", record(claim.settings, 0.5).to_dict())
    store = Store(url)
    store.enter(entry)
    assert claim.settings not in work(store, study, entry)
    assert len(store.records(study)) == 8


def test_a_run_that_costs_three_owners_is_given_up(url, entry):
    lost = None
    for _ in range(3):
        dead = Store(url)
        study = dead.enter(entry)
        dead.owner = dead_owner()
        claim = dead.claim({study: entry})
        while lost is not None and claim.settings != lost:
            dead.give_back([claim])
            claim = dead.claim({study: entry})
        lost = claim.settings
    store = Store(url)
    store.enter(entry)
    work(store, study, entry)
    found = {r.settings.key: r for r in store.records(study)}
    assert found[lost.key].status == FAILED
    assert "3 workers vanished" in found[lost.key].message
    assert Counter(r.status for r in found.values()) == {FAILED: 1, FINISHED: 7}


def test_what_the_database_says_is_one_line_without_the_password(tmp_path):
    with pytest.raises(StoreError, match=r"the storage sqlite:///.*unable to open database file"):
        Store(f"sqlite:///{tmp_path / 'nowhere' / 'runs.sqlite3'}")
    with pytest.raises(StoreError) as caught:
        Store("postgresql://me:secret@localhost:1/nothing")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_kill_nine_at_any_moment(tmp_path):
    """Kill the comparison and all its processes again and again: at its end every run is there once."""
    args = ["compare", "breast-cancer", "--steps", "10", "--trials", "4", "--seeds", "2", "--optimizers", "gd,adam"]
    command = [sys.executable, "-c", "from ravine.cli import main; main()", *args, "--workers", "1", "--out", "out"]
    counts = [0]
    for delay in (0.3, 0.05, 0.6):
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        assert process.stdout is not None
        # "… runs are there already", or the first that ended; other words come before it.
        assert any(b" runs" in line for line in process.stdout)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        counts.append(_records_in(tmp_path))
        assert counts[-1] >= counts[-2]
    assert counts[1] > 0
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert f"{counts[-1]} of 24 runs are there already" in output or counts[-1] == 24
    assert _records_in(tmp_path) == 24


def _records_in(folder):
    store = Store(f"sqlite:///{folder / 'out' / 'runs.sqlite3'}")
    found = [r for study in store.entered() for r in store.records(study)]
    keys = [r.settings.key for r in found]
    assert len(keys) == len(set(keys))
    return len(found)


def test_a_full_disk_loses_nothing_that_was_finished(url, entry):
    """A limit on the size of files stands in for the disk."""
    store = Store(url)
    study = store.enter(entry)
    claims = [store.claim({study: entry}) for _ in range(2)]
    store.finish(claims[0], record(claims[0].settings, 0.5))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
        with pytest.raises(StoreError, match="disk"):
            store.finish(claims[1], record(claims[1].settings, 0.5))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    again = Store(url)
    assert [r.settings for r in again.records(study)] == [claims[0].settings]
    again.owner = store.owner
    store.give_back([claims[1]])
    again.enter(entry)
    assert claims[1].settings in work(again, study, entry)
    assert len(again.records(study)) == 8
