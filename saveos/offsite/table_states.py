"""All SQL on how the offsite copies of hosts stand, and which of them lack something."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from saveos import clock
from saveos.database.connection import many, one
from saveos.offsite.model import OffsiteState
from saveos.protocol import AgentId, TenantId

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

AGAIN_AFTER = timedelta(days=1)  # a verification that failed
_STATE = (
    "SELECT a.id AS agent_id, coalesce(o.store_id, '') AS store_id, coalesce(o.generation, 0) AS generation,"
    " o.made_at, o.snapshot_at, coalesce(o.bytes, 0) AS bytes, coalesce(o.segments_count, 0) AS segments_count,"
    " o.tried_at, coalesce(o.error_code, '') AS error_code, coalesce(o.error_message, '') AS error_message,"
    " o.verified_at, coalesce(o.verified_share, 0.0) AS verified_share, coalesce(o.findings_json, '[]') AS findings,"
    " (SELECT min(s.ended_at) FROM snapshots s WHERE s.agent_id = a.id AND s.standing <> 'lost'"
    " AND s.ended_at > coalesce(o.snapshot_at, '')) AS behind_since,"
    " (SELECT count(*) FROM snapshots s WHERE s.agent_id = a.id AND s.standing <> 'lost'"
    " AND s.ended_at > coalesce(o.snapshot_at, '')) AS behind_count,"
    " EXISTS (SELECT 1 FROM jobs j WHERE j.agent_id = a.id AND j.kind = 'offsite' AND j.state = 'running')"
    " AS is_copying,"
    " coalesce((SELECT json_extract(t.place_json, '$.is_enabled') FROM offsite_stores t"
    " WHERE coalesce(t.tenant_id, a.tenant_id) = a.tenant_id ORDER BY t.tenant_id IS NULL LIMIT 1), 0) AS is_asked"
    " FROM agents a LEFT JOIN offsite_states o ON o.agent_id = a.id"
)


def _to_state(row: sqlite3.Row) -> OffsiteState:
    values = {**dict(row), "findings": msgspec.json.decode(row["findings"])}
    return msgspec.convert(values | {name: bool(row[name]) for name in ("is_copying", "is_asked")}, OffsiteState)


def state_of(connection: sqlite3.Connection, agent_id: str) -> OffsiteState | None:
    """Return how a host's copy stands; None when there is no such host."""
    row = one(connection, f"{_STATE} WHERE a.id = ?", (agent_id,))
    return _to_state(row) if row else None


def states(connection: sqlite3.Connection, tenant_id: str) -> list[OffsiteState]:
    """Return how the copies of a tenant's hosts stand."""
    return [_to_state(row) for row in many(connection, f"{_STATE} WHERE a.tenant_id = ?", (tenant_id,))]


def all_states(connection: sqlite3.Connection) -> list[tuple[TenantId, OffsiteState]]:
    """Return how the copies of all hosts stand that are not revoked, with the tenant of each."""
    rows = many(connection, f"{_STATE.replace('SELECT ', 'SELECT a.tenant_id, ', 1)} WHERE a.state <> 'revoked'")
    return [(TenantId(row["tenant_id"]), _to_state(row)) for row in rows]


def open_alerts(connection: sqlite3.Connection) -> dict[AgentId, TenantId]:
    """Return the hosts of every open alert on a copy, and the tenant of each."""
    rows = many(connection, "SELECT tenant_id, agent_id FROM alerts WHERE kind = 'offsite' AND cleared_at IS NULL")
    return {AgentId(row["agent_id"]): TenantId(row["tenant_id"]) for row in rows}


def set_state(connection: sqlite3.Connection, agent_id: str, tenant_id: str, **values: Any) -> None:
    """Keep some of how a host's copy stands."""
    known = {"agent_id": agent_id, "tenant_id": tenant_id, **values}
    names = ", ".join(known)
    updates = ", ".join(f"{name} = excluded.{name}" for name in values)
    connection.execute(
        f"INSERT INTO offsite_states ({names}) VALUES ({', '.join(':' + name for name in known)})"
        f" ON CONFLICT (agent_id) DO UPDATE SET {updates}",
        known,
    )


def forget_state(connection: sqlite3.Connection, store_id: str) -> None:
    """Forget how copies in a store stand."""
    connection.execute("DELETE FROM offsite_states WHERE store_id = ?", (store_id,))


def behind(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return (tenant, agent) of the hosts with a snapshot that is not in their copy, and no copy asked for."""
    rows = many(
        connection,
        "SELECT r.tenant_id, r.agent_id FROM repositories r LEFT JOIN offsite_states o ON o.agent_id = r.agent_id"
        " WHERE r.away_at IS NULL"
        " AND EXISTS (SELECT 1 FROM offsite_stores t WHERE coalesce(t.tenant_id, r.tenant_id) = r.tenant_id)"
        " AND EXISTS (SELECT 1 FROM snapshots s WHERE s.agent_id = r.agent_id AND s.standing <> 'lost'"
        " AND s.ended_at > coalesce(o.snapshot_at, ''))"
        " AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.agent_id = r.agent_id AND j.kind = 'offsite'"
        " AND j.state IN ('queued', 'running'))",
    )
    return [(row["tenant_id"], row["agent_id"]) for row in rows]


def due_for_verification(connection: sqlite3.Connection, before: datetime) -> list[tuple[str, str]]:
    """Return (tenant, agent) of the hosts whose copy was last verified, or made first, before a moment."""
    rows = many(
        connection,
        "SELECT o.tenant_id, o.agent_id FROM offsite_states o JOIN offsite_stores t ON t.id = o.store_id"
        " WHERE coalesce(o.verified_at, (SELECT min(g.made_at) FROM offsite_generations g WHERE g.store_id = t.id"
        " AND g.agent_id = o.agent_id)) < ? AND json_extract(t.place_json, '$.is_enabled')"
        " AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.agent_id = o.agent_id AND j.kind = 'offsite-verify'"
        " AND (j.state IN ('queued', 'running') OR j.requested_at > ?))",
        (clock.to_text(before), clock.to_text(clock.now() - AGAIN_AFTER)),
    )
    return [(row["tenant_id"], row["agent_id"]) for row in rows]
