"""All SQL on challenges that a recovery code answers. Rows live for minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import clock
from saveos.database.connection import many, one
from saveos.protocol import AgentId, RecoverableHost, TenantId

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime


def tenant_of_key(connection: sqlite3.Connection, recovery_public_key: bytes) -> TenantId | None:
    """Return whose recovery key this is."""
    row = one(connection, "SELECT id FROM tenants WHERE recovery_public_key = ?", (recovery_public_key,))
    return TenantId(row["id"]) if row else None


def insert(
    connection: sqlite3.Connection, challenge_id: str, tenant_id: str, secret_hash: str, address: str, until: datetime
) -> None:
    """Add a challenge, and forget those that nobody answered in time. An empty tenant: of a key that nobody has."""
    connection.execute("DELETE FROM recovery_challenges WHERE expires_at <= ?", (clock.to_text(clock.now()),))
    connection.execute(
        "INSERT INTO recovery_challenges (id, tenant_id, secret_hash, address, expires_at) VALUES (?, ?, ?, ?, ?)",
        (challenge_id, tenant_id, secret_hash, address, clock.to_text(until)),
    )


def live_count(connection: sqlite3.Connection) -> int:
    """Return how many challenges wait for an answer."""
    now = clock.to_text(clock.now())
    row = one(connection, "SELECT count(*) AS count FROM recovery_challenges WHERE expires_at > ?", (now,))
    return int(row["count"]) if row else 0


def get(connection: sqlite3.Connection, challenge_id: str) -> sqlite3.Row | None:
    """Return tenant_id and secret_hash of a challenge that is still good."""
    return one(
        connection,
        "SELECT tenant_id, secret_hash FROM recovery_challenges WHERE id = ? AND expires_at > ?",
        (challenge_id, clock.to_text(clock.now())),
    )


def spend(connection: sqlite3.Connection, challenge_id: str) -> None:
    """Let a challenge be good for nothing more."""
    connection.execute("DELETE FROM recovery_challenges WHERE id = ?", (challenge_id,))


def hosts(connection: sqlite3.Connection, tenant_id: TenantId) -> tuple[RecoverableHost, ...]:
    """Return the hosts of a tenant that have a key and a snapshot, the newest snapshot first."""
    rows = many(
        connection,
        "SELECT a.id, a.hostname, max(s.started_at) AS last_backup_at FROM agents a"
        " JOIN snapshots s ON s.agent_id = a.id JOIN repositories r ON r.agent_id = a.id AND r.state = 'ready'"
        " WHERE a.tenant_id = ? AND a.state <> 'revoked' GROUP BY a.id ORDER BY last_backup_at DESC",
        (tenant_id,),
    )
    return tuple(
        RecoverableHost(
            agent_id=AgentId(row["id"]),
            hostname=row["hostname"],
            last_backup_at=clock.from_text(row["last_backup_at"]),
        )
        for row in rows
    )
