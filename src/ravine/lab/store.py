"""Where runs are kept: Optuna's storage, SQLite in the output folder or a PostgreSQL server that many machines share.

Each contender of a comparison is an Optuna study, each run a trial of it. A run is queued as a waiting trial; whoever
turns it to running owns it; its record is an attribute of the trial. What makes this safe to stop at any moment:

- A run is known by its key. The queue is filled with the keys that no living trial has, so filling it twice adds
  nothing, and of two trials with one key only the first counts.
- An owner gives a sign of life every few seconds. A running trial whose owner died (seen at once on this machine, by
  silence elsewhere) is marked failed, so its key is missing again.
- A record and its trial's end are written in one transaction.
"""

from __future__ import annotations

import math
import time
import uuid
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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
from ravine.lab.records import FAILED, Record, Settings
from ravine.lab.rows import Row, Storage

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

HEARTBEAT, GRACE = 10, 60
"""Seconds between signs of life, and of silence until a run is given to another."""


LOOK_AGAIN = 5.0
"""Seconds until it is looked up again what waits in a study, if no record of ours makes it sooner."""


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
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # its warning of a cut connection is a traceback
        self.url, self.heartbeat, self.grace = url, heartbeat, grace
        self._database = open_storage(url, heartbeat, grace)
        self.storage = Patient(Storage(self._database), patience)
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

    def fill(self, study: int, entry: Entry) -> Sequence[FrozenTrial]:
        """Queue the runs that can start and that no living trial has. A run that cost several owners is given up.
        Returns all trials of the study."""
        from optuna.trial import TrialState

        trials: list[FrozenTrial] = self.storage.get_all_trials(study, deepcopy=False)
        records = self._known[study] = self._records(trials)
        living = {_key(t) for t in trials if t.state in (TrialState.WAITING, TrialState.RUNNING)}
        lost = Counter(_key(t) for t in trials if t.state == TrialState.FAIL and t.user_attrs.get("lost"))
        rows = []
        for settings in entry.missing(list(records.values()))[0]:
            if settings.key not in living:
                message = f"{ATTEMPTS} workers vanished in this run"
                given_up = Record(settings, FAILED, {"step": [], "loss": []}, message)
                is_given_up = lost[settings.key] >= ATTEMPTS
                rows.append(Row(settings, entry.contender, given_up if is_given_up else None))
        if not rows:
            return trials
        self.storage.add_trials(study, rows)
        found: list[FrozenTrial] = self.storage.get_all_trials(study, deepcopy=False)
        return found

    def claim(self, studies: Mapping[int, Entry]) -> Claim | None:
        """Take the next waiting run of these studies, or None if none waits."""
        return next(iter(self.claim_some(studies, lambda settings: 1)), None)

    def claim_some(self, studies: Mapping[int, Entry], most: Callable[[Settings], int]) -> list[Claim]:
        """Take the next waiting run of these studies, and with it further ones that can be trained together with it, at
        most `most(run)` in all; none if none waits. The runs of the first repetition come first, and in it the first
        run of every study, so that there is something to see early. Runs of one study go together; where they are few,
        those of others that have few, too.

        What waits is looked up only now and then: in a long queue that is costly.
        """
        with storage_errors(self.url):
            now = time.monotonic()
            for study, entry in studies.items():
                if now - self._looked.get(study, -math.inf) >= LOOK_AGAIN:
                    self._look(study, entry)
            if not any(self._waiting[study] for study in studies):
                for study, entry in studies.items():
                    self._look(study, entry)
            while chosen := self._next(studies, most):
                taken = self.storage.take_trials([c.trial_id for c in chosen], self.owner, uuid.uuid4().hex)
                if taken:
                    return [c for c in chosen if c.trial_id in taken]
        return []

    def _next(self, studies: Mapping[int, Entry], most: Callable[[Settings], int]) -> list[Claim]:
        """What is to be claimed next, and waits no more."""
        turns = {study: _turn(w[0]) for study in studies if (w := self._waiting[study])}
        if not turns:
            return []
        order = sorted(turns, key=lambda study: turns[study])
        first = _settings(self._waiting[order[0]][0])
        count = most(first)
        chosen = self._taken(order[0], studies[order[0]], count)
        if not chosen:  # others were sooner
            return self._next(studies, most)
        if len(chosen) > (few := count // 4):
            return chosen
        for study in order[1:]:
            other = _settings(self._waiting[study][0])
            if len(self._waiting[study]) <= few and (other.task, other.steps) == (first.task, first.steps):
                chosen += self._taken(study, studies[study], count - len(chosen))
        return chosen

    def _taken(self, study: int, entry: Entry, count: int) -> list[Claim]:
        """The next so many of what waits in a study, off its list."""
        if len(self._waiting[study]) < count:
            self._look(study, entry)  # what became free since we looked goes along
        waiting, self._waiting[study] = self._waiting[study][:count], self._waiting[study][count:]
        return [Claim(_settings(t), entry.contender, study, t._trial_id) for t in waiting]

    def _look(self, study: int, entry: Entry) -> None:
        """Fill the queue and note what waits. Of trials with one run only the first is left: two may fill a queue at
        the same time, and both may see the copy, so the other may have dropped it already."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        trials = self.fill(study, entry)
        seen: set[tuple[Any, ...]] = set()
        waiting = self._waiting[study] = []
        for trial in sorted(trials, key=lambda t: t.number):
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
        self.finish_all([(claim, record)])

    def finish_all(self, ended: Sequence[tuple[Claim, Record]]) -> None:
        """Keep the records of runs that were claimed."""
        if not ended:
            return
        with storage_errors(self.url):
            kept = self.storage.end_trials({claim.trial_id: record for claim, record in ended})
            for claim, record in ended:
                self._looked.pop(claim.study_id, None)  # what waited for this run may start
                # Said twice for want of an answer, or we were taken for dead: but are not, so the run counts.
                if claim.trial_id not in kept and "record" not in self.storage.get_trial(claim.trial_id).user_attrs:
                    self.storage.add_trials(claim.study_id, [Row(claim.settings, claim.contender, record)])

    def keep(self, study: int, entry: Entry, records: Sequence[Record]) -> None:
        """Keep the records of runs that were not claimed, but for those that the study has."""
        with storage_errors(self.url):
            known = self._records(self.storage.get_all_trials(study, deepcopy=False))
            fresh = [r for r in records if r.settings.key not in known]
            if fresh:
                self.storage.add_trials(study, [Row(r.settings, entry.contender, r) for r in fresh])

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
            self.storage.beat_trials([claim.trial_id for claim in claims])

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
                self.storage.set_trial_user_attr(trial._trial_id, "lost", True)
                self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    def _owner_is_dead(self, trial: FrozenTrial) -> bool:
        if "owner" not in trial.user_attrs:  # it died before it could sign
            began = trial.datetime_start
            return began is not None and time.time() - began.timestamp() > self.grace
        return owner.is_dead(trial.user_attrs["owner"], self.owner)


def _settings(trial: FrozenTrial) -> Settings:
    return Settings(**trial.user_attrs["settings"])


def _key(trial: FrozenTrial) -> tuple[Any, ...]:
    return _settings(trial).key


def _turn(trial: FrozenTrial) -> tuple[int, int]:
    """Whose turn it is: the lowest."""
    settings = _settings(trial)
    return settings.repetition, settings.trial
