"""All SQL on what rolling a repository back would change among its snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos.database.connection import many
from saveos.snapshots.table import to_snapshot

if TYPE_CHECKING:
    import sqlite3

    from saveos.protocol import AgentId
    from saveos.snapshots.model import Snapshot


def newer(connection: sqlite3.Connection, agent_id: AgentId, moment: str) -> list[Snapshot]:
    """Return the snapshots that were recorded after a moment (text), newest first: what goes."""
    rows = many(
        connection,
        "SELECT * FROM snapshots WHERE agent_id = ? AND ended_at > ? ORDER BY started_at DESC, id DESC",
        (agent_id, moment),
    )
    return [to_snapshot(row) for row in rows]


def to_come_back(connection: sqlite3.Connection, agent_id: AgentId, moment: str) -> list[Snapshot]:
    """Return the snapshots of up to a moment (text) that were removed since or are lost, newest first."""
    removed = many(
        connection,
        "SELECT row_json FROM removed_snapshots WHERE agent_id = ? AND removed_at >= ?"
        " AND json_extract(row_json, '$.ended_at') <= ?",
        (agent_id, moment, moment),
    )
    lost = many(
        connection,
        "SELECT * FROM snapshots WHERE agent_id = ? AND standing = 'lost' AND ended_at <= ?",
        (agent_id, moment),
    )
    found = [to_snapshot(msgspec.json.decode(row["row_json"])) for row in removed] + [to_snapshot(row) for row in lost]
    return sorted(found, key=lambda snapshot: (snapshot.started_at, snapshot.id), reverse=True)
