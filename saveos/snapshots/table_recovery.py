"""All SQL on challenges that a recovery code answers. Rows live for minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import clock
from saveos.database.connection import many, one
from saveos.protocol import AgentId, RecoverableHost

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime


def insert(
    connection: sqlite3.Connection,
    challenge_id: str,
    public_key: bytes,
    secret_hash: str,
    address: str,
    until: datetime,
) -> None:
    """Add a challenge to the holder of a key, and forget those that nobody answered in time."""
    connection.execute("DELETE FROM recovery_challenges WHERE expires_at <= ?", (clock.to_text(clock.now()),))
    connection.execute(
        "INSERT INTO recovery_challenges (id, public_key, secret_hash, address, expires_at) VALUES (?, ?, ?, ?, ?)",
        (challenge_id, public_key, secret_hash, address, clock.to_text(until)),
    )


def is_known(connection: sqlite3.Connection, public_key: bytes) -> bool:
    """Return whether this is a tenant's recovery key, or one before that some host's key is still sealed to."""
    row = one(
        connection,
        "SELECT EXISTS (SELECT 1 FROM tenants WHERE recovery_public_key = ?1)"
        " OR EXISTS (SELECT 1 FROM seals WHERE public_key = ?1 AND purpose = 'recovery') AS is_known",
        (public_key,),
    )
    return bool(row and row["is_known"])


def live_count(connection: sqlite3.Connection) -> int:
    """Return how many challenges wait for an answer."""
    now = clock.to_text(clock.now())
    row = one(connection, "SELECT count(*) AS count FROM recovery_challenges WHERE expires_at > ?", (now,))
    return int(row["count"]) if row else 0


def get(connection: sqlite3.Connection, challenge_id: str) -> sqlite3.Row | None:
    """Return public_key and secret_hash of a challenge that is still good."""
    return one(
        connection,
        "SELECT public_key, secret_hash FROM recovery_challenges WHERE id = ? AND expires_at > ?",
        (challenge_id, clock.to_text(clock.now())),
    )


def spend(connection: sqlite3.Connection, challenge_id: str) -> None:
    """Let a challenge be good for nothing more."""
    connection.execute("DELETE FROM recovery_challenges WHERE id = ?", (challenge_id,))


def hosts(connection: sqlite3.Connection, public_key: bytes) -> tuple[RecoverableHost, ...]:
    """Return the hosts that have a snapshot and whose key is sealed to this one, the newest snapshot first."""
    rows = many(
        connection,
        "SELECT a.id, a.hostname, max(s.started_at) AS last_backup_at FROM seals k"
        " JOIN agents a ON a.id = k.agent_id JOIN snapshots s ON s.agent_id = a.id"
        " WHERE k.public_key = ? AND k.purpose = 'recovery' AND a.state <> 'revoked'"
        " GROUP BY a.id ORDER BY last_backup_at DESC",
        (public_key,),
    )
    return tuple(
        RecoverableHost(
            agent_id=AgentId(row["id"]),
            hostname=row["hostname"],
            last_backup_at=clock.from_text(row["last_backup_at"]),
        )
        for row in rows
    )
