"""All SQL on what rolling a repository back would change among its snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.database.connection import many
from saveos.snapshots.table import to_snapshot

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from saveos.protocol import AgentId, JobId
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
