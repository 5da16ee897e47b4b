"""Where runs are kept: Optuna's storage, SQLite in the output folder or a PostgreSQL server that many machines share.

Each contender of a comparison is an Optuna study, each run a trial of it. A run is queued as a waiting trial; whoever
turns it to running owns it; its record is an attribute of the trial. What makes this safe to stop at any moment:

- A run is known by its key. The queue is filled with the keys that no living trial has, so filling it twice adds
  nothing, and of two trials with one key only the first counts.
- An owner gives a sign of life every few seconds. A running trial whose owner died (seen at once on this machine, by
  silence elsewhere) is marked failed, so its key is missing again.
- A record is written before its trial is marked complete; a record without that mark counts all the same.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ravine.errors import require
from ravine.lab import owner
from ravine.lab.contender import Contender
from ravine.lab.outage import CONNECTION, PATIENCE, Patient
from ravine.lab.pool import ATTEMPTS
from ravine.lab.protocol import Protocol, missing
from ravine.lab.records import FAILED, FINISHED, PRUNED, Record, Settings
from ravine.lab.search import parameters

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

    from ravine.lab.results import Results

HEARTBEAT, GRACE = 10, 60
"""Seconds between signs of life, and of silence until a run is given to another."""


DECISIVE = ("name", "rule", "fixed", "schedule", "equation", "defaults", "space", "tuned_at")
"""What of a contender decides its runs' numbers; of what is transferred, where it is from."""


LOOK_SOON, LOOK_AGAIN = 0.5, 5.0
"""Seconds until it is looked up again what waits: where nothing did, and where something did."""


class StoreError(OSError):
    """The storage can't be reached or written to."""


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


@dataclass(frozen=True)
class Claim:
    """A run that is ours, and where it is in the storage."""

    settings: Settings
    contender: Mapping[str, Any]
    study_id: int
    trial_id: int


class Store:
    """The runs in a storage. `url` is SQLAlchemy's: sqlite:///file or postgresql://user@host/database.

    A storage that can't be reached at first is a StoreError at once; one that was reached is waited for when it can't
    be any more, up to `patience` seconds, while runs go on. `storage.say` is called with a line about it. Its
    connections are closed with it. Raises ImportError, naming what to install, where a package is missing.
    """

    def __init__(
        self, url: str, heartbeat: int = HEARTBEAT, grace: int = GRACE, host: str = "", patience: float = PATIENCE
    ) -> None:
        require("a comparison", "optuna", "sqlalchemy", extra="lab")
        if url.startswith("postgres"):
            require("a storage on PostgreSQL", "psycopg")
        import optuna

        self.owner = owner.name(host)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.url, self.heartbeat, self.grace = url, heartbeat, grace
        opened = self._open()
        self.storage = Patient(opened, patience)
        weakref.finalize(self, opened.engine.dispose)
        self._next_beat = 0.0
        self._read: dict[int, Record] = {}
        self._known: dict[int, dict[tuple[Any, ...], Record]] = {}
        self._waiting: dict[int, list[FrozenTrial]] = {}
        self._looked: dict[int, float] = {}

    def _open(self) -> RDBStorage:
        """The storage. Two that make its tables at the same time get in each other's way: then it is tried again."""
        from optuna.storages import RDBStorage

        is_file = self.url.startswith("sqlite")
        for attempt in range(3):
            with suppress(StoreError) if attempt < 2 else nullcontext(), _storage_errors(self.url):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # heartbeats are marked experimental
                    storage = RDBStorage(
                        _with_driver(self.url),
                        heartbeat_interval=self.heartbeat,
                        grace_period=self.grace,
                        engine_kwargs={"connect_args": {"timeout": 60}} if is_file else {"pool_pre_ping": True},
                    )
                if is_file:
                    _relax_sqlite(storage.engine)
                return storage
            time.sleep(0.5 * (attempt + 1))
        raise AssertionError("the third attempt returns or raises")

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self.storage.impatient.remove_session()
        self.storage.engine.dispose()

    def enter(self, entry: Entry) -> int:
        """Make the study of an entry, or find it, take back what was lost, and return its number."""
        from optuna.exceptions import DuplicatedStudyError
        from optuna.study import StudyDirection

        with _storage_errors(self.url):
            with suppress(DuplicatedStudyError):
                self.storage.create_new_study([StudyDirection.MINIMIZE], entry.study)
            study: int = self.storage.get_study_id_from_name(entry.study)
            known = self.storage.get_study_user_attrs(study).get("ravine")
            if known is None or known["protocol"]["seeds"] < entry.protocol.seeds:
                self.storage.set_study_user_attr(study, "ravine", {**vars(entry), "protocol": asdict(entry.protocol)})
            self.reclaim(study)
            return study

    def entered(self) -> dict[int, Entry]:
        """Every entry of the storage by the number of its study; those that a later version made, and this one can't
        read, are left out."""
        with _storage_errors(self.url):
            found = {s._study_id: s.user_attrs.get("ravine") for s in self.storage.get_all_studies()}
        readable = {}
        for study, entry in found.items():
            with suppress(TypeError, ValueError, KeyError):
                readable[study] = Entry(**{**entry, "protocol": Protocol(**entry["protocol"])})
        return readable

    def records(self, study: int) -> list[Record]:
        """The records of a study, one for each run, the first if there are more."""
        with _storage_errors(self.url):
            return list(self._records(self.storage.get_all_trials(study, deepcopy=False)).values())

    def _records(self, trials: Sequence[FrozenTrial]) -> dict[tuple[Any, ...], Record]:
        """The records of trials by key, the first of each; read once, since a record does not change."""
        found: dict[tuple[Any, ...], Record] = {}
        for trial in sorted(trials, key=lambda t: t.number):
            if "record" in trial.user_attrs:
                if trial._trial_id not in self._read:
                    self._read[trial._trial_id] = Record.from_dict(trial.user_attrs["record"])
                record = self._read[trial._trial_id]
                found.setdefault(record.settings.key, record)
        return found

    def rivals(self, claim: Claim) -> list[Record]:
        """The records that a run is judged against: the first trials of its repetition, which are there already."""
        if not (s := claim.settings).rivals:
            return []
        keys = [replace(s, trial=number).key for number in range(s.rivals)]
        found = self._known.get(claim.study_id, {})
        if not all(key in found for key in keys):  # another has queued the run since we looked
            found = {r.settings.key: r for r in self.records(claim.study_id)}
        return [found[key] for key in keys]

    def fill(self, study: int, entry: Entry) -> None:
        """Queue the runs that can start and that no living trial has. A run that cost several owners is given up."""
        from optuna.trial import TrialState

        trials = self.storage.get_all_trials(study, deepcopy=False)
        records = self._known[study] = self._records(trials)
        living = {_key(t) for t in trials if t.state in (TrialState.WAITING, TrialState.RUNNING)}
        lost = [_key(t) for t in trials if t.state == TrialState.FAIL and t.user_attrs.get("lost")]
        for settings in entry.missing(list(records.values()))[0]:
            if settings.key in living:
                continue
            if lost.count(settings.key) >= ATTEMPTS:
                message = f"{ATTEMPTS} workers vanished in this run"
                given_up = Record(settings, FAILED, {"step": [], "loss": []}, message)
                self._add(study, settings, entry.contender, given_up)
            else:
                self._add(study, settings, entry.contender)

    def claim(self, studies: Mapping[int, Entry]) -> Claim | None:
        """Take the next waiting run of these studies, or None if none waits: those of the first repetition first, and
        in it the first run of every study, so that there is something to see early.

        What waits is looked up only now and then: in a long queue that is costly.
        """
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        with _storage_errors(self.url):
            now = time.monotonic()
            for study, entry in studies.items():
                pause = LOOK_AGAIN if self._waiting.get(study) else LOOK_SOON
                if now - self._looked.get(study, -math.inf) >= pause:
                    self._look(study, entry)
            if not any(self._waiting[study] for study in studies):
                for study, entry in studies.items():
                    self._look(study, entry)
            while waiting := {study: _turn(w[0]) for study in studies if (w := self._waiting[study])}:
                study = min(waiting, key=lambda one: waiting[one])
                trial = self._waiting[study].pop(0)
                with suppress(UpdateFinishedTrialError):
                    if self.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                        self.storage.set_trial_user_attr(trial._trial_id, "owner", self.owner)
                        self.storage.record_heartbeat(trial._trial_id)
                        return Claim(_settings(trial), studies[study].contender, study, trial._trial_id)
        return None

    def _look(self, study: int, entry: Entry) -> None:
        """Fill the queue and note what waits. Of trials with one run only the first is left: two may fill a queue at
        the same time, and both may see the copy, so the other may have dropped it already."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        self.fill(study, entry)
        seen: set[tuple[Any, ...]] = set()
        waiting = self._waiting[study] = []
        for trial in sorted(self.storage.get_all_trials(study, deepcopy=False), key=lambda t: t.number):
            lives = trial.state in (TrialState.WAITING, TrialState.RUNNING) or "record" in trial.user_attrs
            if trial.state == TrialState.WAITING and _key(trial) not in seen:
                waiting.append(trial)
            elif trial.state == TrialState.WAITING:
                with suppress(UpdateFinishedTrialError):
                    self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            if lives:
                seen.add(_key(trial))
        waiting.sort(key=_turn)
        self._looked[study] = time.monotonic()

    def finish(self, claim: Claim, record: Record) -> None:
        """Keep the record of a run that was claimed."""
        from optuna.exceptions import UpdateFinishedTrialError

        with _storage_errors(self.url):
            try:
                self.storage.set_trial_user_attr(claim.trial_id, "record", record.to_dict())
                self._complete(claim.trial_id, record)
            except UpdateFinishedTrialError:  # said twice for want of an answer, or we were taken for dead
                if "record" not in self.storage.get_trial(claim.trial_id).user_attrs:
                    self._add(claim.study_id, claim.settings, claim.contender, record)  # but are not: the run counts

    def keep(self, study: int, entry: Entry, record: Record) -> None:
        """Keep the record of a run that was not claimed, unless the study has one."""
        with _storage_errors(self.url):
            trials = self.storage.get_all_trials(study, deepcopy=False)
            if record.settings.key not in self._records(trials):
                self._add(study, record.settings, entry.contender, record)

    def give_back(self, claims: Sequence[Claim]) -> None:
        """Put runs that were claimed and not finished back: at an interruption, as far as that is possible."""
        from optuna.trial import TrialState

        with suppress(Exception):
            for claim in claims:
                self.storage.impatient.set_trial_state_values(claim.trial_id, TrialState.FAIL)

    def beat(self, claims: Sequence[Claim]) -> None:
        """Give a sign of life for the runs that are ours, if it is time for one."""
        if time.monotonic() < self._next_beat:
            return
        self._next_beat = time.monotonic() + self.heartbeat
        with _storage_errors(self.url):
            for claim in claims:
                self.storage.record_heartbeat(claim.trial_id)

    def reclaim(self, study: int) -> None:
        """Mark running trials failed whose owner is dead or silent. After an outage, in which nobody could give a sign
        of life, all owners have time for one."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        running = self.storage.get_all_trials(study, deepcopy=False, states=(TrialState.RUNNING,))
        had_time = time.monotonic() - self.storage.back_since > self.grace
        silent = set(self.storage._get_stale_trial_ids(study)) if running and had_time else set()
        for trial in running:
            if not (trial._trial_id in silent or self._owner_is_dead(trial)):
                continue
            with suppress(UpdateFinishedTrialError):
                if "record" in trial.user_attrs:
                    self._complete(trial._trial_id, Record.from_dict(trial.user_attrs["record"]))
                else:
                    self.storage.set_trial_user_attr(trial._trial_id, "lost", True)
                    self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    def _owner_is_dead(self, trial: FrozenTrial) -> bool:
        if "owner" not in trial.user_attrs:  # it died before it could sign
            began = trial.datetime_start
            return began is not None and time.time() - began.timestamp() > self.grace
        return owner.is_dead(trial.user_attrs["owner"], self.owner)

    def _add(self, study: int, settings: Settings, contender: Mapping[str, Any], record: Record | None = None) -> None:
        """Queue a run, or keep one that has ended."""
        from optuna.trial import TrialState, create_trial

        params, distributions = parameters(contender["space"], {**contender["defaults"], **settings.hyper})
        trial = create_trial(
            state=TrialState.WAITING,
            params=params,
            distributions=distributions,
            user_attrs={"settings": asdict(settings)},
        )
        number = self.storage.create_new_trial(study, trial)
        if record is not None and self.storage.set_trial_state_values(number, TrialState.RUNNING):
            self.storage.set_trial_user_attr(number, "record", record.to_dict())
            self._complete(number, record)

    def _complete(self, trial_id: int, record: Record) -> None:
        """Say in Optuna's terms how a run ended."""
        from optuna.trial import TrialState

        self._keep_curve(trial_id, record)
        if record.status == FINISHED:
            self.storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [record.loss])
        elif record.status == PRUNED:
            self.storage.set_trial_state_values(trial_id, TrialState.PRUNED, [record.curve["loss"][-1]])
        else:
            self.storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def _keep_curve(self, trial_id: int, record: Record) -> None:
        """The losses as Optuna's intermediate values: in one go, since one by one they take as long as a short run."""
        from optuna.storages._rdb.models import TrialIntermediateValueModel as Row
        from sqlalchemy import delete, insert

        rows = []
        for step, loss in zip(record.curve["step"], record.curve["loss"], strict=True):
            value, kind = Row.intermediate_value_to_stored_repr(loss)
            rows.append(
                {"trial_id": trial_id, "step": int(step), "intermediate_value": value, "intermediate_value_type": kind}
            )

        def write() -> None:
            with self.storage.engine.begin() as connection:
                connection.execute(delete(Row).where(Row.trial_id == trial_id))  # of an owner that died here
                if rows:
                    connection.execute(insert(Row), rows)

        self.storage.call(write)


def _settings(trial: FrozenTrial) -> Settings:
    return Settings(**trial.user_attrs["settings"])


def _key(trial: FrozenTrial) -> tuple[Any, ...]:
    return _settings(trial).key


def _turn(trial: FrozenTrial) -> tuple[int, int]:
    """Whose turn it is: the lowest."""
    settings = _settings(trial)
    return settings.repetition, settings.trial


def _with_driver(url: str) -> str:
    """SQLAlchemy's URL with the driver that the extra `postgresql` brings, and what it is told unless the URL does."""
    import sqlalchemy

    head, separator, rest = url.partition("://")
    if head not in ("postgresql", "postgres", "postgresql+psycopg"):
        return url
    made = sqlalchemy.make_url("postgresql+psycopg" + separator + rest)
    return made.update_query_dict({**CONNECTION, **made.query}).render_as_string(hide_password=False)


def _relax_sqlite(engine: Any) -> None:
    """Write ahead, and don't wait for the disk at every run: only a power cut can lose the last runs."""
    from sqlalchemy import event

    def set_pragmas(connection: Any, _: Any) -> None:
        connection.execute("pragma journal_mode=wal")
        connection.execute("pragma synchronous=normal")

    event.listen(engine, "connect", set_pragmas)
    engine.dispose()


@contextmanager
def _storage_errors(url: str) -> Iterator[None]:
    """Turn what the database says into a StoreError in a line, without the password that a URL may hold."""
    import sqlalchemy
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        try:
            shown = sqlalchemy.make_url(url).render_as_string(hide_password=True)
        except SQLAlchemyError:
            shown = "that URL"
        raise StoreError(f"the storage {shown}: {str(cause).strip().splitlines()[0]}") from None
