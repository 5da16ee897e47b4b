"""A storage that outlives its database's outages: what failed for want of a connection is tried again."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

PATIENCE = 1800.0
"""Seconds that an outage may last before it ends the comparison."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
"""Seconds between tries; each pause is twice the one before."""

CONNECTION = {
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""What libpq is told, so that a machine that no longer answers is noticed within half a minute; a URL may say else."""


class Patient:
    """A storage of Optuna's whose calls wait for the database, at most `patience` seconds, and then go on.

    While it waits `say` is called with a line for the user, and with "" when the storage is back. Each call is repeated
    by itself, so the callers' steps go on where they were; a step may then be done twice, which all of them allow.
    """

    def __init__(self, storage: Any, patience: float = PATIENCE) -> None:
        self.impatient = storage
        self.patience = patience
        self.say: Callable[[str], None] = lambda text: None
        self.back_since = float("-inf")
        """When, in time.monotonic(), the last outage was over."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.impatient, name)
        return partial(self.call, found) if callable(found) else found

    def call(self, do: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What `do` returns, tried again as long as the database can't be reached. Raises what it raises else."""
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import SQLAlchemyError

        began, pause = None, FIRST_PAUSE
        while True:
            try:
                result = do(*args, **kwargs)
            except (StorageInternalError, SQLAlchemyError) as error:
                now = time.monotonic()
                began = now if began is None else began
                if not is_outage(error) or now - began >= self.patience:
                    raise
                self.say(f"no connection to the storage for {now - began:.0f} s, trying again; runs go on")
                time.sleep(min(pause, max(0.0, began + self.patience - now)))
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                if began is not None:
                    self.back_since = time.monotonic()
                    self.say("")
                return result


def is_outage(error: BaseException) -> bool:
    """Whether the database can't be reached or used for now: what a restart, a cut, a lock or a full server looks
    like. SQLite's errors are final, but for a file that others keep locked."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError

    while error.__cause__ is not None and not isinstance(error, DBAPIError):
        error = error.__cause__
    if isinstance(error, PendingRollbackError):  # Optuna asked on in a transaction that was lost with its connection
        return True
    if not isinstance(error, DBAPIError):
        return False
    if type(error.orig).__module__ == "sqlite3":
        return "locked" in str(error.orig)
    return error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))
