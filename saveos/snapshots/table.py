"""All SQL on snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from saveos import clock
from saveos.database.connection import many, one
from saveos.snapshots.model import ListedSnapshot, Snapshot

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from datetime import datetime

    from saveos.protocol import TenantId
    from saveos.snapshots.model import SnapshotChoice

S = TypeVar("S", bound=Snapshot)


def to_snapshot(row: Mapping[str, Any] | sqlite3.Row) -> Snapshot:
    """Return what a row of the table says."""
    return _convert(row, Snapshot)


def _convert(row: Mapping[str, Any] | sqlite3.Row, kind: type[S]) -> S:
    values = dict(row)
    values["sources"] = msgspec.json.decode(values.pop("sources_json"))
    return msgspec.convert(values, kind)


def insert(connection: sqlite3.Connection, snapshot: Snapshot) -> Snapshot:
    """Add a snapshot and return it; the same archive of an agent is added once."""
    values = msgspec.to_builtins(snapshot)
    values["sources_json"] = msgspec.json.encode(values.pop("sources")).decode()
    values["started_at"] = clock.to_text(snapshot.started_at)
    values["ended_at"] = clock.to_text(snapshot.ended_at)
    names = ", ".join(values)
    connection.execute(
        f"INSERT INTO snapshots ({names}) VALUES ({', '.join(':' + name for name in values)}) ON CONFLICT DO NOTHING",
        values,
    )
    return snapshot


def get(connection: sqlite3.Connection, snapshot_id: str, tenant_id: TenantId) -> Snapshot | None:
    """Return a tenant's snapshot."""
    row = one(connection, "SELECT * FROM snapshots WHERE id = ? AND tenant_id = ?", (snapshot_id, tenant_id))
    return to_snapshot(row) if row else None


def by_archive(connection: sqlite3.Connection, agent_id: str, archive: str) -> Snapshot | None:
    """Return an agent's snapshot of an archive's name."""
    row = one(connection, "SELECT * FROM snapshots WHERE agent_id = ? AND archive = ?", (agent_id, archive))
    return to_snapshot(row) if row else None


def of_agent(connection: sqlite3.Connection, agent_id: str, *, before: str = "", limit: int = 500) -> list[Snapshot]:
    """Return an agent's snapshots, newest first; `before`: only those older than this id."""
    rows = many(
        connection,
        "SELECT * FROM snapshots WHERE agent_id = ?1 AND (?2 = '' OR id < ?2) ORDER BY id DESC LIMIT ?3",
        (agent_id, before, limit),
    )
    return [to_snapshot(row) for row in rows]


def all_of_agent(connection: sqlite3.Connection, agent_id: str) -> list[Snapshot]:
    """Return all of an agent's snapshots, newest first by when they began."""
    rows = many(connection, "SELECT * FROM snapshots WHERE agent_id = ? ORDER BY started_at DESC, id DESC", (agent_id,))
    return [to_snapshot(row) for row in rows]


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
    """Return the newest snapshot of each of a tenant's agents that can be restored, by agent id."""
    rows = many(
        connection,
        "SELECT s.* FROM agents a JOIN snapshots s ON s.id = (SELECT n.id FROM snapshots n WHERE n.agent_id = a.id"
        " AND n.standing <> 'lost' ORDER BY n.started_at DESC, n.id DESC LIMIT 1) WHERE a.tenant_id = ?",
        (tenant_id,),
    )
    return {row["agent_id"]: to_snapshot(row) for row in rows}


_NAMED = "SELECT n.id FROM agents n WHERE n.tenant_id = :tenant_id AND instr(lower(n.hostname), lower(:search)) > 0"
_HELD = (
    "SELECT h.snapshot_id FROM holds h WHERE h.tenant_id = :tenant_id AND h.released_at IS NULL"
    " AND (h.until IS NULL OR h.until > :now)"
)
_LISTED = (
    "SELECT s.*, a.hostname, p.name AS policy_name FROM snapshots s JOIN agents a ON a.id = s.agent_id"
    " JOIN jobs j ON j.id = s.job_id LEFT JOIN policies p ON p.id = j.policy_id"
)


def page(
    connection: sqlite3.Connection, tenant_id: TenantId, choice: SnapshotChoice, offset: int, limit: int
) -> list[ListedSnapshot]:
    """Return a tenant's snapshots of a choice, newest first."""
    conditions, values = _conditions(tenant_id, choice)
    join = " JOIN jobs j ON j.id = s.job_id" if choice.policy_id else ""
    chosen = (
        f"SELECT s.id FROM snapshots s{join} WHERE {conditions}"
        " ORDER BY s.started_at DESC, s.id DESC LIMIT :limit OFFSET :offset"
    )
    statement = f"{_LISTED} WHERE s.id IN ({chosen}) ORDER BY s.started_at DESC, s.id DESC"
    rows = many(connection, statement, {**values, "limit": limit, "offset": offset})
    return [_convert(row, ListedSnapshot) for row in rows]


def count(connection: sqlite3.Connection, tenant_id: TenantId, choice: SnapshotChoice) -> int:
    """Return how many snapshots a choice has."""
    conditions, values = _conditions(tenant_id, choice)
    join = " JOIN jobs j ON j.id = s.job_id" if choice.policy_id else ""
    row = one(connection, f"SELECT count(*) AS count FROM snapshots s{join} WHERE {conditions}", values)
    return int(row["count"]) if row else 0


def listed(connection: sqlite3.Connection, snapshot_id: str, tenant_id: TenantId) -> ListedSnapshot | None:
    """Return a tenant's snapshot with the names of its host and policy."""
    row = one(connection, f"{_LISTED} WHERE s.id = ? AND s.tenant_id = ?", (snapshot_id, tenant_id))
    return _convert(row, ListedSnapshot) if row else None


def _conditions(tenant_id: TenantId, choice: SnapshotChoice) -> tuple[str, dict[str, Any]]:
    wanted: dict[str, tuple[str, Any]] = {
        "search": (f"s.agent_id IN ({_NAMED})", choice.search),
        "agent_id": ("s.agent_id = :agent_id", choice.agent_id),
        "policy_id": ("j.policy_id = :policy_id", choice.policy_id),
        "since": ("s.started_at >= :since", clock.to_text(choice.since) if choice.since else ""),
        "until": ("s.started_at < :until", clock.to_text(choice.until) if choice.until else ""),
        "now": (f"s.id IN ({_HELD})", clock.to_text(clock.now()) if choice.is_held else ""),
        "standing": ("s.standing = :standing", choice.standing.value if choice.standing else ""),
    }
    values = {name: value for name, (_condition, value) in wanted.items() if value}
    # The plus keeps SQLite from walking the whole tenant where the index by agent is the short way.
    is_narrow = bool(choice.agent_id or choice.search)
    tenant = "+s.tenant_id = :tenant_id" if is_narrow else "s.tenant_id = :tenant_id"
    conditions = [tenant, *(wanted[name][0] for name in values)]
    if choice.has_warnings is not None:
        conditions.append("s.warnings_count > 0" if choice.has_warnings else "s.warnings_count = 0")
    return " AND ".join(conditions), {**values, "tenant_id": tenant_id}
