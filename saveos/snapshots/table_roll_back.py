"""All SQL on what rolling a repository back would change among its snapshots."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.database.connection import many
from saveos.snapshots.table import to_snapshot

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from saveos.protocol import AgentId, JobId, TenantId
    from saveos.snapshots.model import Snapshot

# What an agent (?1) had at a moment (?2) and was removed, or lost, since.
REMOVED = (
    "FROM removed_snapshots WHERE agent_id = ?1 AND removed_at >= ?2 AND json_extract(row_json, '$.ended_at') <= ?2"
    " AND coalesce(json_extract(row_json, '$.lost_at'), ?2) >= ?2"
)
LOST = "FROM snapshots WHERE agent_id = ?1 AND standing = 'lost' AND ended_at <= ?2 AND lost_at >= ?2"


def to_go(connection: sqlite3.Connection, agent_id: AgentId, moment: str, away: AbstractSet[str]) -> list[Snapshot]:
    """Return the snapshots that were recorded after a moment (text) or were `away` then, newest first."""
    rows = many(
        connection,
        "SELECT * FROM snapshots WHERE agent_id = ? AND (ended_at > ? OR standing <> 'lost' AND archive_id IN"
        " (SELECT value FROM json_each(?))) ORDER BY started_at DESC, id DESC",
        (agent_id, moment, msgspec.json.encode(sorted(away)).decode()),
    )
    return [to_snapshot(row) for row in rows]


def to_come_back(connection: sqlite3.Connection, agent_id: AgentId, moment: str) -> list[Snapshot]:
    """Return the snapshots of up to a moment (text) that were removed or lost since, newest first."""
    removed = many(connection, f"SELECT row_json {REMOVED}", (agent_id, moment))
    lost = many(connection, f"SELECT * {LOST}", (agent_id, moment))
    found = [to_snapshot(msgspec.json.decode(row["row_json"])) for row in removed] + [to_snapshot(row) for row in lost]
    return sorted(found, key=lambda snapshot: (snapshot.started_at, snapshot.id), reverse=True)


def coming_back(connection: sqlite3.Connection, agent_id: AgentId, moment: str) -> dict[str, str]:
    """Return since when (text) the archives of `to_come_back` have been away."""
    rows = many(
        connection,
        "SELECT json_extract(row_json, '$.archive_id') AS archive_id,"
        f" coalesce(json_extract(row_json, '$.lost_at'), removed_at) AS since {REMOVED}"
        f" UNION ALL SELECT archive_id, lost_at {LOST}",
        (agent_id, moment),
    )
    return {row["archive_id"]: row["since"] for row in rows}


def note(connection: sqlite3.Connection, job_id: JobId, came_back: Mapping[str, str]) -> None:
    """Keep with a roll-back what it brought back and since when that had been away; done again, it adds to it.

    Whoever goes back to a moment in between, as to what stood there before it, finds them away again.
    """
    connection.execute(
        "UPDATE jobs SET order_json = json_patch(order_json, json_object('settled_at', ?2, 'came_back', json(?3)))"
        " WHERE id = ?1",
        (job_id, clock.to_text(clock.now()), msgspec.json.encode(came_back).decode()),
    )


def note_following(connection: sqlite3.Connection, job_id: JobId, following_id: JobId) -> None:
    """Keep with a job that fetched a repository back which roll-back it asked for."""
    connection.execute(
        "UPDATE jobs SET order_json = json_patch(order_json, json_object('roll_back', ?)) WHERE id = ?",
        (following_id, job_id),
    )


def away_at(connection: sqlite3.Connection, agent_id: AgentId, moment: str) -> set[str]:
    """Return the archive ids that a later roll-back brought back, and that were not there at a moment (text)."""
    rows = many(
        connection,
        "SELECT came.key AS archive_id FROM jobs j, json_each(j.order_json, '$.came_back') came WHERE j.agent_id = ?1"
        " AND j.kind = 'roll-back' AND json_extract(j.order_json, '$.settled_at') > ?2 AND came.value < ?2",
        (agent_id, moment),
    )
    return {row["archive_id"] for row in rows}


def away(connection: sqlite3.Connection, tenant_id: TenantId | None) -> list[tuple[TenantId, AgentId]]:
    """Return (tenant, agent) of the repositories that are only in the offsite copy, of a tenant or of all."""
    rows = many(
        connection,
        "SELECT tenant_id, agent_id FROM repositories WHERE away_at IS NOT NULL AND (?1 IS NULL OR tenant_id = ?1)",
        (tenant_id,),
    )
    return [(row["tenant_id"], row["agent_id"]) for row in rows]


def wanted(connection: sqlite3.Connection, tried_before: datetime) -> list[tuple[TenantId, AgentId]]:
    """Return (tenant, agent) of those of them that a job waits for, and that nobody has tried to fetch of late."""
    rows = many(
        connection,
        "SELECT r.tenant_id, r.agent_id FROM repositories r WHERE r.away_at IS NOT NULL"
        " AND EXISTS (SELECT 1 FROM jobs j WHERE j.state = 'queued'"
        " AND j.kind IN ('backup', 'prune', 'restore', 'drill', 'verify')"
        " AND coalesce(json_extract(j.order_json, '$.restore.lender.agent_id'), j.agent_id) = r.agent_id)"
        " AND NOT EXISTS (SELECT 1 FROM jobs f WHERE f.agent_id = r.agent_id AND f.kind IN ('rehydrate', 'roll-back')"
        " AND (f.state IN ('queued', 'running') OR f.ended_at > ? AND f.error_code <> 'lost'))",
        (clock.to_text(tried_before),),
    )
    return [(row["tenant_id"], row["agent_id"]) for row in rows]


def lose_others(
    connection: sqlite3.Connection, agent_id: AgentId, moment: datetime, archive_ids: AbstractSet[str]
) -> None:
    """Call those snapshots of up to a moment lost whose archives were no more in the repository by then.

    They were lost before it: whoever goes back to that moment does not find them.
    """
    archives = msgspec.json.encode(sorted(archive_ids)).decode()
    connection.execute(
        "UPDATE snapshots SET standing = 'lost', lost_at = ?1, lost_from = standing WHERE agent_id = ?2"
        " AND standing <> 'lost' AND ended_at <= ?1 AND archive_id NOT IN (SELECT value FROM json_each(?3))",
        (clock.to_text(moment - timedelta(microseconds=1)), agent_id, archives),
    )
    connection.execute(
        "UPDATE snapshots SET standing = lost_from, lost_at = NULL WHERE agent_id = ?1 AND standing = 'lost'"
        " AND archive_id IN (SELECT value FROM json_each(?2))",
        (agent_id, archives),
    )


def insert_learned_job(
    connection: sqlite3.Connection,
    job_id: JobId,
    tenant_id: TenantId,
    agent_id: AgentId,
    started_at: datetime,
    ended_at: datetime,
    why: str,
) -> None:
    """Add the backup that a snapshot is of which nothing else is known here."""
    began, ended = clock.to_text(started_at), clock.to_text(ended_at)
    connection.execute(
        "INSERT INTO jobs (id, tenant_id, agent_id, kind, runs_on, state, order_json, not_before, requested_by,"
        " requested_at, started_at, ended_at, message) VALUES (?1, ?2, ?3, 'backup', 'host', 'done',"
        """ '{"backup":{"archive":"","sources":[]}}', ?4, 'system:offsite', ?4, ?4, ?5, ?6)""",
        (job_id, tenant_id, agent_id, began, ended, why),
    )
