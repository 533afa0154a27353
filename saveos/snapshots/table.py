"""All SQL on snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.database.connection import many, one
from saveos.snapshots.model import Snapshot

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from saveos.protocol import TenantId


def _to_snapshot(row: sqlite3.Row) -> Snapshot:
    values = dict(row)
    values["sources"] = msgspec.json.decode(values.pop("sources_json"))
    return msgspec.convert(values, Snapshot)


def insert(connection: sqlite3.Connection, snapshot: Snapshot) -> None:
    """Add a snapshot; the same archive of an agent is added once."""
    values = msgspec.to_builtins(snapshot)
    values["sources_json"] = msgspec.json.encode(values.pop("sources")).decode()
    values["started_at"] = clock.to_text(snapshot.started_at)
    values["ended_at"] = clock.to_text(snapshot.ended_at)
    names = ", ".join(values)
    connection.execute(
        f"INSERT INTO snapshots ({names}) VALUES ({', '.join(':' + name for name in values)}) ON CONFLICT DO NOTHING",
        values,
    )


def get(connection: sqlite3.Connection, snapshot_id: str, tenant_id: TenantId) -> Snapshot | None:
    """Return a tenant's snapshot."""
    row = one(connection, "SELECT * FROM snapshots WHERE id = ? AND tenant_id = ?", (snapshot_id, tenant_id))
    return _to_snapshot(row) if row else None


def of_agent(connection: sqlite3.Connection, agent_id: str, *, before: str = "", limit: int = 500) -> list[Snapshot]:
    """Return an agent's snapshots, newest first; `before`: only those older than this id."""
    rows = many(
        connection,
        "SELECT * FROM snapshots WHERE agent_id = ?1 AND (?2 = '' OR id < ?2) ORDER BY id DESC LIMIT ?3",
        (agent_id, before, limit),
    )
    return [_to_snapshot(row) for row in rows]


def outcomes_by_hour(connection: sqlite3.Connection, tenant_id: TenantId, since: datetime) -> list[sqlite3.Row]:
    """Return (agent_id, hour, state) of a tenant's host jobs that ended since; the hour is the text time up to it."""
    return many(
        connection,
        "SELECT DISTINCT agent_id, substr(ended_at, 1, 13) AS hour, state FROM jobs"
        " WHERE tenant_id = ? AND ended_at >= ? AND agent_id IS NOT NULL",
        (tenant_id, clock.to_text(since)),
    )


def newest(connection: sqlite3.Connection, agent_id: str) -> Snapshot | None:
    """Return an agent's newest snapshot."""
    found = of_agent(connection, agent_id, limit=1)
    return found[0] if found else None


def newest_of_agents(connection: sqlite3.Connection, tenant_id: TenantId) -> dict[str, Snapshot]:
    """Return the newest snapshot of each of a tenant's agents, by agent id."""
    rows = many(
        connection,
        "SELECT s.* FROM agents a JOIN snapshots s ON s.id = (SELECT n.id FROM snapshots n WHERE n.agent_id = a.id"
        " ORDER BY n.started_at DESC, n.id DESC LIMIT 1) WHERE a.tenant_id = ?",
        (tenant_id,),
    )
    return {row["agent_id"]: _to_snapshot(row) for row in rows}
