"""What a comparison does when its storage, its connection or its main process goes away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")
pytest.importorskip("optuna", reason="the lab needs Optuna")

from made_up import MadeUpPool, header, record
from postgres import server  # noqa: F401  (a fixture)

from ravine.lab import owner
from ravine.lab.compare import collect, run, why_not_here
from ravine.lab.database import StoreError
from ravine.lab.entry import entries
from ravine.lab.outage import Patient
from ravine.lab.protocol import Protocol
from ravine.lab.results import Results
from ravine.lab.store import Store

pytestmark = pytest.mark.usefixtures("closed_stores")
PROTOCOL = Protocol(steps=10, trials=2, seeds=2)
RUNS = 2 * 2 * (2 + 2)


@pytest.fixture
def closed_stores(monkeypatch):
    """Closes the test's stores at its end: a connection that is left open is a warning, and so an error."""
    made = []
    init = Store.__init__

    def remember(self, *args, **kwargs):
        init(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(Store, "__init__", remember)
    yield
    for store in made:
        store.close()


def check_complete(comparison: Results, store: Store) -> None:
    """Every run is there once, and none was given up."""
    records = collect(comparison, store).records
    assert len({r.settings.key for r in records}) == len(records) == RUNS
    assert {r.status for r in records} == {"finished"}


def test_connections_that_are_cut_at_every_turn(server):  # noqa: F811
    comparison = header("gd,adam", protocol=PROTOCOL)
    store = Store(server.url, grace=1)
    said = []
    store.storage.say = said.append
    run(comparison, store, MadeUpPool(after=server.cut))
    check_complete(comparison, store)


@pytest.mark.filterwarnings("ignore:Caught an error from sqlalchemy")
def test_a_connection_that_is_cut_between_the_queries_of_one_call(server):  # noqa: F811
    """Optuna tries another query in the transaction that is lost, and that one fails in a way of its own."""
    from sqlalchemy import event

    store, cuts = Store(server.url), []
    (entry, *_) = entries(header("gd,adam", protocol=PROTOCOL))
    study = store.enter(entry)
    store.fill(study, entry)

    @event.listens_for(store.engine, "before_cursor_execute")
    def cut(connection, cursor, statement, *rest):
        if "FROM trial_params" in statement and not cuts:
            cuts.append(statement)
            server.cut()

    assert len(store.storage.get_all_trials(study, deepcopy=False)) == RUNS // 2 - PROTOCOL.seeds
    assert cuts


def test_runs_that_end_while_the_database_is_down_are_kept(server):  # noqa: F811
    comparison = header("gd,adam", protocol=PROTOCOL)
    store = Store(server.url)
    said = []
    store.storage.say = said.append
    outages = 2

    def go_down():
        nonlocal outages
        if outages:
            outages -= 1
            server.stop()
            threading.Timer(1.2, server.start).start()

    run(comparison, store, MadeUpPool(workers=2, after=go_down))
    check_complete(comparison, store)
    assert "no connection to the storage for 0 s, trying again; runs go on" in said
    assert said.count("") == 2
    (entry, *_) = entries(comparison)
    trials = store.storage.get_all_trials(store.enter(entry))
    assert len(trials) == RUNS // 2  # no run was started twice


def test_an_outage_that_lasts_too_long_ends_in_a_line_and_the_same_command_goes_on(server):  # noqa: F811
    comparison = header("gd,adam", protocol=PROTOCOL)
    store = Store(server.url, patience=1.0)
    store.owner = (
        store.owner.rpartition(":")[0] + ":1"
    )  # as of a process that has ended when the command is given again
    pool = MadeUpPool()
    pool.after = lambda: server.stop() if len(pool.started) == 5 else None
    began = time.monotonic()
    with pytest.raises(StoreError, match="the storage postgresql") as caught:
        run(comparison, store, pool)
    assert time.monotonic() - began < 10
    assert len(str(caught.value).splitlines()) == 1
    server.start()
    again = Store(server.url)
    assert len(collect(comparison, again).records) == 4
    run(comparison, again, MadeUpPool())
    check_complete(comparison, again)


class Unreliable:
    """A storage of which the call number `when` fails: before it does something, or after, so that its answer is
    lost."""

    def __init__(self, storage, when: int, before: bool) -> None:
        self.storage, self.left, self.before = storage, when, before

    def __getattr__(self, name):
        found = getattr(self.storage, name)
        return (lambda *args, **kwargs: self._call(found, *args, **kwargs)) if callable(found) else found

    def _call(self, do, *args, **kwargs):
        from sqlalchemy.exc import OperationalError

        self.left -= 1
        if self.left == 0 and self.before:
            raise OperationalError("", {}, Exception("server closed the connection unexpectedly"))
        answer = do(*args, **kwargs)
        if self.left == 0:
            raise OperationalError("", {}, Exception("server closed the connection unexpectedly"))
        return answer


@pytest.mark.parametrize("before", [True, False])
def test_an_outage_at_any_call_loses_nothing_and_counts_nothing_twice(before, tmp_path, monkeypatch):
    """On SQLite, with the outage made up: one in each comparison, at a call that is another each time."""
    monkeypatch.setattr("ravine.lab.outage.FIRST_PAUSE", 0.0)
    comparison = header("gd", protocol=Protocol(steps=10, trials=1, seeds=2))
    when, failed = 1, True
    while failed:
        store = Store(f"sqlite:///{tmp_path / f'{when}.sqlite3'}")
        unreliable = Unreliable(store.storage.impatient, when, before)
        store.storage = Patient(unreliable)
        monkeypatch.setattr(store, "grace", 0)  # a claim whose answer is lost is nobody's, and taken back
        run(comparison, store, MadeUpPool())
        failed = unreliable.left <= 0
        records = collect(comparison, store).records
        assert Counter(r.settings.key for r in records).most_common(1)[0][1] == 1
        assert [r.status for r in records] == ["finished"] * 6, when
        when += 7
    assert when > 50


def test_after_an_outage_all_owners_have_time_for_a_sign_of_life(tmp_path):
    (entry,) = entries(header("adam", protocol=PROTOCOL))
    url = f"sqlite:///{tmp_path / 'runs.sqlite3'}"
    other = Store(url, heartbeat=1, grace=1, host="elsewhere")
    study = other.enter(entry)
    claim = other.claim({study: entry})
    time.sleep(2.1)  # nobody could give a sign
    store = Store(url, heartbeat=1, grace=1)
    store.storage.back_since = time.monotonic()
    store.reclaim(study)
    other.beat([claim])
    other.finish(claim, record(claim.settings, 0.5))
    assert store.records(study) == [record(claim.settings, 0.5)]
    assert "lost" not in store.storage.get_trial(claim.trial_id).user_attrs


def test_containers_with_one_host_name_are_told_apart():
    here = owner.name()
    assert not owner.is_dead(here, here)
    host, _, _ = here.rsplit(":", 2)
    gone = f"{host}:999999999:1"
    assert owner.is_dead(gone, here)
    assert host.startswith(socket.gethostname())
    if Path("/proc/self/ns/pid").exists():
        beside = host.rpartition("/")[0] + "/1"  # another PID namespace, where this number is another process
        assert not owner.is_dead(f"{beside}:999999999:1", here)


def test_what_a_later_version_wrote_is_left_alone(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'runs.sqlite3'}")
    (entry,) = entries(header("adam", protocol=PROTOCOL))
    ours = store.enter(entry)
    from optuna.study import StudyDirection

    later = store.storage.create_new_study([StudyDirection.MINIMIZE], "later")
    with_more = {**vars(entry), "protocol": {**vars(entry.protocol), "ladder": [1, 2]}}
    store.storage.set_study_user_attr(later, "ravine", with_more)
    store.storage.create_new_study([StudyDirection.MINIMIZE], "another program's")
    assert list(store.entered()) == [ours]


def test_an_idle_worker_knows_why():
    (entry,) = entries(header("adam", "breast-cancer", protocol=PROTOCOL))
    assert why_not_here(entry).startswith("for ravine 0, here is ")


def test_kill_nine_of_the_main_process_ends_its_workers(tmp_path: Path):
    (tmp_path / "slow.py").write_text(
        "import os, pathlib, time\n\n\ndef train(make_optimizer, seed, report):\n"
        "    pathlib.Path(f'worker-{os.getpid()}').touch()\n    time.sleep(300)\n"
    )
    command = [sys.executable, "-c", "from ravine.cli import main; main()", "compare", "slow.py", "--workers", "2"]
    main = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while len(found := list(tmp_path.glob("worker-*"))) < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    workers = [int(path.name.removeprefix("worker-")) for path in found]
    os.kill(main.pid, signal.SIGKILL)
    main.wait()
    end = time.monotonic() + 5
    while alive := [pid for pid in workers if owner.started(pid) and not _is_zombie(pid)]:
        assert time.monotonic() < end, f"workers {alive} outlive the comparison"
        time.sleep(0.05)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
