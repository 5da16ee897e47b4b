"""Optuna's tables, written many trials at a time. Its own interface has a transaction for every value, some twenty
milliseconds a run: that is what a run takes to train where many are trained together.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ravine.lab.records import FINISHED, PRUNED, Record, Settings
from ravine.lab.search import parameters

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.trial import TrialState
    from sqlalchemy.engine import Engine
    from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Row:
    """A run as a trial: one that waits, or one that has ended."""

    settings: Settings
    contender: Mapping[str, Any]
    record: Record | None = None


class Storage:
    """Optuna's storage in a database, with its own interface and these further writes.

    Each of them is one transaction. What several processes may want at the same time is asked of the database in the
    statement that writes, so only one of them gets it. After an outage any of them may be done once more.
    """

    def __init__(self, database: RDBStorage) -> None:
        from optuna.storages import get_storage

        # What has ended is read once: reading hundreds of records anew at every look costs more than training them.
        self._cached, self._engine = get_storage(database), database.engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cached, name)

    def add_trials(self, study: int, rows: Sequence[Row]) -> None:
        """Append trials to a study."""
        from optuna.distributions import distribution_to_json
        from optuna.storages._rdb import models
        from optuna.trial import TrialState

        with _transaction(self._engine) as session:
            # Optuna's own order: the lock first, and numbers when the trials are there.
            models.StudyModel.find_or_raise_by_id(study, session, for_update=True)
            trials = [models.TrialModel(study_id=study, state=TrialState.WAITING) for _ in rows]
            session.add_all(trials)
            session.flush()
            first, ended = trials[0].count_past_trials(session), []
            for number, (trial, row) in enumerate(zip(trials, rows, strict=True), first):
                trial.number = number
                hyper = {**row.contender["defaults"], **row.settings.hyper}
                values, distributions = parameters(row.contender["space"], hyper)
                for name, value in values.items():
                    inner, text = distributions[name].to_internal_repr(value), distribution_to_json(distributions[name])
                    session.add(
                        models.TrialParamModel(
                            trial_id=trial.trial_id, param_name=name, param_value=inner, distribution_json=text
                        )
                    )
                _note(session, trial.trial_id, "settings", asdict(row.settings))
                if row.record is not None:
                    trial.state, trial.datetime_start = _state(row.record), datetime.now()
                    ended.append((trial, row.record))
            _note_records(session, ended)

    def take_trials(self, trials: Sequence[int], owner: str, claim: str) -> set[int]:
        """Turn waiting trials to running ones with an owner; those that were waiting still, or that the same claim,
        whose answer was lost, has turned before."""
        from optuna.storages._rdb import models
        from optuna.trial import TrialState
        from sqlalchemy import select

        with _transaction(self._engine) as session:
            taken = _turn(session, dict.fromkeys(trials, TrialState.RUNNING), TrialState.WAITING)
            for trial in _found(session, taken):
                trial.datetime_start = datetime.now()
                _note(session, trial.trial_id, "owner", owner)
                _note(session, trial.trial_id, "claim", claim)
                session.add(models.TrialHeartbeatModel(trial_id=trial.trial_id))
            if rest := set(trials) - taken:
                note = models.TrialUserAttributeModel
                same = (note.trial_id.in_(rest), note.key == "claim", note.value_json == json.dumps(claim))
                taken |= set(session.scalars(select(note.trial_id).where(*same)))
            return taken

    def end_trials(self, records: Mapping[int, Record]) -> set[int]:
        """Keep the records of running trials, in Optuna's terms too; those that were running still."""
        from optuna.trial import TrialState

        with _transaction(self._engine) as session:
            ended = _turn(session, {t: _state(r) for t, r in records.items()}, TrialState.RUNNING)
            _note_records(session, [(trial, records[trial.trial_id]) for trial in _found(session, ended)])
            return ended

    def beat_trials(self, trials: Collection[int]) -> None:
        """Note a sign of life for trials, by the database's clock."""
        from optuna.storages._rdb.models import TrialHeartbeatModel as Beat
        from sqlalchemy import func, update

        with _transaction(self._engine) as session:
            session.execute(update(Beat).where(Beat.trial_id.in_(trials)).values(heartbeat=func.current_timestamp()))


@contextmanager
def _transaction(engine: Engine) -> Iterator[Session]:
    from sqlalchemy.orm import Session

    with Session(engine) as session, session.begin():
        yield session


def _turn(session: Session, states: Mapping[int, TrialState], before: TrialState) -> set[int]:
    """Set the states of those trials that have the state `before`."""
    from optuna.storages._rdb.models import TrialModel as Trial
    from sqlalchemy import update

    found = set()
    for number, state in sorted(states.items()):  # all in one order, or two could wait for each other
        turned = session.execute(
            update(Trial).where(Trial.trial_id == number, Trial.state == before).values(state=state)
        )
        if turned.rowcount:  # type: ignore[attr-defined]
            found.add(number)
    return found


def _found(session: Session, trials: Collection[int]) -> Sequence[Any]:
    from optuna.storages._rdb.models import TrialModel as Trial
    from sqlalchemy import select

    return session.scalars(select(Trial).where(Trial.trial_id.in_(trials)).order_by(Trial.trial_id)).all()


def _state(record: Record) -> TrialState:
    """How a run ended, in Optuna's terms."""
    from optuna.trial import TrialState

    return {FINISHED: TrialState.COMPLETE, PRUNED: TrialState.PRUNED}.get(record.status, TrialState.FAIL)


def _note(session: Session, trial: Any, key: str, value: Any) -> None:
    from optuna.storages._rdb.models import TrialUserAttributeModel

    session.add(TrialUserAttributeModel(trial_id=trial, key=key, value_json=json.dumps(value)))


def _note_records(session: Session, ended: Sequence[tuple[Any, Record]]) -> None:
    """Trials' records, and as Optuna's own tools show them: values, the losses on the way, when they ended."""
    from optuna.storages._rdb import models
    from sqlalchemy import insert

    curve: Any = models.TrialIntermediateValueModel
    points = []
    for trial, record in ended:
        trial.datetime_complete = datetime.now()
        _note(session, trial.trial_id, "record", record.to_dict())
        if record.status in (FINISHED, PRUNED):
            loss = record.loss if record.status == FINISHED else record.curve["loss"][-1]
            value, kind = models.TrialValueModel.value_to_stored_repr(loss)
            session.add(models.TrialValueModel(trial_id=trial.trial_id, objective=0, value=value, value_type=kind))
        for step, loss in zip(record.curve["step"], record.curve["loss"], strict=True):
            point = {"trial_id": trial.trial_id, "step": int(step)}
            stored, its_kind = curve.intermediate_value_to_stored_repr(loss)
            points.append({**point, "intermediate_value": stored, "intermediate_value_type": its_kind})
    if points:
        session.execute(insert(curve), points)
