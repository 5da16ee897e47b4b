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

import math
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ravine.errors import require
from ravine.lab import owner
from ravine.lab.database import open_storage, storage_errors
from ravine.lab.entry import Entry
from ravine.lab.outage import PATIENCE, Patient
from ravine.lab.pool import ATTEMPTS
from ravine.lab.protocol import Protocol
from ravine.lab.records import FAILED, FINISHED, PRUNED, Record, Settings
from ravine.lab.search import parameters

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

HEARTBEAT, GRACE = 10, 60
"""Seconds between signs of life, and of silence until a run is given to another."""


LOOK_SOON, LOOK_AGAIN = 0.5, 5.0
"""Seconds until it is looked up again what waits: where nothing did, and where something did."""


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
        self._database = open_storage(url, heartbeat, grace)
        # What has ended is read once: reading hundreds of records anew at every look costs more than training them.
        self.storage = Patient(optuna.storages.get_storage(self._database), patience)
        weakref.finalize(self, self._database.engine.dispose)
        self._next_beat = 0.0
        self._read: dict[int, Record] = {}
        self._known: dict[int, dict[tuple[Any, ...], Record]] = {}
        self._waiting: dict[int, list[FrozenTrial]] = {}
        self._looked: dict[int, float] = {}

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self._database.remove_session()
        self._database.engine.dispose()

    @property
    def engine(self) -> Any:
        """SQLAlchemy's, to the database itself."""
        return self._database.engine

    def enter(self, entry: Entry) -> int:
        """Make the study of an entry, or find it, take back what was lost, and return its number."""
        from optuna.exceptions import DuplicatedStudyError
        from optuna.study import StudyDirection

        with storage_errors(self.url):
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
        with storage_errors(self.url):
            found = {s._study_id: s.user_attrs.get("ravine") for s in self.storage.get_all_studies()}
        readable = {}
        for study, entry in found.items():
            with suppress(TypeError, ValueError, KeyError):
                readable[study] = Entry(**{**entry, "protocol": Protocol(**entry["protocol"])})
        return readable

    def records(self, study: int) -> list[Record]:
        """The records of a study, one for each run, the first if there are more."""
        with storage_errors(self.url):
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

        with storage_errors(self.url):
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

        with storage_errors(self.url):
            try:
                self.storage.set_trial_user_attr(claim.trial_id, "record", record.to_dict())
                self._complete(claim.trial_id, record)
            except UpdateFinishedTrialError:  # said twice for want of an answer, or we were taken for dead
                if "record" not in self.storage.get_trial(claim.trial_id).user_attrs:
                    self._add(claim.study_id, claim.settings, claim.contender, record)  # but are not: the run counts

    def keep(self, study: int, entry: Entry, record: Record) -> None:
        """Keep the record of a run that was not claimed, unless the study has one."""
        with storage_errors(self.url):
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
        with storage_errors(self.url):
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
            with self.engine.begin() as connection:
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
