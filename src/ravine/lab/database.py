"""Optuna's storage in a database, opened: drivers, SQLite's settings, and what goes wrong, said in a line."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from ravine.lab.outage import CONNECTION

if TYPE_CHECKING:
    from optuna.storages import RDBStorage


class StoreError(OSError):
    """The storage can't be reached or written to."""


def open_storage(url: str, heartbeat: int, grace: int) -> RDBStorage:
    """The storage at a URL, with so many seconds between signs of life, and of silence until an owner counts as gone.
    Two that make its tables at the same time get in each other's way: then it is tried again."""
    from optuna.storages import RDBStorage

    is_file = url.startswith("sqlite")
    for attempt in range(3):
        with suppress(StoreError) if attempt < 2 else nullcontext(), storage_errors(url):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # heartbeats are marked experimental
                storage = RDBStorage(
                    _with_driver(url),
                    heartbeat_interval=heartbeat,
                    grace_period=grace,
                    engine_kwargs={"connect_args": {"timeout": 60}} if is_file else {"pool_pre_ping": True},
                )
            if is_file:
                _relax_sqlite(storage.engine)
            return storage
        time.sleep(0.5 * (attempt + 1))
    raise AssertionError("the third attempt returns or raises")


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
def storage_errors(url: str) -> Iterator[None]:
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
