"""All SQL on self-backups: how they stand, and what is to be counted as a change (see the schema's triggers)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from saveos.database.connection import many, one
from saveos.selfbackup.model import State

if TYPE_CHECKING:
    import sqlite3

LIVES = 1000  # more often than a repository is rolled back between two self-backups
_AWAY = "FROM repositories r JOIN agents a ON a.id = r.agent_id WHERE r.away_at IS NOT NULL"
_NAMES = ", ".join(State.__struct_fields__)


def state(connection: sqlite3.Connection) -> State:
    """Return how self-backups stand."""
    row = one(connection, f"SELECT {_NAMES} FROM self_backup")
    return msgspec.convert(dict(row), State) if row else State()


def set_state(connection: sqlite3.Connection, **values: Any) -> None:
    """Keep some of how they stand."""
    connection.execute(f"UPDATE self_backup SET {', '.join(f'{name} = :{name}' for name in values)}", values)


def end_jobs(connection: sqlite3.Connection, state: str, why: str, now: str) -> None:
    """End what was queued or running, but for backups that wait: to make one more harms nothing.

    What waits may have been done after the self-backup: a restore, done again, would undo what people did since.
    """
    connection.execute(
        "UPDATE jobs SET state = ?, error_code = 'lost', message = ?, ended_at = ?, lease_until = NULL"
        " WHERE state = 'running' OR state = 'queued' AND kind <> 'backup'",
        (state, why, now),
    )


def forget_guests(connection: sqlite3.Connection, now: str) -> None:
    """Sign everybody out, and withdraw what was to be handed out or answered once."""
    for name in ("sessions", "recovery_challenges", "questions", "throttles"):
        connection.execute(f"DELETE FROM {name}")
    connection.execute("DELETE FROM facts WHERE name IN ('setup_secret_hash', 'disk-full')")
    connection.execute(
        "UPDATE provisionings SET withdrawn_at = ? WHERE spent_at IS NULL AND withdrawn_at IS NULL", (now,)
    )


def renew_lives(connection: sqlite3.Connection) -> None:
    """Let each repository be in a life that no host has seen: it forgets what it believed to be there.

    Nobody knows how often it was rolled back since, nor how large its manifest was last: what is smaller than expected
    would be taken for an attack. Checkpoints stayed on the former machine.
    """
    connection.execute(
        f"UPDATE repositories SET generation = generation + {LIVES}, upkeep_job = '', quarantine_bytes = 0,"
        " manifest_bytes = 0"
    )
    connection.execute("DELETE FROM checkpoints")


def forget_listings(connection: sqlite3.Connection) -> None:
    """Forget what catalogues hold, which stayed on the former machine."""
    connection.execute("DELETE FROM listings")
    connection.execute("UPDATE agents SET listings_wanted = 0")


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many there are of what people know by number."""
    row = one(
        connection,
        "SELECT (SELECT count(*) FROM users) AS users_count, (SELECT count(*) FROM policies) AS policies_count,"
        " (SELECT count(*) FROM agents WHERE state <> 'revoked') AS hosts_count,"
        " (SELECT count(*) FROM snapshots WHERE standing <> 'lost') AS snapshots_count,"
        " (SELECT count(*) FROM repositories WHERE engine_id <> '') AS repositories_count",
    )
    return dict(row) if row else {}


def tenant_names(connection: sqlite3.Connection) -> list[str]:
    """Return what tenants are called, the oldest first."""
    return [row["name"] for row in many(connection, "SELECT name FROM tenants ORDER BY created_at, id")]


def away(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the hosts whose repository is not on this machine."""
    rows = many(connection, f"SELECT a.hostname {_AWAY} ORDER BY 1")
    return [row["hostname"] for row in rows]


def without_copy(connection: sqlite3.Connection) -> list[str]:
    """Return the names of those of them of which there is no offsite copy either."""
    no_copy = "NOT EXISTS (SELECT 1 FROM offsite_generations g WHERE g.agent_id = r.agent_id)"
    rows = many(connection, f"SELECT a.hostname {_AWAY} AND {no_copy} ORDER BY 1")
    return [row["hostname"] for row in rows]
