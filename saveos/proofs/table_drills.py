"""All SQL on restore drills, and on when a host is to do one."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.database.connection import many, one
from saveos.proofs.model import Drill
from saveos.protocol import AgentId, NamedArchive, TenantId

if TYPE_CHECKING:
    import sqlite3

_DRILL = (
    "SELECT d.id, d.tenant_id, d.agent_id, d.job_id, d.received_at, d.nonce, d.statement AS statement_text,"
    " d.signature, d.thumbprint, d.files_count, d.original_bytes, d.mismatches_count, d.restore_seconds, c.chain_pem,"
    " a.hostname FROM drills d JOIN drill_certificates c ON c.thumbprint = d.thumbprint"
    " JOIN agents a ON a.id = d.agent_id"
)


def insert(connection: sqlite3.Connection, drill: Drill) -> bool:
    """Keep a drill; return False when the job's is kept already."""
    connection.execute(
        "INSERT INTO drill_certificates (thumbprint, chain_pem) VALUES (?, ?) ON CONFLICT DO NOTHING",
        (drill.thumbprint, drill.chain_pem),
    )
    cursor = connection.execute(
        "INSERT INTO drills (id, tenant_id, agent_id, job_id, received_at, nonce, statement, signature, thumbprint,"
        " files_count, original_bytes, mismatches_count, restore_seconds)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job_id) DO NOTHING",
        (
            *(drill.id, drill.tenant_id, drill.agent_id, drill.job_id, clock.to_text(drill.received_at), drill.nonce),
            *(drill.statement_text, drill.signature, drill.thumbprint, drill.files_count, drill.original_bytes),
            *(drill.mismatches_count, drill.restore_seconds),
        ),
    )
    return cursor.rowcount == 1


def find(
    connection: sqlite3.Connection, tenant_id: TenantId, *, agent_id: str = "", before: str = "", limit: int = 100
) -> list[Drill]:
    """Return a tenant's drills, newest first. `before`: only older ones than this id."""
    rows = many(
        connection,
        f"{_DRILL} WHERE d.tenant_id = ?1 AND (?2 = '' OR d.agent_id = ?2) AND (?3 = '' OR d.id < ?3)"
        " ORDER BY d.id DESC LIMIT ?4",
        (tenant_id, agent_id, before, limit),
    )
    return [msgspec.convert(dict(row), Drill) for row in rows]


def between(
    connection: sqlite3.Connection, tenant_id: TenantId, since: datetime, until: datetime, agent_id: str = ""
) -> list[Drill]:
    """Return a tenant's drills that came in a time, the oldest first."""
    rows = many(
        connection,
        f"{_DRILL} WHERE d.tenant_id = ?1 AND d.received_at >= ?2 AND d.received_at < ?3"
        " AND (?4 = '' OR d.agent_id = ?4) ORDER BY d.id",
        (tenant_id, clock.to_text(since), clock.to_text(until), agent_id),
    )
    return [msgspec.convert(dict(row), Drill) for row in rows]


def of_job(connection: sqlite3.Connection, job_id: str, tenant_id: TenantId) -> Drill | None:
    """Return the drill that a job was."""
    row = one(connection, f"{_DRILL} WHERE d.job_id = ? AND d.tenant_id = ?", (job_id, tenant_id))
    return msgspec.convert(dict(row), Drill) if row else None


def last_proven_at(connection: sqlite3.Connection, tenant_id: TenantId) -> datetime | None:
    """Return when a drill of any host of a tenant last gave back what was backed up."""
    row = one(connection, "SELECT max(proven_at) AS at FROM agents WHERE tenant_id = ?", (tenant_id,))
    return clock.from_text(row["at"]) if row and row["at"] else None


def set_proven(connection: sqlite3.Connection, agent_id: AgentId, moment: datetime) -> None:
    """Keep when a host last proved that it can restore."""
    connection.execute("UPDATE agents SET proven_at = ? WHERE id = ?", (clock.to_text(moment), agent_id))


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A host that may be asked now. `drilled_at`, `verified_at`: when it was last asked for that; None: never.

    `maintenance`: "HH:MM-HH:MM" on the clock of `time_zone`, as its policy says.
    """

    agent_id: AgentId
    tenant_id: TenantId
    kinds: str
    maintenance: str
    time_zone: str
    backed_up_at: datetime
    drilled_at: datetime | None
    verified_at: datetime | None
    stored_bytes: int
    unlocated_at: datetime | None  # when damage was last found, or a snapshot made, that its host has not looked at
    verify_failures: int = 0  # verifications since the last one that came to an end
    copied_at: datetime | None = None  # when the newest generation of its offsite copy was made
    copy_drilled_at: datetime | None = None


def turns(connection: sqlite3.Connection, seen_since: datetime, tried_since: datetime) -> list[Turn]:
    """Return the hosts that are there, have a snapshot, and wait for neither drill nor verification.

    A drill that came to no verdict (the line was cut) and was asked for before `tried_since` counts for nothing.
    """
    rows = many(
        connection,
        "SELECT a.id AS agent_id, a.tenant_id, a.kinds, p.maintenance,"
        " CASE WHEN p.time_zone = '' THEN a.time_zone ELSE p.time_zone END AS time_zone, r.stored_bytes,"
        " (SELECT min(s.started_at) FROM snapshots s WHERE s.agent_id = a.id) AS backed_up_at,"
        " (SELECT max(j.requested_at) FROM jobs j WHERE j.agent_id = a.id AND j.kind = 'drill'"
        " AND (j.state NOT IN ('failed', 'cancelled') OR j.error_code LIKE 'drill-%' OR j.requested_at >= ?2))"
        " AS drilled_at,"
        " (SELECT max(j.requested_at) FROM jobs j WHERE j.agent_id = a.id AND j.kind = 'verify') AS verified_at,"
        " (SELECT count(*) FROM jobs j WHERE j.agent_id = a.id AND j.kind = 'verify' AND j.state = 'failed'"
        " AND j.requested_at > coalesce((SELECT max(g.requested_at) FROM jobs g WHERE g.agent_id = a.id"
        " AND g.kind = 'verify' AND g.state IN ('done', 'warned')), '')) AS verify_failures,"
        " (SELECT max(CASE WHEN d.located_at IS NULL THEN d.found_at ELSE (SELECT max(s.ended_at) FROM snapshots s"
        " WHERE s.agent_id = a.id AND s.standing <> 'lost' AND s.ended_at > d.located_at) END) FROM damages d"
        " WHERE d.agent_id = a.id AND d.cleared_at IS NULL AND length(d.place) = 64) AS unlocated_at,"
        " (SELECT o.made_at FROM offsite_states o WHERE o.agent_id = a.id AND o.generation > 0"
        " AND o.snapshot_at IS NOT NULL) AS copied_at,"
        " (SELECT max(j.requested_at) FROM jobs j WHERE j.agent_id = a.id AND j.kind = 'offsite-drill'"
        " AND (j.state NOT IN ('failed', 'cancelled') OR j.error_code LIKE 'drill-%' OR j.requested_at >= ?2))"
        " AS copy_drilled_at"
        " FROM agents a JOIN policies p ON p.id = a.policy_id JOIN repositories r ON r.agent_id = a.id"
        " WHERE a.state = 'ready' AND r.away_at IS NULL AND a.seen_at >= ?1 AND backed_up_at IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.agent_id = a.id"
        " AND j.kind IN ('drill', 'offsite-drill', 'verify') AND j.state IN ('queued', 'running'))",
        (clock.to_text(seen_since), clock.to_text(tried_since)),
    )
    return [msgspec.convert(dict(row), Turn) for row in rows]


def active_count(connection: sqlite3.Connection) -> int:
    """Return how many drills and verifications wait or run."""
    row = one(
        connection,
        "SELECT count(*) AS count FROM jobs WHERE state IN ('queued', 'running')"
        " AND kind IN ('drill', 'offsite-drill', 'verify')",
    )
    return int(row["count"]) if row else 0


def good_archives(
    connection: sqlite3.Connection, agent_id: AgentId, limit: int, until: datetime | None = None
) -> tuple[NamedArchive, ...]:
    """Return a host's archives that nothing is known against, the newest first. `until`: that had ended by then."""
    rows = many(
        connection,
        "SELECT archive AS name, archive_id FROM snapshots WHERE agent_id = ?1 AND standing = 'good'"
        " AND (?3 IS NULL OR ended_at <= ?3) ORDER BY id DESC LIMIT ?2",
        (agent_id, limit, clock.to_text(until) if until else None),
    )
    return tuple(msgspec.convert(dict(row), NamedArchive) for row in rows)
