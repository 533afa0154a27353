"""Whoever guesses waits: each failure of a name beyond the fifth doubles the time until it may be tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from saveos import clock
from saveos.errors import TooMany
from saveos.identity import table

if TYPE_CHECKING:
    import sqlite3

    from saveos.database.connection import Database

FREE_FAILURES = 5  # then each further one doubles the wait
LONGEST_WAIT = timedelta(minutes=15)


def require(database: Database, name: str) -> None:
    """Raise TooMany while the name has to wait."""
    row = table.throttle(database.read, name)
    if row is None or row["failures"] < FREE_FAILURES:
        return
    remaining = (clock.from_text(row["blocked_until"]) - clock.now()).total_seconds()
    if remaining > 0:
        message = f"Too many failed attempts. Try again in {int(remaining) + 1} s."
        raise TooMany(message, retry_seconds=int(remaining) + 1)


def note_failure(connection: sqlite3.Connection, name: str) -> None:
    """Count a failure of a name."""
    row = table.throttle(connection, name)
    failures = (row["failures"] if row else 0) + 1
    wait = (
        min(timedelta(seconds=2 ** max(0, failures - FREE_FAILURES)), LONGEST_WAIT)
        if failures >= FREE_FAILURES
        else timedelta()
    )
    table.set_throttle(connection, name, failures, clock.now() + wait)


def forget(connection: sqlite3.Connection, name: str) -> None:
    """Let a name begin anew: it was right."""
    table.clear_throttle(connection, name)
